"""The gate: a recogniser with no part in the synthesis writes down what each turn sounds like.

A turn whose word error rate is above the limit is made a second time, with another seed and a little slower; if that
take is no better than the limit allows, its dialogue is left out. The whole dialogue, not the turn: without one of its
turns it no longer alternates, and what follows answers something nobody said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from most.errors import MostError, nearest
from most.evaluate.judges import JUDGES, Judge, make_judge
from most.evaluate.text import NORMALIZERS

T = TypeVar("T")
SECOND_TAKE_SPEED = 0.92


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """Who judges and what passes.

    Args:
        judge: a name from `most.evaluate.judges`, or none to pass everything unheard.
        settings: the judge's (model, context, language, threads).
        max_wer: word error rate up to which a turn passes.
        normalizer: how both texts are written before they are compared.
    """

    judge: str = "faster-whisper"
    settings: dict[str, Any] = field(default_factory=lambda: {"model": "base.en"})
    max_wer: float = 0.3
    normalizer: str = "english"

    def __post_init__(self) -> None:
        if self.judge != "none" and self.judge not in JUDGES:
            raise MostError("gate.judge", self.judge, nearest(self.judge, [*JUDGES, "none"]))
        if self.normalizer not in NORMALIZERS:
            raise MostError("gate.normalizer", self.normalizer, nearest(self.normalizer, NORMALIZERS))
        if not self.max_wer >= 0:
            raise MostError("gate.max_wer", self.max_wer, "must be >= 0; 0.3 is three words wrong in ten")

    def make(self) -> Judge | None:
        return None if self.judge == "none" else make_judge(self.judge, **self.settings)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was heard. `wer` is None where nobody judged, or where the text has no word to compare (`Mhm.`)."""

    heard: str | None = None
    errors: int = 0
    words: int = 0
    wer: float | None = None


class NotUnderstood(Exception):
    """Both takes of a turn are above the limit."""


def spelled_like(text: str, other: str) -> str:
    """`text` with two words written as one where `other` has them so: nobody hears the space.

    Only for the gate, where a short turn would fail by it; word error rates that are reported elsewhere keep the error.
    """
    words, known, out = text.split(), set(other.split()), list[str]()
    for word in words:
        if out and out[-1] + word in known and out[-1] + word not in words:
            out[-1] += word
        else:
            out.append(word)
    return " ".join(out)


def judge_speech(judge: Judge | None, wav: np.ndarray, rate: int, text: str, normalizer: str = "english") -> Verdict:
    """Word errors of `(T,)` speech against the text it should say; `window sill` and `windowsill` are no error here."""
    clean = NORMALIZERS[normalizer]
    if judge is None or not clean(text):
        return Verdict()
    from most.evaluate.wer import word_errors

    heard = judge.transcribe(wav, rate)
    said, got = clean(text), clean(heard)
    said, got = spelled_like(said, got), spelled_like(got, said)
    score = word_errors([said], [got], normalizer=normalizer, n_bootstrap=1)
    errors = score.substitutions + score.deletions + score.insertions
    return Verdict(heard=heard, errors=errors, words=score.reference_words, wer=round(score.wer, 4))


@dataclass(frozen=True)
class Passed(Generic[T]):
    take: T
    verdict: Verdict
    takes: int


def gated(
    make: Callable[[int, float], T], judge: Callable[[T], Verdict], max_wer: float, *, takes: int = 2
) -> Passed[T]:
    """The first take that the judge understands.

    Args:
        make: a take from its number (0, 1) and speed.

    Raises:
        NotUnderstood: none is at most `max_wer`; names the best rate and what was heard.
    """
    verdicts = []
    for number in range(takes):
        take = make(number, 1.0 if number == 0 else SECOND_TAKE_SPEED)
        verdict = judge(take)
        if verdict.wer is None or verdict.wer <= max_wer:
            return Passed(take, verdict, number + 1)
        verdicts.append(verdict)
    best = min(verdicts, key=lambda v: v.errors)
    raise NotUnderstood(
        f"word error rate {best.wer:.2f} after {takes} takes, the limit is {max_wer:g}; heard {best.heard!r}"
    )
