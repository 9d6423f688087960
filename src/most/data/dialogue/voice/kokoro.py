"""Kokoro-82M voices through onnxruntime: phonemes to 24 kHz speech, the style vector chosen by the number of tokens.

The model (Apache-2.0) is a folder: `model.onnx`, `vocab.json` or `tokenizer.json`, and `voices/*.bin`. Phonemes come
from espeak-ng and are spelled as the model learned them: https://github.com/hexgrad/misaki/blob/main/EN_PHONES.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from most.data.dialogue.voice.arpabet import to_ipa
from most.data.dialogue.voice.phonemes import TIE, phonemize
from most.data.dialogue.voice.seam import Unspeakable
from most.data.dialogue.voice.sessions import onnx_session
from most.errors import MostError, nearest

STYLE_WIDTH = 256
MAX_TOKENS = 510
_LANGUAGES = {"a": "en-us", "b": "en-gb"}
# Longest first: a diphthong before its parts. Capitals are the model's one-letter diphthongs.
_SPELLING = {
    "a^ɪ": "I", "a^ʊ": "W", "e^ɪ": "A", "ɔ^ɪ": "Y", "d^ʒ": "ʤ", "t^ʃ": "ʧ", "ə^l": "ᵊl", "e^ə": "ɛː",
    "ʔn": "tᵊn", "e": "A", "r": "ɹ", "x": "k", "ç": "k", "ɐ": "ə", "ɚ": "əɹ", "ɬ": "l", "ʔ": "t", "ʲ": "", "\u0303": "",
}  # fmt: skip
# espeak-ng leaves "I" and "I'm" without stress; the model, which learned them with, swallows them.
_UNSTRESSED = re.compile(r"(?<![^\s(“])[AIOQWY](?=[^\sˈˌ]*(?:\s|$))")
_AMERICAN = {"o^ʊ": "O", "ɜːɹ": "ɜɹ", "ɜː": "ɜɹ", "ɪə": "iə", "ː": ""}
_BRITISH = {"ə^ʊ": "Q", "iə": "ɪə"}


def kokoro_spelling(ipa: str, british: bool = False) -> str:
    """espeak-ng's IPA with ties as the model's phonemes."""
    for heard, spelled in [*_SPELLING.items(), *(_BRITISH if british else _AMERICAN).items()]:
        ipa = ipa.replace(heard, spelled)
    ipa = re.sub("(\\S)\u0329", r"ᵊ\1", ipa).replace("\u0329", "")  # a syllabic consonant
    return _UNSTRESSED.sub(r"ˌ\g<0>", ipa.replace(TIE, ""))


class Kokoro:
    """English Kokoro voices: names beginning with `a` are American, with `b` British.

    Args:
        model: the folder; `file` is the model inside it.
        threads: CPU threads; with another number the last bits of the speech may differ.
    """

    name = "kokoro"
    sample_rate = 24000
    licence = "Apache-2.0"

    def __init__(
        self, model: str, *, file: str = "model.onnx", threads: int = 1, providers: Sequence[str] = ()
    ) -> None:
        self._folder, self._threads, self._providers = Path(model), threads, providers
        self._file = self._folder / file
        if not self._file.is_file():
            raise MostError("kokoro.model", self._file, "no such file; name the folder that holds model and voices/")
        self._vocab = _read_vocab(self._folder)
        self.voices = tuple(sorted(p.stem for p in (self._folder / "voices").glob("[ab][fm]_*.bin")))
        if not self.voices:
            raise MostError("kokoro.model", self._folder / "voices", "holds no English voice (such as af_heart.bin)")
        self._styles: dict[str, np.ndarray] = {}

    @cached_property
    def _session(self) -> Any:
        return onnx_session(self._file, self._threads, self._providers)

    def _style(self, voice: str, n_tokens: int) -> np.ndarray:
        if voice not in self.voices:
            raise MostError("kokoro.voice", voice, nearest(voice, self.voices))
        if voice not in self._styles:
            table = np.fromfile(self._folder / "voices" / f"{voice}.bin", dtype=np.float32)
            if table.size % STYLE_WIDTH or not table.size:
                raise MostError("kokoro.voice", voice, f"has {table.size} numbers, not rows of {STYLE_WIDTH}")
            self._styles[voice] = table.reshape(-1, STYLE_WIDTH)
        rows = self._styles[voice]
        return rows[min(n_tokens, len(rows) - 1)][None]

    def synthesize(self, text: str, voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray:
        """Speech at 24 kHz. The model draws nothing at random, so `seed` changes nothing."""
        language = _LANGUAGES.get(voice[:1], "en-us")
        return self._say(kokoro_spelling(phonemize(text, language), british=language == "en-gb"), text, voice, speed)

    def synthesize_phones(self, phones: Sequence[str], voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray:
        """A word of these phones, which are American whoever says them."""
        return self._say(kokoro_spelling(to_ipa(phones)), " ".join(phones), voice, speed)

    def _say(self, spelled: str, text: str, voice: str, speed: float) -> np.ndarray:
        ids = [self._vocab[p] for p in spelled if p in self._vocab]
        if not ids:
            raise Unspeakable(f"no phonemes in {text!r}")
        if len(ids) > MAX_TOKENS:
            raise Unspeakable(f"{len(ids)} phonemes in one chunk, Kokoro takes {MAX_TOKENS}: {text[:60]!r}...")
        names = {i.name for i in self._session.get_inputs()}
        feed = {
            "tokens" if "tokens" in names else "input_ids": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": self._style(voice, len(ids)),
            "speed": np.array([speed], dtype=np.float32),
        }
        return np.asarray(self._session.run(None, feed)[0], dtype=np.float32).reshape(-1)


def _read_vocab(folder: Path) -> dict[str, int]:
    for name, keys in (("vocab.json", ("vocab",)), ("tokenizer.json", ("model", "vocab"))):
        if (folder / name).is_file():
            tree = json.loads((folder / name).read_text(encoding="utf-8"))
            for key in keys:
                tree = tree.get(key, tree)
            return {str(k): int(v) for k, v in tree.items()}
    raise MostError("kokoro.model", folder, "has neither vocab.json nor tokenizer.json; copy it beside the model")
