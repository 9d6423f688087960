"""Two replicas by Ray Serve, one of them killed under load: what had not begun to be sent is answered by the other."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import httpx2
import pytest
import yaml
from openai import OpenAI

ray = pytest.importorskip("ray")
serve = pytest.importorskip("ray.serve", reason="ray is there without its part serve")

from ray.serve.schema import ServeDeploySchema  # noqa: E402

from most.serve.cluster import ClusterArgs, build  # noqa: E402
from most.serve.settings import ServeSettings  # noqa: E402

SAY = {"model": "tiny", "voice": "default", "response_format": "pcm"}


@pytest.fixture(scope="module")
def url(tiny_most, tiny_codec):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        args = ClusterArgs(
            model=str(tiny_most), codec=str(tiny_codec), name="tiny", settings={"max_tokens": 40}, replicas=2
        )
        serve.run(build(args), name="most", route_prefix="/")
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()
        ray.shutdown()


def said(url: str, text: str) -> httpx2.Response:
    return httpx2.post(f"{url}/v1/audio/speech", json={**SAY, "input": text}, timeout=120)


def test_a_replica_that_dies_under_load_loses_no_request(url):
    texts = [f"One two three {word}." for word in ("four", "five", "six", "seven")] * 6
    alone = {t: said(url, t).content for t in dict.fromkeys(texts)}
    answers: dict[int, httpx2.Response] = {}
    todo = iter(range(len(texts)))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                k = next(todo, None)
            if k is None:
                return
            answers[k] = said(url, texts[k])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(answers) < 4:
        time.sleep(0.02)
    victim = int(answers[0].headers["x-most-replica"])
    os.kill(victim, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert [answers[k].status_code for k in range(len(texts))] == [200] * len(texts)
    assert all(answers[k].content == alone[t] for k, t in enumerate(texts))
    assert len({a.headers["x-most-replica"] for a in answers.values()}) >= 2


def test_the_recipe_is_one_that_ray_takes():
    recipe = yaml.safe_load((Path(__file__).parents[2] / "recipes/cluster/ray_serve.yaml").read_text(encoding="utf-8"))
    (application,) = ServeDeploySchema.model_validate(recipe).applications
    assert ServeSettings(**ClusterArgs(**application.args).settings).max_running == 8
    assert [d.name for d in application.deployments] == ["Front", "Replica"]


def test_every_endpoint_is_there(url):
    client = OpenAI(
        base_url=f"{url}/v1", websocket_base_url=f"{url.replace('http', 'ws')}/v1", api_key="none", max_retries=0
    )
    assert client.models.list().data[0].id == "tiny"
    made = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "one"}], stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in made)
    assert (
        "cannot be decoded"
        in httpx2.post(
            f"{url}/v1/audio/transcriptions", files={"file": ("a.wav", b"none")}, data={"model": "tiny"}
        ).text
    )
    assert httpx2.get(f"{url}/").text.startswith("<!doctype html>")
    with client.realtime.connect(model="tiny") as talk:
        assert talk.recv().type == "session.created"
        talk.input_audio_buffer.clear()
        assert talk.recv().type == "input_audio_buffer.cleared"
