"""The engine over a model of random weights: legality, independence of the batch, determinism, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest

from most.errors import MostError
from most.generate.engine import Engine, SpeakSettings


@pytest.fixture(scope="module")
def engine(tiny_most, tiny_codec):
    return Engine.load(tiny_most, tiny_codec)


@pytest.fixture(scope="module")
def audios():
    rng = np.random.default_rng(1)
    return [(0.2 * rng.normal(size=n)).clip(-1, 1).astype(np.float32) for n in (8000, 5000, 12345)]


def test_transcripts_do_not_depend_on_the_batch(engine, audios):
    alone = [engine.transcribe([a], max_new_tokens=12)[0] for a in audios]
    assert engine.transcribe(audios, max_new_tokens=12, batch_size=3) == alone
    assert engine.transcribe(audios, max_new_tokens=12, batch_size=2) == alone


def test_speech_is_made_of_units_alone(engine):
    made = engine.speak(["one", "two three"], settings=SpeakSettings(max_seconds=0.5, seed=3))
    for speech in made:
        assert speech.units.max(initial=0) < engine.codec.n_units
        assert speech.truncated == (len(speech.units) >= 25)
        per_unit = speech.sample_rate / engine.codec.unit_rate_hz
        assert len(speech.waveform) == round(len(speech.units) * per_unit)
        assert np.abs(speech.waveform).max(initial=0) <= 1


def test_a_seed_gives_the_same_speech_and_greedy_needs_none(engine):
    def units(**settings):
        return engine.speak(["one"], settings=SpeakSettings(max_seconds=0.5, **settings))[0].units.tolist()

    assert units(seed=1) == units(seed=1)
    assert units(temperature=0.0, seed=1) == units(temperature=0.0, seed=2)
    assert len({tuple(units(seed=s)) for s in range(5)}) > 1


def test_voices(engine):
    a, b = (engine.speak(["one"], speaker=s, settings=SpeakSettings(max_seconds=0.5))[0] for s in ("ann", "bob"))
    assert a.units.tolist() == b.units.tolist()
    assert not np.array_equal(a.waveform, b.waveform)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: e.speak([" "]), "empty"),
        (lambda e: e.speak(["one"], speaker="eve"), "speaker"),
        (lambda e: e.speak(["<|audio_end|>"]), "control token"),
        (lambda e: e.transcribe([np.zeros(8000, np.float32)]), "silen"),
        (lambda e: e.transcribe(["nowhere.wav"]), "no such file"),
        (lambda e: SpeakSettings(temperature=-1), "temperature"),
        (lambda e: SpeakSettings(top_p=0), "top_p"),
    ],
)
def test_bad_input_is_named(engine, call, message):
    with pytest.raises(MostError, match=message):
        call(engine)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(MostError, match=r"config\.json"):
        Engine.load(tmp_path)


def test_a_codec_with_other_units_is_refused(engine):
    class Other:
        n_units = 7

    with pytest.raises(MostError, match="number of units"):
        Engine(engine.model, engine.processor, Other())
