"""What a voice is like, beside what it says: pitch (WORLD), and likeness to a speaker (an x-vector model).

The x-vector is that of transformers' `AutoModelForAudioXVector`, such as `microsoft/wavlm-base-plus-sv`. Cosines of
different models must not be compared with each other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from most.errors import MostError
from most.manifest import read_utterances
from most.speech.audio import read_audio, resample
from most.speech.f0 import measure_f0

F0_RATE_HZ = 100.0
MIN_SECONDS = 0.5
"""Shorter speech is repeated up to this length before an x-vector is taken: the models' time delays need frames."""


@dataclass(frozen=True, kw_only=True)
class Pitch:
    """Median F0 over voiced frames in Hz (None without any), and the share of frames that are voiced."""

    median_hz: float | None
    voiced: float


def measure_pitch(wav: np.ndarray, rate: int) -> Pitch:
    """Of mono `(T,)`; needs the extra `codec`.

    Raises:
        MostError: pyworld is not installed.
    """
    n_frames = max(1, int(len(wav) / rate * F0_RATE_HZ))
    f0 = measure_f0(wav, rate, n_frames, F0_RATE_HZ) if len(wav) else np.zeros(n_frames)
    voiced = f0 > 0
    return Pitch(median_hz=float(np.median(f0[voiced])) if voiced.any() else None, voiced=float(voiced.mean()))


class SpeakerModel:
    """Speech to a vector of unit length that says who speaks.

    Args:
        model: folder or hub id of a model with an x-vector head and its feature extractor.
        device: where it runs.
    """

    def __init__(self, model: str | os.PathLike[str], *, device: str = "cpu") -> None:
        from transformers import AutoFeatureExtractor, AutoModelForAudioXVector

        try:
            self._features: Any = AutoFeatureExtractor.from_pretrained(os.fspath(model))
            self._model = AutoModelForAudioXVector.from_pretrained(os.fspath(model)).to(device).eval()
        except (OSError, ValueError, KeyError) as e:
            raise MostError("speaker_model", model, f"could not be loaded as an x-vector model ({e})") from e
        self.name = os.path.basename(os.path.normpath(model))
        self.sample_rate = int(self._features.sampling_rate)

    @torch.inference_mode()
    def embed(self, wav: np.ndarray, rate: int) -> np.ndarray:
        """Mono float `(T,)`, not empty -> `(D,)` float32 of length 1."""
        wav = resample(np.asarray(wav, dtype=np.float32), rate, self.sample_rate)
        wav = np.resize(wav, max(len(wav), round(MIN_SECONDS * self.sample_rate)))
        inputs = self._features(wav, sampling_rate=self.sample_rate, return_tensors="pt").to(self._model.device)
        vector = self._model(**inputs).embeddings[0].float().cpu().numpy()
        return vector / max(float(np.linalg.norm(vector)), 1e-12)


def likeness(vector: np.ndarray, others: Sequence[np.ndarray]) -> float:
    """Cosine of a unit vector and the mean direction of others."""
    mean = np.mean(others, axis=0)
    return float(vector @ mean / max(float(np.linalg.norm(mean)), 1e-12))


@cache
def speaker_model(model: str) -> SpeakerModel:
    """The model, loaded once a process.

    Raises:
        MostError: it cannot be loaded.
    """
    return SpeakerModel(model)


@cache
def voice_vectors(model: str, manifest: Path) -> tuple[np.ndarray, ...]:
    """A vector for each recording that an utterance manifest names, computed once a process.

    Raises:
        MostError: the model cannot be loaded, or the manifest or a recording cannot be read.
    """
    loaded = speaker_model(model)
    return tuple(
        loaded.embed(read_audio(row.audio, loaded.sample_rate), loaded.sample_rate) for row in read_utterances(manifest)
    )
