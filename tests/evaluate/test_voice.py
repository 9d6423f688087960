"""What a voice is like: a tone has its pitch, noise has none, and likeness knows the same recording."""

import numpy as np
import pytest

from most.errors import MostError
from most.evaluate.voice import MIN_SECONDS, SpeakerModel, likeness, measure_pitch, voice_vectors
from most.manifest import AudioRef, Utterance, write_jsonl
from most.speech.audio import write_audio

RATE = 16000


def voice(hz, seconds=1.0):
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.1 * sum(np.sin(2 * np.pi * k * hz * t) / k for k in range(1, 8))).astype(np.float32)


@pytest.mark.parametrize("hz", [90.0, 220.0])
def test_pitch_of_a_tone(hz):
    found = measure_pitch(voice(hz), RATE)
    assert found.median_hz == pytest.approx(hz, rel=0.01)
    assert found.voiced > 0.9


def test_half_of_it_silent_is_half_voiced():
    found = measure_pitch(np.concatenate([voice(150), np.zeros(RATE, np.float32)]), RATE)
    assert found.voiced == pytest.approx(0.5, abs=0.05)
    assert found.median_hz == pytest.approx(150, rel=0.01)


@pytest.mark.parametrize("wav", [np.zeros(RATE, np.float32), np.zeros(0, np.float32)])
def test_nothing_has_no_pitch(wav):
    found = measure_pitch(wav, RATE)
    assert (found.median_hz, found.voiced) == (None, 0.0)


def test_vectors_have_unit_length_and_know_themselves(tiny_xvector):
    model = SpeakerModel(tiny_xvector)
    a, b = model.embed(voice(120), RATE), model.embed(voice(260, 1.3), RATE)
    assert np.linalg.norm(a) == pytest.approx(1, abs=1e-5)
    assert likeness(a, [a]) == pytest.approx(1, abs=1e-5)
    assert likeness(a, [b]) < 1 - 1e-4
    assert likeness(a, [a, b]) == pytest.approx(float(a @ (a + b) / np.linalg.norm(a + b)), abs=1e-5)


def test_short_speech_is_repeated_not_refused(tiny_xvector):
    model = SpeakerModel(tiny_xvector)
    short = voice(120, 0.1)
    whole = np.resize(short, round(MIN_SECONDS * RATE))
    assert np.allclose(model.embed(short, RATE), model.embed(whole, RATE), atol=1e-6)


def test_a_voice_from_a_manifest(tiny_xvector, tmp_path):
    for hz in (100, 200):
        write_audio(tmp_path / f"{hz}.wav", voice(hz), RATE)
    rows = [Utterance(id=str(hz), audio=AudioRef(path=tmp_path / f"{hz}.wav")) for hz in (100, 200)]
    write_jsonl(tmp_path / "voice.jsonl", rows)
    vectors = voice_vectors(str(tiny_xvector), tmp_path / "voice.jsonl")
    assert [v.shape for v in vectors] == [(8,), (8,)]
    assert voice_vectors(str(tiny_xvector), tmp_path / "voice.jsonl") is vectors


def test_a_folder_that_is_no_speaker_model_is_named(tmp_path):
    with pytest.raises(MostError, match="x-vector"):
        SpeakerModel(tmp_path)
