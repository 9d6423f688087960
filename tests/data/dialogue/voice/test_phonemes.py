from __future__ import annotations

import json

import numpy as np
import pytest

from most.data.dialogue.voice import kokoro, phonemes, piper
from most.data.dialogue.voice.seam import Unspeakable
from most.data.dialogue.voice.table import make_synthesizer
from most.errors import MostError


@pytest.fixture
def spelled(monkeypatch):
    """Instead of espeak-ng: each word's letters; no program is needed."""
    monkeypatch.setattr(phonemes, "_ipa", lambda text, language: text.lower())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I'm fine, thank you!", "i'm fine, thank you!"),
        ("It costs 3.5 at 10:30. Right?", "it costs 3.5 at 10:30. right?"),
        ("Well... yes", "well... yes"),
        ("A dash - here — and (brackets) there.", "a dash — here — and (brackets) there."),
        ("Say “go”, then stop.", "say “go”, then stop."),
        ("a well-kept word", "a well-kept word"),
        ("...", "..."),
    ],
)
def test_punctuation_is_kept(spelled, text, expected):
    assert phonemes.phonemize(text) == expected


def test_without_the_program_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(phonemes.shutil, "which", lambda name: None)
    phonemes._program.cache_clear()
    with pytest.raises(MostError, match="apt install espeak-ng"):
        phonemes.phonemize("a word nobody has asked for before")
    phonemes._program.cache_clear()


def test_kokoro_spells_diphthongs_with_one_letter():
    assert kokoro.kokoro_spelling("ðə bˈʌɾɚ d^ʒˈɔ^ɪ, t^ʃˈɜːt^ʃ nˈo^ʊ mˈe^ɪ") == "ðə bˈʌɾəɹ ʤˈY, ʧˈɜɹʧ nˈO mˈA"
    assert kokoro.kokoro_spelling("nˈə^ʊ t^ʃˈɜːt^ʃ ðˈe^ə", british=True) == "nˈQ ʧˈɜːʧ ðˈɛː"
    assert kokoro.kokoro_spelling("a^ɪ slˈɛpt, ænd a^ɪm a^ʊtsˈa^ɪd e^ɪ") == "ˌI slˈɛpt, ænd ˌIm WtsˈId ˌA"
    assert kokoro.kokoro_spelling("bˈʌt\u0329n\u0329") == "bˈʌᵊtᵊn"


class Session:
    """In place of onnxruntime's: keeps what it is fed, returns a second of ones."""

    def __init__(self, *inputs: str) -> None:
        self.inputs, self.fed = inputs, {}

    def get_inputs(self):
        return [type("Input", (), {"name": n}) for n in self.inputs]

    def run(self, _, feed):
        self.fed = feed
        return [np.ones((1, 1, 100), np.float32)]


@pytest.fixture
def kokoro_folder(tmp_path):
    (tmp_path / "voices").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"x")
    (tmp_path / "vocab.json").write_text(json.dumps({"vocab": {"a": 5, "b": 6, " ": 7}}))
    rows = np.arange(510, dtype=np.float32)[:, None] * np.ones((1, 256), np.float32)
    for name in ("af_one", "bm_two", "jf_other"):
        rows.tofile(tmp_path / "voices" / f"{name}.bin")
    return tmp_path


def test_kokoro_takes_the_style_of_its_token_count(spelled, kokoro_folder, monkeypatch):
    session = Session("tokens", "style", "speed")
    monkeypatch.setattr(kokoro, "onnx_session", lambda *a, **k: session)
    voice = make_synthesizer("kokoro", {"model": str(kokoro_folder)})
    assert voice.voices == ("af_one", "bm_two")
    wav = voice.synthesize("ab ba z", "af_one", 0, speed=0.9)
    assert (wav.dtype, wav.shape) == (np.float32, (100,))
    assert session.fed["tokens"].tolist() == [[0, 5, 6, 7, 6, 5, 7, 0]]
    assert session.fed["style"].shape == (1, 256)
    assert session.fed["style"][0, 0] == 6
    assert session.fed["speed"].tolist() == pytest.approx([0.9])
    with pytest.raises(Unspeakable, match="510"):
        voice.synthesize("a" * 511, "af_one", 0)
    with pytest.raises(Unspeakable, match="no phonemes"):
        voice.synthesize("zz", "af_one", 0)
    with pytest.raises(MostError, match="did you mean 'af_one'"):
        voice.synthesize("ab", "af_on", 0)


def test_kokoro_says_what_is_missing(kokoro_folder):
    with pytest.raises(MostError, match="no such file"):
        make_synthesizer("kokoro", {"model": str(kokoro_folder / "nowhere")})
    (kokoro_folder / "vocab.json").unlink()
    with pytest.raises(MostError, match=r"neither vocab\.json"):
        make_synthesizer("kokoro", {"model": str(kokoro_folder)})


@pytest.fixture
def piper_file(tmp_path):
    config = {
        "audio": {"sample_rate": 22050}, "espeak": {"voice": "en-us"}, "phoneme_type": "espeak",
        "inference": {"noise_scale": 0.5, "length_scale": 1.2, "noise_w": 0.7},
        "phoneme_id_map": {"_": [0], "^": [1], "$": [2], "a": [14], "b": [15], ".": [10], "̧": [140], "c": [16]},
        "speaker_id_map": {"ann": 0, "bob": 1},
    }  # fmt: skip
    (tmp_path / "voice.onnx").write_bytes(b"x")
    (tmp_path / "voice.onnx.json").write_text(json.dumps(config))
    return tmp_path / "voice.onnx"


def test_piper_ids_speakers_and_scales(spelled, piper_file, monkeypatch):
    session, seeds = Session("input", "input_lengths", "scales", "sid"), []
    monkeypatch.setattr(piper, "onnx_session", lambda *a, **k: seeds.append(k["seed"]) or session)
    voice = make_synthesizer("piper", {"model": str(piper_file.parent), "noise_width": 0.1})
    assert (voice.voices, voice.sample_rate) == (("ann", "bob"), 22050)
    voice.synthesize("abç.", "bob", 7, speed=2.0)
    assert session.fed["input"].tolist() == [[1, 0, 14, 0, 15, 0, 16, 0, 140, 0, 10, 0, 2]]
    assert session.fed["sid"].tolist() == [1]
    assert session.fed["scales"].tolist() == pytest.approx([0.5, 0.6, 0.1])
    assert seeds == [7]
    with pytest.raises(Unspeakable):
        voice.synthesize("...", "bob", 0)


def test_piper_says_what_is_missing(piper_file):
    piper_file.with_name("other.onnx").write_bytes(b"x")
    with pytest.raises(MostError, match=r"2 \.onnx files"):
        make_synthesizer("piper", {"model": str(piper_file.parent)})
    with pytest.raises(MostError, match=r"\.onnx\.json beside"):
        make_synthesizer("piper", {"model": str(piper_file.with_name("other.onnx"))})
