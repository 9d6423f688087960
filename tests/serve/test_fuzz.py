"""Bytes and documents that mean no good: refused by name, never a crash, never a 500."""

from __future__ import annotations

import io
import json

import httpx2
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from most.serve.audio_in import decode
from most.serve.errors import Refused

FORMATS = [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None)]
QUIETLY = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def clip(kind: str, subtype: str | None) -> bytes:
    out = io.BytesIO()
    wav = 0.1 * np.sin(np.arange(4000) / 5)
    soundfile.write(out, wav, 16000, format=kind, subtype=subtype)
    return out.getvalue()


CLIPS = [clip(*f) for f in FORMATS]
damage = st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(0, 255)), max_size=12)


@QUIETLY
@given(st.sampled_from(CLIPS), damage, st.integers(0, 1 << 14), st.binary(max_size=64))
def test_damaged_audio_is_decoded_within_bounds_or_refused(data, changes, keep, tail):
    broken = bytearray(data)
    for at, value in changes:
        broken[at % len(broken)] = value
    broken = broken[: max(1, keep % (len(broken) + 1))] + tail
    refused, wav = None, np.zeros(1, np.float32)
    try:
        wav = decode(bytes(broken), 16000, 2.0)
    except Refused as e:
        refused = e.status
    assert refused in (None, 400, 413)
    assert wav.dtype == np.float32
    assert 0 < len(wav) <= 2 * 16000 + 1000
    assert np.abs(wav).max() <= 1


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
message = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "x"]), "content": anything})
chat_like = st.fixed_dictionaries(
    {"messages": st.lists(message, max_size=3) | anything},
    optional={name: anything for name in ("model", "max_tokens", "audio", "modalities", "stream")},
)
speech_like = st.fixed_dictionaries(
    {"input": anything}, optional={name: anything for name in ("voice", "response_format", "seed")}
)
JSON = {"Content-Type": "application/json"}


@QUIETLY
@given(st.tuples(st.just("chat/completions"), chat_like) | st.tuples(st.just("audio/speech"), speech_like))
def test_documents_of_any_shape_are_answered_or_refused(address, asked):
    path, body = asked
    answer = httpx2.post(
        f"{address}/v1/{path}",
        content=json.dumps(body).encode(),
        headers=JSON,
        timeout=60,
    )
    assert answer.status_code < 500, answer.text
    if answer.status_code != 200:
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"input": "\\ud800"}', b"[" * 100_000])
def test_bodies_that_are_no_documents_are_refused(address, body):
    for path in ("chat/completions", "audio/speech"):
        answer = httpx2.post(f"{address}/v1/{path}", content=body, headers=JSON)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["type"] == "invalid_request_error"
