"""Uploads against a small hub of our own: what arrives is what lies there, and nothing is sent that should not be."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from safetensors.numpy import save_file

from most.convert.push import push
from most.errors import MostError

CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: any-to-any
base_model: someone/backbone
---

# A model
"""


class Hub:
    """The requests that huggingface_hub makes to upload a folder, over sockets; files by (repo, branch)."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.objects: dict[str, bytes] = {}
        self.commits: list[str] = []
        self.puts = 0
        self.large = (".safetensors",)
        self.requests: list[str] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                n = int(self.headers.get("content-length") or 0)
                body = self.rfile.read(n) if n else self._chunks()
                hub.requests.append(f"{self.command} {self.path}")
                token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
                status, answer = hub.answer(self.command, self.path.partition("?")[0], body, token)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _chunks(self) -> bytes:
                out = b""
                if self.headers.get("transfer-encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        out += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                return out

            do_GET = do_POST = do_PUT = _do

            def log_message(self, *_) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, verb: str, path: str, body: bytes, token: str):
        if path.startswith("/objects/"):
            self.objects[path.rpartition("/")[2]] = body
            self.puts += 1
            return 200, {}
        if token != "good":
            return 401, {"error": "Invalid credentials"}
        if path == "/api/whoami-v2":
            return 200, {"type": "user", "name": "ann", "orgs": []}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked.get('organization') or 'ann'}/{asked['name']}"
            url = {"url": f"{self.url}/{repo}", "id": repo, "name": repo}
            if repo.startswith("locked/"):
                return 403, {"error": "Forbidden"}
            if repo in self.private:
                return 409, url | {"error": "exists"}
            self.private[repo] = asked.get("visibility") == "private"
            self.files[repo, "main"] = {}
            return 200, url
        if found := re.fullmatch(r"/(?:api/models/)?(ann/[^/.]+)(?:\.git)?(?:/(.+))?", path):
            return self.repo(found[1], (found[2] or "").split("/"), body)
        return 404, {"error": path}

    def repo(self, repo: str, rest: list[str], body: bytes):
        if rest == [""] or rest[0] == "revision":
            return 200, {"id": repo, "private": self.private[repo], "sha": "0" * 40, "siblings": [], "tags": []}
        if rest[0] == "branch":
            self.files.setdefault((repo, rest[1]), dict(self.files[repo, "main"]))
            return 200, {}
        if rest[0] == "preupload":
            files, there = json.loads(body)["files"], self.files[repo, rest[1]]
            rows = []
            for f in files:
                big = f["path"].endswith(self.large)
                now = there.get(f["path"])
                oid = None if now is None else _sha256(now) if big else _git_sha(now)
                mode = "lfs" if big else "regular"
                rows.append({"path": f["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
            return 200, {"files": rows}
        if rest[:1] == ["info"]:
            objects = []
            for o in json.loads(body)["objects"]:
                row = dict(o)
                if o["oid"] not in self.objects:
                    row["actions"] = {"upload": {"href": f"{self.url}/objects/{o['oid']}"}}
                objects.append(row)
            return 200, {"transfer": "basic", "objects": objects}
        if rest[0] == "commit":
            there = self.files[repo, rest[1]]
            for line in body.splitlines():
                row = json.loads(line)
                value = row["value"]
                if row["key"] == "header":
                    self.commits.append(value["summary"])
                elif row["key"] == "file":
                    there[value["path"]] = base64.b64decode(value["content"])
                else:
                    there[value["path"]] = self.objects[value["oid"]]
            return 200, {"commitUrl": f"{self.url}/{repo}/commit/1", "commitOid": "1" * 40}
        return 404, {"error": "/".join(rest)}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _git_sha(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@pytest.fixture
def hub(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    # The wire format of Xet is hf_xet's own; without it the library sends large files by the LFS protocol.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", "good")
    hub = Hub()
    thread = threading.Thread(target=hub.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture
def folder(tmp_path):
    """The shape of a release: an index, weights of two files, a codec with its own."""
    out = tmp_path / "model"
    (out / "codec" / "encoder").mkdir(parents=True)
    rng = np.random.default_rng(0)
    index = {"weight_map": {"a": "model-00001.safetensors", "b": "codec/encoder/model.safetensors"}}
    for name, value in {"config.json": {"model_type": "most"}, "model.safetensors.index.json": index}.items():
        (out / name).write_text(json.dumps(value))
    for name in ("processor_config.json", "tokenizer_config.json", "codec/codec.json", "codec/[odd].txt"):
        (out / name).write_text("{}")
    for name in sorted(index["weight_map"].values()):
        save_file({"w": rng.normal(size=(70, 30)).astype(np.float32)}, out / name)
    (out / "README.md").write_text(CARD)
    (out / ".lock").write_text("")
    (out / "model.safetensors.part").write_text("half")
    return out


def lying(folder):
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {k: v for k, v in files.items() if k not in (".lock", "model.safetensors.part")}


def test_what_arrives_is_what_lies_there_and_only_changes_are_sent_again(hub, folder):
    said = []
    url = push(folder, "ann/nano", message="First", endpoint=hub.url, echo=said.append)
    assert hub.files["ann/nano", "main"] == lying(folder)
    assert (url, hub.commits, hub.private["ann/nano"]) == (f"{hub.url}/ann/nano/commit/1", ["First"], False)
    assert "left out: .lock, model.safetensors.part" in said
    assert hub.puts == 2
    (folder / "README.md").write_text(CARD + "More.\n")
    push(folder, "ann/nano", endpoint=hub.url, echo=said.append)
    assert hub.files["ann/nano", "main"] == lying(folder)
    assert hub.puts == 2, "weights that are there are not sent again"


def test_the_librarys_pipeline_of_several_commits_sends_the_same(hub, folder, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.large = ()
    push(folder, "ann/nano", endpoint=hub.url, echo=lambda _: None)
    assert hub.files["ann/nano", "main"] == lying(folder)
    commits = len(hub.commits)
    push(folder, "ann/nano", endpoint=hub.url, echo=lambda _: None)
    assert len(hub.commits) == commits, "nothing has changed"


def test_a_branch_is_made_and_main_left_alone(hub, folder):
    push(folder, "nano", revision="v2", private=True, endpoint=hub.url, echo=lambda _: None)
    assert hub.files["ann/nano", "v2"] == lying(folder)
    assert (hub.files["ann/nano", "main"], hub.private["ann/nano"]) == ({}, True)


def test_the_command_sends_and_a_dry_run_asks_the_hub_nothing(hub, folder):
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}

    def call(*args):
        words = [sys.executable, "-m", "most", "push", str(folder), "ann/nano", *args]
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=240)

    dry = call("--dry-run")
    assert (dry.returncode, hub.requests) == (0, [])
    size = sum(len(v) for v in lying(folder).values())
    assert dry.stdout.splitlines()[-1] == f"{len(lying(folder))} files, {size / 1e6:.1f} MB, to ann/nano"
    done = call()
    assert done.returncode == 0, done.stderr
    assert hub.files["ann/nano", "main"] == lying(folder)


def test_private_is_never_sent_into_what_is_public(hub, folder):
    push(folder, "ann/nano", endpoint=hub.url, echo=lambda _: None)
    commits = len(hub.commits)
    with pytest.raises(MostError, match="public"):
        push(folder, "ann/nano", private=True, endpoint=hub.url, echo=lambda _: None)
    assert len(hub.commits) == commits


def test_no_token_and_no_right_are_said(hub, folder, monkeypatch, tmp_path):
    from huggingface_hub import constants

    with pytest.raises(MostError, match="right to write"):
        push(folder, "locked/nano", endpoint=hub.url, echo=lambda _: None)
    monkeypatch.setenv("HF_TOKEN", "bad")
    with pytest.raises(MostError, match=r"refused.*hf auth login"):
        push(folder, "ann/nano", endpoint=hub.url, echo=lambda _: None)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    hub.requests.clear()
    with pytest.raises(MostError, match=r"hf auth login.*HF_TOKEN"):
        push(folder, "ann/nano", endpoint=hub.url, echo=lambda _: None)
    assert hub.requests == []


def test_a_hub_that_is_not_there_is_one_error(hub, folder):
    hub.server.shutdown()
    hub.server.server_close()
    with pytest.raises(MostError, match="cannot be reached"):
        push(folder, "ann/nano", endpoint=hub.url, echo=lambda _: None)


def _write(name, text):
    return lambda folder: (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "config.json"),
        (_write("config.json", '{"model_type": "llama"}'), "most convert"),
        (_write("config.json", "{"), "not JSON"),
        (_write("optimizer.pt", "x"), "pickled"),
        (_write("codec/vocoder.BIN", "x"), "pickled"),
        (lambda f: (f / "model-00001.safetensors").unlink(), "model-00001.safetensors.*missing"),
        (lambda f: (f / "codec/encoder/model.safetensors").write_bytes(b"\0" * 20), "weights.*cannot be read"),
        (lambda f: (f / "processor_config.json").unlink(), "processor_config.json"),
        (lambda f: (f / "README.md").unlink(), "card.*missing.*license: "),
        (_write("README.md", "# No front matter\n"), "lacks license, language.*license: apache-2.0"),
        (_write("README.md", CARD.replace("base_model: someone/backbone\n", "")), "lacks base_model in"),
        (_write("README.md", "---\nlicense: [\n---\n"), "card.*cannot be read"),
    ],
)
def test_what_should_not_be_sent_is_refused_before_anything_is(hub, folder, damage, message):
    damage(folder)
    with pytest.raises(MostError, match=message):
        push(folder, "ann/nano", endpoint=hub.url, echo=lambda _: None)
    assert hub.requests == []


def test_a_truncated_weight_file_is_refused(hub, folder):
    weights = folder / "model-00001.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(MostError, match=r"model-00001\.safetensors.*cannot be read"):
        push(folder, "ann/nano", dry_run=True, echo=lambda _: None)


def test_a_model_from_scratch_needs_no_base(folder):
    card = CARD.replace("base_model: someone/backbone", "tags: [speech, from-scratch]")
    (folder / "README.md").write_text(card)
    assert push(folder, "ann/nano", dry_run=True, echo=lambda _: None) is None
