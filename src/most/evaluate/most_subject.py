"""A MoST and its codec as the subject of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import soxr

from most.errors import MostError
from most.evaluate.likelihood import Likelihood, text_likelihoods, unit_likelihoods
from most.evaluate.subject import Asked, Capability, conversation
from most.generate.engine import Audio, Engine, SpeakSettings, Speech
from most.generate.hearing import Hearing


class MostSubject:
    """Wraps an engine.

    Args:
        batch_size: of generation and of likelihoods; answers do not depend on it.
        speaker: voice of the codec; its main one when left out.
        temperature: of speech; 0 takes the most likely unit. best_of: takes of which one is kept.
        hearing: how transcripts are searched for, in place of the engine's own way.
    """

    capabilities: frozenset[Capability] = frozenset({"text", "hear", "speak"})

    def __init__(
        self, engine: Engine, name: str, *, batch_size: int = 8, speaker: str | None = None, temperature: float = 0.4,
        best_of: int = 1, hearing: Hearing | None = None,
    ) -> None:  # fmt: skip
        if engine.codec is None:
            raise MostError("codec", None, "is needed to evaluate speech; load the engine with one")
        self.engine, self.codec, self.name = engine, engine.codec, name
        if hearing is not None:
            engine.hear_by(hearing)
        self.batch_size, self.speaker = batch_size, speaker
        self.speech = SpeakSettings(temperature=temperature, best_of=best_of)

    @classmethod
    def load(
        cls, folder: str | Path, *, codec: Path | None = None, device: str = "cpu", bits: int | None = None,
        **settings: object,
    ) -> MostSubject:  # fmt: skip
        """From a model's folder or hub id; `settings` are those of the constructor."""
        return cls(Engine.load(folder, codec, device, bits), str(folder), **settings)  # type: ignore[arg-type]

    def transcribe(self, audios: Sequence[Audio], *, max_new_tokens: int = 256) -> list[str]:
        return self.engine.transcribe(audios, batch_size=self.batch_size, max_new_tokens=max_new_tokens)

    def speak(self, texts: Sequence[str], *, seeds: Sequence[int], max_seconds: float = 20.0) -> list[Speech]:
        settings = replace(self.speech, max_seconds=max_seconds)
        return self.engine.speak(
            texts, speaker=self.speaker, settings=settings, batch_size=self.batch_size, seeds=seeds
        )

    def answer_text(self, questions: Sequence[Asked], *, max_new_tokens: int = 64) -> list[str]:
        return self.engine.write(
            [conversation(q) for q in questions], batch_size=self.batch_size, max_new_tokens=max_new_tokens
        )

    def answer_speech(
        self, questions: Sequence[Asked], *, seeds: Sequence[int], max_seconds: float = 20.0
    ) -> list[Speech]:
        settings = replace(self.speech, max_seconds=max_seconds)
        replies = self.engine.reply(
            [conversation(q) for q in questions], speaker=self.speaker, settings=settings, batch_size=self.batch_size,
            seeds=seeds,
        )  # fmt: skip
        return [r.speech for r in replies]

    def text_likelihoods(self, texts: Sequence[tuple[str, str]]) -> list[Likelihood]:
        return text_likelihoods(self.engine.model, self.engine.processor.tokenizer, texts, batch_size=self.batch_size)

    def unit_likelihoods(self, units: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Likelihood]:
        return unit_likelihoods(self.engine.model, self.engine.processor, units, batch_size=self.batch_size)

    def units_of(self, wav: np.ndarray, rate: int) -> np.ndarray:
        if rate != self.codec.sample_rate:
            wav = soxr.resample(wav, rate, self.codec.sample_rate, quality="HQ")
        return self.codec.encode(np.asarray(wav, dtype=np.float32))
