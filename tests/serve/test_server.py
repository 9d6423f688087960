"""The server around the endpoints: who may come in, how many, what is counted, and how it stops."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace

import httpx2
import openai
import pytest

from most.generate.engine import SpeakSettings

LONG = SpeakSettings(max_seconds=60.0, temperature=2.0, top_p=1.0)
SAY = {"model": "tiny", "voice": "default", "input": "One two three.", "response_format": "pcm"}


def gauge(url: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", httpx2.get(f"{url}/metrics").text, re.M)
    assert found is not None, name
    return float(found[1])


def until(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_models_are_listed_with_their_voices(client):
    (model,) = client.models.list().data
    assert model.id == "tiny"
    assert model.voices[0] == "default"
    assert client.models.retrieve("tiny") == model
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("other")


def test_a_key_is_asked_for_where_one_is_set(engine, running):
    with running(engine, api_key="s3cret") as url:
        ask = lambda key: openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0).models.list()  # noqa: E731
        assert ask("s3cret").data
        for wrong in ("s3cre", "S3cret", "none"):
            with pytest.raises(openai.AuthenticationError, match="API key"):
                ask(wrong)
        assert httpx2.post(f"{url}/v1/audio/speech", json=SAY).status_code == 401
        assert httpx2.get(f"{url}/healthz").json()["status"] == "ok"


def test_who_leaves_is_computed_no_further(slow, running):
    with running(slow, speech=LONG) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with client.audio.speech.with_streaming_response.create(**SAY) as response:
            sound = response.iter_bytes()  # closed with its last name: keep it
            next(sound)
            assert httpx2.get(f"{url}/healthz").json()["places_taken"] == 1
        until(lambda: httpx2.get(f"{url}/healthz").json()["places_taken"] == 0)
        made = gauge(url, "most_tokens_total")
        time.sleep(0.2)
        assert gauge(url, "most_tokens_total") == made
        assert gauge(url, "most_cancelled_total") == 1


def test_who_leaves_before_the_answer_is_whole_is_computed_no_further(slow, running):
    spoken = {"modalities": ["text", "audio"], "audio": {"voice": "default", "format": "wav"}}
    asked = {"model": "tiny", "messages": [{"role": "user", "content": "one"}], **spoken}
    with running(slow, speech=LONG) as url:
        with pytest.raises(httpx2.TimeoutException):
            httpx2.post(f"{url}/v1/chat/completions", json=asked, timeout=0.5)
        until(lambda: httpx2.get(f"{url}/healthz").json()["places_taken"] == 0)
        until(lambda: gauge(url, "most_running") == 0)
        made = gauge(url, "most_tokens_total")
        time.sleep(0.2)
        assert gauge(url, "most_tokens_total") == made


@pytest.mark.parametrize("temperature", [0.0, 1e-40, 5e-324])
def test_the_coldest_speech_is_the_likeliest(client, engine, speech, temperature):
    """Scores divided by so little are not finite; they would end the requests of everybody."""
    said = client.audio.speech.create(**SAY, extra_body={"temperature": temperature}).read()
    settings = replace(speech, temperature=0.0)
    ((units,),) = engine.answers([engine.to_say(SAY["input"], settings, 0)])
    rate = engine.codec.sample_rate
    assert len(said) // 2 == round(len(units) * rate / engine.codec.unit_rate_hz)


def test_more_than_may_wait_are_told_so(slow, running):
    with running(slow, speech=LONG, max_running=1, max_waiting=1, request_seconds=30.0) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with client.audio.speech.with_streaming_response.create(**SAY) as response:
            sound = response.iter_bytes()  # closed with its last name: keep it
            next(sound)

            def wait_in_vain() -> None:
                with pytest.raises(httpx2.TimeoutException):
                    httpx2.post(f"{url}/v1/audio/speech", json=SAY, timeout=2.0)

            waiting = threading.Thread(target=wait_in_vain)
            waiting.start()
            until(lambda: httpx2.get(f"{url}/healthz").json()["places_taken"] == 2)
            with pytest.raises(openai.RateLimitError, match="try again") as caught:
                client.audio.speech.create(**SAY)
            assert caught.value.response.headers["retry-after"] == "1"
            waiting.join()
        until(lambda: httpx2.get(f"{url}/healthz").json()["places_taken"] == 0)
        assert gauge(url, 'most_requests_total{endpoint="/v1/audio/speech",status="429"}') == 1


def test_what_takes_too_long_ends(slow, running):
    with running(slow, speech=LONG, request_seconds=0.4, max_running=1) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with pytest.raises(openai.APIStatusError, match=r"within 0\.4 s") as caught:
            client.chat.completions.create(
                model="tiny", messages=[{"role": "user", "content": "one"}], modalities=["text", "audio"],
                audio={"voice": "default", "format": "wav"},
            )  # fmt: skip
        assert caught.value.status_code == 408
        assert caught.value.response.headers["x-should-retry"] == "false"
        until(lambda: httpx2.get(f"{url}/healthz").json()["places_taken"] == 0)


def test_a_step_that_fails_ends_its_requests_and_no_others(engine, running, monkeypatch):
    from most.generate import batch

    real, fails = batch.steps_behind, [True]

    def steps(*args):
        if fails:
            fails.pop()
            raise RuntimeError("out of memory")
        return real(*args)

    monkeypatch.setattr(batch, "steps_behind", steps)
    with running(engine) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        with pytest.raises(openai.InternalServerError, match="the model failed"):
            client.audio.speech.create(**SAY)
        assert client.audio.speech.create(**SAY).read()


def test_many_at_once_get_what_each_gets_alone(client, engine):
    texts = [f"One two three {word}." for word in ("four", "five", "six", "seven", "eight", "nine")]
    alone = [client.audio.speech.create(**{**SAY, "input": t}).read() for t in texts]
    found: dict[str, bytes] = {}

    def ask(text: str) -> None:
        found[text] = client.audio.speech.create(**{**SAY, "input": text}).read()

    threads = [threading.Thread(target=ask, args=(t,)) for t in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[t] for t in texts] == alone


def test_stopping_lets_what_runs_finish_and_ends_what_does_not(slow, engine, running):
    """Within the grace a request is answered; after it a stream ends cleanly, and what comes meanwhile is refused."""
    ended: dict[str, object] = {}
    with running(slow, speech=LONG, grace_seconds=3.0) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=30)

        def say() -> None:
            events = client.audio.speech.create(**SAY, stream_format="sse").read().decode()
            ended["speech"] = events.strip().split("\n")[-1]

        def write() -> None:
            made = client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "one"}])
            ended["text"] = made.choices[0].finish_reason

        def watch() -> None:
            while "health" not in ended:
                if (answer := httpx2.get(f"{url}/healthz")).status_code != 200:
                    ended["health"] = answer.status_code, answer.json()["error"]["code"]
                time.sleep(0.02)

        threads = [threading.Thread(target=work) for work in (say, write, watch)]
        for thread in threads:
            thread.start()
        until(lambda: httpx2.get(f"{url}/healthz").json()["places_taken"] == 2 - len(ended))
        until(lambda: gauge(url, "most_tokens_total") > 100)  # it sounds already
    for thread in threads:
        thread.join(20)
    assert ended["text"] in ("stop", "length")
    assert ended["health"] == (503, "stopping")
    assert "the server is stopping" in str(ended["speech"])


def test_what_export_leaves_is_served_as_a_model_that_only_writes(tiny_most, engine, running, tmp_path):
    from most.convert.export import export
    from most.generate.engine import Engine

    export(tiny_most, tmp_path / "text", "text")
    plain = Engine.load(tmp_path / "text")
    asked = [{"role": "user", "content": "one two"}]
    with running(plain) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        made = client.chat.completions.create(model="tiny", messages=asked, max_tokens=9)
        assert [made.choices[0].message.content] == engine.write([asked], max_new_tokens=9), "as the whole model writes"
        assert client.models.list().data[0].voices == ["default"]
        for refused in (
            lambda: client.audio.speech.create(**SAY),
            lambda: client.audio.transcriptions.create(model="tiny", file=("a.wav", b"RIFF")),
            lambda: client.chat.completions.create(
                model="tiny", messages=asked, modalities=["text", "audio"], audio={"voice": "default", "format": "wav"}
            ),
        ):
            with pytest.raises(openai.BadRequestError, match=r"cannot speak|no audio encoder"):
                refused()
        with openai.OpenAI(
            base_url=f"{url}/v1", websocket_base_url=f"{url.replace('http', 'ws')}/v1", api_key="none"
        ).realtime.connect(model="tiny") as talk:
            assert "no audio encoder" in talk.recv().error.message
