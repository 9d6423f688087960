"""`/v1/audio` through the official client: what the engine says, in every format, whole and streamed."""

from __future__ import annotations

import base64
import io
import json
import re

import httpx2
import numpy as np
import openai
import pytest
import soundfile

from most.generate.hearing import Hearing
from most.generate.read_aloud import PAUSE_SECONDS, pieces_of
from most.serve.audio_in import decode
from most.serve.audio_out import CONTENT_TYPES
from most.speech.vocoder.stream import StreamSettings

RATE = 16000


def wav_bytes(wav: np.ndarray, rate: int = RATE, format: str = "WAV") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, wav, rate, format=format)
    return out.getvalue()


def noise(seconds: float, seed: int = 1) -> np.ndarray:
    wav = 0.1 * np.random.default_rng(seed).normal(size=round(seconds * RATE))
    return (np.round(wav.clip(-1, 1) * 32767) / 32768).astype(np.float32)  # as a 16-bit file holds it


@pytest.fixture
def clip():
    return noise(0.5)


def test_a_clip_is_what_the_engine_hears(client, engine, clip):
    (expected,) = engine.transcribe([clip])
    made = client.audio.transcriptions.create(model="tiny", file=("a.wav", wav_bytes(clip)))
    assert made.text == expected != ""
    stereo = np.stack([clip, clip], axis=1)
    made = client.audio.transcriptions.create(model="default", file=("a.flac", wav_bytes(stereo, format="FLAC")))
    assert made.text == expected


@pytest.mark.parametrize("hearing", [None, Hearing(beams=3)])
def test_long_files_come_in_segments_in_every_form(client, engine, hearing, monkeypatch):
    monkeypatch.setattr(engine, "hearing", hearing)
    wav = np.concatenate([noise(6), np.zeros(RATE, np.float32), noise(6, 2), np.zeros(RATE, np.float32), noise(3, 3)])
    file = ("a.wav", wav_bytes(wav))
    ask = client.audio.transcriptions.create
    whole = ask(model="tiny", file=file, response_format="verbose_json", language="en")
    assert whole.duration == pytest.approx(17)
    assert whole.segments[0].start == 0
    assert whole.segments[-1].end == pytest.approx(17)
    assert all(a.end == b.start for a, b in zip(whole.segments, whole.segments[1:], strict=False))
    assert len(whole.segments) == 3
    pieces = [wav[round(s.start * RATE) : round(s.end * RATE)] for s in whole.segments]
    assert [s.text for s in whole.segments] == engine.transcribe(pieces)
    assert whole.text == " ".join(s.text for s in whole.segments) == ask(model="tiny", file=file).text
    assert ask(model="tiny", file=file, response_format="text").strip() == whole.text
    srt = ask(model="tiny", file=file, response_format="srt")
    assert re.findall(r"^(\d+)$", srt, re.M) == ["1", "2", "3"]
    assert "00:00:00,000 --> 00:00:0" in srt
    vtt = ask(model="tiny", file=file, response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n00:00:00.000 --> ")
    events = list(ask(model="tiny", file=file, stream=True))
    assert "".join(e.delta for e in events[:-1]) == events[-1].text == whole.text
    assert len(events) > 4
    monkeypatch.setattr(engine, "hearing", None)
    assert hearing is None or engine.transcribe(pieces) != [s.text for s in whole.segments]


def test_silence_is_no_speech(client):
    silent = ("a.wav", wav_bytes(np.zeros(RATE, np.float32)))
    made = client.audio.transcriptions.create(model="tiny", file=silent, response_format="verbose_json")
    assert (made.text, made.segments) == ("", [])


@pytest.mark.parametrize("format", CONTENT_TYPES)
def test_a_text_is_said_in_every_format(client, engine, speech, format):
    text = "One two three."
    asked = {"model": "tiny", "voice": "default", "input": text, "response_format": format}
    with client.audio.speech.with_streaming_response.create(**asked) as response:
        assert response.headers["content-type"].startswith(CONTENT_TYPES[format])
        data = b"".join(response.iter_bytes())
    (piece,) = pieces_of(text)
    (expected,) = engine.speak([piece], settings=speech)  # row 0 of seed 0, as here
    n = len(expected.waveform)
    assert n > 0
    wav = np.frombuffer(data, "<i2") / 32767 if format == "pcm" else decode(data, RATE, 10)
    assert len(wav) == pytest.approx(n, abs=3000 if format == "mp3" else 0)
    if format in ("pcm", "wav", "flac"):
        assert np.abs(wav - expected.waveform).mean() < 0.2 * np.abs(expected.waveform).mean()


def test_long_texts_are_said_piece_by_piece(client, engine, speech):
    text = "One two three four five six seven eight nine ten. " * 4 + "Thirteen."
    data = client.audio.speech.create(model="tiny", voice="default", input=text, response_format="pcm").read()
    made = [s.waveform for s in engine.speak(pieces_of(text), settings=speech)]
    assert len(made) > 3
    assert len(data) == 2 * (sum(map(len, made)) + (len(made) - 1) * round(PAUSE_SECONDS * RATE))


def test_speech_comes_before_it_is_all_made(engine, running):
    asked = {"model": "tiny", "voice": "default", "input": "One two three.", "response_format": "wav"}
    with running(engine, chunks=StreamSettings(first=1, chunk=1, look_ahead=0)) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        whole = client.audio.speech.create(**asked).read()
        events = client.audio.speech.create(**asked, stream_format="sse").read().decode()
    rows = [json.loads(line[6:]) for line in events.split("\n") if line]
    assert len(rows) > 3
    assert [r["type"] for r in rows] == ["speech.audio.delta"] * (len(rows) - 1) + ["speech.audio.done"]
    assert b"".join(base64.b64decode(r["audio"]) for r in rows[:-1]) == whole


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"voice": "alloy"}, 400, "no such voice"),
        ({"model": "gpt-4o"}, 404, "use 'tiny'"),
        ({"input": ""}, 400, "nothing to say"),
        ({"input": "..."}, 400, "nothing to say"),
        ({"input": "a " * 4000}, 413, "over the 4096"),
        ({"response_format": "aac"}, 400, "response_format"),
        ({"speed": 2.0}, 400, "speed"),
        ({"instructions": "whisper"}, 400, "instructions"),
        ({"extra_body": {"nonsense": 1}}, 400, "nonsense"),
        ({"extra_body": {"temperature": 9}}, 400, "temperature"),
    ],
)
def test_speech_that_cannot_be_is_refused_by_name(client, changes, status, message):
    with pytest.raises(openai.APIStatusError, match=message) as caught:
        client.audio.speech.create(**{"model": "tiny", "voice": "default", "input": "One.", **changes})
    assert caught.value.status_code == status


@pytest.mark.parametrize(
    ("data", "changes", "status", "message"),
    [
        (b"", {}, 400, "empty"),
        (b"hello there", {}, 400, "cannot be decoded"),
        (wav_bytes(noise(0.5))[:30], {}, 400, "file"),
        (wav_bytes(noise(0.5), format="AIFF"), {}, 400, "AIFF"),
        (wav_bytes(np.zeros((800, 9), np.float32)), {}, 400, "9 channels"),
        (wav_bytes(noise(0.5)), {"temperature": 0.5}, 400, "temperature"),
        (wav_bytes(noise(0.5)), {"prompt": "names"}, 400, "prompt"),
        (wav_bytes(noise(0.5)), {"timestamp_granularities": ["word"]}, 400, "only 'segment'"),
        (wav_bytes(noise(0.5)), {"model": "whisper-1"}, 404, "use 'tiny'"),
        (wav_bytes(noise(0.5)), {"response_format": "yaml"}, 400, "response_format"),
    ],
)
def test_files_that_cannot_be_heard_are_refused_by_name(client, data, changes, status, message):
    with pytest.raises(openai.APIStatusError, match=message) as caught:
        client.audio.transcriptions.create(**{"model": "tiny", "file": ("a.wav", data), **changes})
    assert caught.value.status_code == status


def test_bounds_are_kept(engine, running):
    with running(engine, max_seconds=2.0, max_megabytes=0.2) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        for wav, message in ((noise(3), "lasts more than the 2 s"), (noise(30), "over the 0.2 MB")):
            with pytest.raises(openai.APIStatusError, match=message) as caught:
                client.audio.transcriptions.create(model="tiny", file=("a.wav", wav_bytes(wav)))
            assert caught.value.status_code == 413
        chunks = (bytes(50_000) for _ in range(10))  # without a Content-Length
        assert httpx2.post(f"{url}/v1/audio/speech", content=chunks).status_code == 413
        assert client.audio.transcriptions.create(model="tiny", file=("a.wav", wav_bytes(noise(1.9)))).text


def test_a_header_that_lies_about_its_length_allocates_nothing():
    lying = bytearray(wav_bytes(noise(0.5)))
    lying[40:44] = (0x7FFFFFFF).to_bytes(4, "little")
    assert len(decode(bytes(lying), RATE, 10)) == 8000
