"""Streams hold what the whole answers hold, in order and early, and can be closed at any token."""

from __future__ import annotations

import numpy as np
import pytest

from most.generate.engine import Engine, SpeakSettings
from most.generate.stream import Ended, Said, Written
from most.speech.vocoder.stream import StreamSettings

SETTINGS = SpeakSettings(max_seconds=2.0, temperature=3.0, top_p=1.0)
ASKED = [{"role": "user", "content": "one two"}]
CHUNKS = StreamSettings(first=4, chunk=8, look_ahead=None)


@pytest.fixture(scope="module")
def engine(tiny_most, tiny_codec):
    return Engine.load(tiny_most, tiny_codec)


@pytest.mark.parametrize("n", [1, 7])
def test_a_streamed_reply_is_the_whole_reply(engine, n):
    made = engine.reply([ASKED] * 20, settings=SETTINGS, seeds=range(20), max_new_tokens=n)
    seed = max(range(20), key=lambda k: len(made[k].speech.units))
    reply = made[seed]
    events = list(engine.stream(engine.to_reply(ASKED, SETTINGS, seed, n), settings=CHUNKS))
    end = events[-1]
    assert isinstance(end, Ended)
    assert "".join(e.text for e in events if isinstance(e, Written)) == end.text == reply.text
    assert end.units.tolist() == reply.speech.units.tolist()
    assert ("speech" in end.truncated) == reply.speech.truncated
    sound = [e for e in events if isinstance(e, Said)]
    assert len(sound) > 1, "it comes in chunks"
    np.testing.assert_allclose(np.concatenate([e.waveform for e in sound]), reply.speech.waveform, atol=2e-3)
    assert {e.sample_rate for e in sound} == {reply.speech.sample_rate}
    kinds = [type(e) for e in events]
    assert kinds == sorted(kinds, key=[Written, Said, Ended].index), "text, then sound, then the end"


def test_a_streamed_text_is_the_whole_text(engine):
    (text,) = engine.write([ASKED], max_new_tokens=9)
    events = list(engine.stream(engine.to_write(ASKED, 9)))
    assert "".join(e.text for e in events[:-1]) == events[-1].text == text
    assert len(events) > 2
    assert events[-1].n_tokens <= 9


def test_closing_stops_the_model(engine):
    calls = []
    handle = engine.model.get_output_embeddings().register_forward_pre_hook(lambda *_: calls.append(1))
    (made,) = engine.speak(["one"], settings=SETTINGS, seeds=[1])
    whole = len(calls)
    calls.clear()
    stream = engine.stream(engine.to_say("one", SETTINGS, 1), settings=StreamSettings(first=1, look_ahead=0))
    first = next(stream)
    stream.close()
    handle.remove()
    assert isinstance(first, Said)
    assert 0 < len(calls) < whole
    assert len(made.units) > 5
