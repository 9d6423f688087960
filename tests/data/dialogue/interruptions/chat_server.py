"""A server on 127.0.0.1 that speaks the OpenAI chat protocol and answers what a test tells it to."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JUDGE, WRITE = "judge", "write"


def completion(content):
    """A chat completion as OpenAI sends it."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}


def good_interruption(shown):
    """A suitable answer to the writer's prompt: half of the first turn that may be interrupted."""
    number, text = re.search(r"^(\d+)\. assistant \[may be interrupted\]: (.*)$", shown, re.MULTILINE).groups()
    words = text.split()
    said = " ".join(words[: len(words) * 6 // 10]).rstrip(".,")
    return {"turn": int(number), "said": said, "interruption": "Sorry, which ones?",
            "answer": "The ones I just named.", "bridge": "As I was saying,"}  # fmt: skip


class ChatServer(ThreadingHTTPServer):
    """`script(what, shown, n)` gives (status, body, headers) for the n-th request of a kind about a dialogue."""

    daemon_threads = True

    def __init__(self, script):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script, self.requests, self.lock = script, [], threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def asked(self):
        """How often each prompt came, by kind and text."""
        return Counter((what, shown) for what, shown, _ in self.requests)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        system, user = (m["content"] for m in body["messages"])
        what = JUDGE if system.startswith("You judge") else WRITE
        shown = user.partition("\n\nDoes this dialogue")[0]
        with self.server.lock:
            n = sum((w, s) == (what, shown) for w, s, _ in self.server.requests)
            body |= {"path": self.path, "key": self.headers["Authorization"]}
            self.server.requests.append((what, shown, body))
        status, answer, headers = self.server.script(what, shown, n)
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(raw), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *args):
        pass


def suitable(what, shown, n):
    """Everything suits and is interrupted well."""
    answer = "yes" if what == JUDGE else json.dumps(good_interruption(shown))
    return 200, completion(answer), {}
