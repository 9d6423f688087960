"""One process's voices and judge: a turn's chunks said one after another, until the judge understands them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from most.data.dialogue.dialogue import Turn
from most.data.dialogue.voice.pool import Voice, Voices
from most.data.dialogue.voice.quality import NotUnderstood, Passed, Verdict, gated, judge_speech
from most.data.dialogue.voice.recipe import VoiceRecipe
from most.data.dialogue.voice.render import to_level, trim_silence
from most.data.dialogue.voice.seam import (
    PhoneSynthesizer,
    Synthesizer,
    Unspeakable,
    check_speech,
    seed_of,
    with_retries,
)
from most.data.dialogue.voice.timeline import Placed
from most.errors import MostError
from most.evaluate.judges import Judge
from most.speech.audio import resample

R = TypeVar("R", bound=VoiceRecipe)
P = TypeVar("P", bound=Voices)


@dataclass(frozen=True)
class Take:
    """Speech of one turn: samples `(T,)` at the output rate and where its chunks lie in them."""

    wav: np.ndarray
    bounds: tuple[tuple[int, int], ...]


@dataclass
class Line:
    """A turn on its way: what is said, by whom, how it was judged and changed."""

    turn: Turn
    voice: Voice | None
    passed: Passed[Take] | None
    take: Take | None
    changes: dict[str, Any]
    placed: Placed | None = None


@dataclass
class Counts:
    """What happened on the way, beyond what records say."""

    retried: int = 0
    remade: int = 0
    speech_seconds: float = 0.0


@dataclass
class Speaker(Generic[R, P]):
    """What one process needs to speak."""

    recipe: R
    synthesizers: Sequence[Synthesizer]
    pool: P
    judge: Judge | None
    babble: Sequence[np.ndarray] = ()
    counts: Counts = field(default_factory=Counts)

    def say(self, text: str, voice: Voice, seed: int, speed: float = 1.0) -> np.ndarray:
        """One chunk `(T,)` at the output rate, its quiet edges trimmed; a voice that fails is tried again."""
        synthesizer = self.synthesizers[voice.synthesizer]
        return self._said(lambda: synthesizer.synthesize(text, voice.name, seed, speed=speed), voice)

    def say_phones(self, phones: Sequence[str], voice: Voice, seed: int) -> np.ndarray:
        """One word by CMUdict's phones, as `say` says a text.

        Raises:
            MostError: the voice takes no phones.
        """
        synthesizer = self.synthesizers[voice.synthesizer]
        if not isinstance(synthesizer, PhoneSynthesizer):
            raise MostError("voices.kind", voice.kind, "takes no phones; kokoro, piper and flite do")
        return self._said(lambda: synthesizer.synthesize_phones(phones, voice.name, seed), voice)

    def _said(self, call: Callable[[], np.ndarray], voice: Voice) -> np.ndarray:
        wav, failed = with_retries(
            lambda: check_speech(call(), voice.label),
            attempts=self.recipe.attempts,
            wait_seconds=self.recipe.retry_seconds,
        )
        self.counts.retried += failed
        rate = self.recipe.audio.sample_rate
        return trim_silence(resample(wav, self.synthesizers[voice.synthesizer].sample_rate, rate), rate)

    def take(self, turn: Turn, voice: Voice, name: tuple[object, ...], number: int, speed: float) -> Take:
        """A turn's chunks one after another, with the recipe's pause between, at one loudness."""
        audio = self.recipe.audio
        pause = np.zeros(round(self.recipe.chunk_pause_seconds * audio.sample_rate), dtype=np.float32)
        pieces, bounds, at = [], [], 0
        for k, chunk in enumerate(turn.spoken):
            wav = self.say(chunk, voice, seed_of(*name, "chunk", k, "take", number), speed)
            if k:
                pieces.append(pause)
                at += len(pause)
            pieces.append(wav)
            bounds.append((at, at + len(wav)))
            at += len(wav)
        return Take(to_level(np.concatenate(pieces), audio.sample_rate, audio.level_dbfs), tuple(bounds))

    def turn(self, turn: Turn, voice: Voice, name: tuple[object, ...]) -> Passed[Take]:
        """A turn that the judge understands.

        Raises:
            NotUnderstood, VoiceFailed, Unspeakable: the dialogue is to be left out.
        """
        gate, rate = self.recipe.gate, self.recipe.audio.sample_rate
        if not turn.spoken:
            raise Unspeakable(f"nothing of {turn.text[:60]!r} can be said")

        def judged(take: Take) -> Verdict:
            return judge_speech(self.judge, take.wav, rate, " ".join(turn.spoken), gate.normalizer)

        try:
            passed = gated(lambda n, speed: self.take(turn, voice, name, n, speed), judged, gate.max_wer)
        except NotUnderstood as e:
            self.counts.remade += 1
            raise NotUnderstood(f"{voice.label}, {turn.role}: {turn.spoken[0][:60]!r}: {e}") from e
        self.counts.remade += passed.takes - 1
        return passed
