"""Piper voices (VITS) through onnxruntime alone: `voice.onnx` with `voice.onnx.json` beside it.

The `piper-tts` package is GPL-3 and not used; phonemes come from the espeak-ng program. Voices differ in licence: each
has a MODEL_CARD, and the recipe's `licence` carries it into the data card.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from most.data.dialogue.voice.arpabet import to_ipa
from most.data.dialogue.voice.phonemes import TIE, phonemize
from most.data.dialogue.voice.seam import Unspeakable
from most.data.dialogue.voice.sessions import onnx_session
from most.errors import MostError, nearest

_PAD, _BEGIN, _END = "_", "^", "$"


class Piper:
    """One Piper model; its voices are its speakers, or the file's name where it has one.

    Args:
        model: the .onnx file, or a folder that holds one.
        noise_scale: variation of the sound; length_scale: slower above 1; noise_width: variation of durations. What is
            left out comes from the voice's own settings.
    """

    name = "piper"

    def __init__(
        self, model: str, *, noise_scale: float | None = None, length_scale: float | None = None,
        noise_width: float | None = None, licence: str = "", threads: int = 1,
    ) -> None:  # fmt: skip
        self._file, self._threads, self.licence = _model_file(Path(model)), threads, licence
        config_file = self._file.with_name(self._file.name + ".json")
        if not config_file.is_file():
            raise MostError("piper.model", config_file, "no such file; a voice needs its .onnx.json beside it")
        config = json.loads(config_file.read_text(encoding="utf-8"))
        if config.get("phoneme_type", "espeak") != "espeak":
            raise MostError("piper.model", config["phoneme_type"], "only voices with espeak phonemes can be used")
        try:
            self.sample_rate = int(config["audio"]["sample_rate"])
            self._ids: dict[str, list[int]] = config["phoneme_id_map"]
            own = config.get("inference", {})
            self._language = str(config["espeak"]["voice"])
        except (KeyError, TypeError) as e:
            raise MostError("piper.model", config_file, f"is no Piper configuration (lacks {e})") from e
        self._speakers: dict[str, int] = config.get("speaker_id_map") or {}
        self.voices = tuple(self._speakers) or (self._file.stem,)
        given = (noise_scale, length_scale, noise_width)
        defaults = (own.get("noise_scale", 0.667), own.get("length_scale", 1.0), own.get("noise_w", 0.8))
        self._even: Any = None
        self._scales = [float(d if g is None else g) for g, d in zip(given, defaults, strict=True)]

    def phoneme_ids(self, text: str) -> list[int]:
        """Begin, each phoneme with a pad behind it, end; letters the voice has no id for are left out.

        Raises:
            Unspeakable: nothing of the text is left.
        """
        return self._ids_of(phonemize(text, self._language), text)

    def _ids_of(self, ipa: str, text: str) -> list[int]:
        known = [p for p in unicodedata.normalize("NFD", ipa.replace(TIE, "")) if p in self._ids]
        if not any(unicodedata.category(p).startswith("L") for p in known):
            raise Unspeakable(f"no phonemes in {text!r}")
        ids = [*self._ids[_BEGIN], *self._ids[_PAD]]
        for p in known:
            ids += [*self._ids[p], *self._ids[_PAD]]
        return [*ids, *self._ids[_END]]

    def synthesize(self, text: str, voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray:
        """Speech at the voice's rate.

        The model draws noise inside its graph, and its generator runs on from call to call; it is seeded only when a
        session is made. So each call makes one (0.3 s), unless both noises are 0: what is said does not depend on
        what was said before.
        """
        return self._say(self.phoneme_ids(text), voice, seed, speed)

    def synthesize_phones(self, phones: Sequence[str], voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray:
        """A word of these phones, by an English voice."""
        if not self._language.startswith("en"):
            raise MostError("piper.model", self._language, "only English voices can say words by CMUdict's phones")
        return self._say(self._ids_of(to_ipa(phones), " ".join(phones)), voice, seed, speed)

    def _say(self, ids: list[int], voice: str, seed: int, speed: float) -> np.ndarray:
        if voice not in self.voices:
            raise MostError("piper.voice", voice, nearest(voice, self.voices))
        noise, length, width = self._scales
        session = self._even or onnx_session(self._file, self._threads, optimize=False, seed=seed % 2**31)
        if noise == width == 0:
            self._even = session
        feed: dict[str, Any] = {
            "input": np.array([ids], dtype=np.int64),
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": np.array([noise, length / speed, width], dtype=np.float32),
        }
        if "sid" in {i.name for i in session.get_inputs()}:
            feed["sid"] = np.array([self._speakers.get(voice, 0)], dtype=np.int64)
        return np.asarray(session.run(None, feed)[0], dtype=np.float32).reshape(-1)


def _model_file(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("*.onnx"))
        if len(found) != 1:
            raise MostError("piper.model", path, f"holds {len(found)} .onnx files; name the one to use")
        return found[0]
    if not path.is_file():
        raise MostError("piper.model", path, "no such file; name the voice's .onnx")
    return path
