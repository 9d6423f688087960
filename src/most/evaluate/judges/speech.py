"""Word errors of synthesised speech as one judge hears it, with those of people saying the same beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from most.errors import MostError
from most.evaluate.judges.base import Judge
from most.evaluate.wer import WordErrors, word_errors


@dataclass(frozen=True, kw_only=True)
class SpeechScore:
    """How a judge heard synthesised speech, and how it heard people (or any reference audio) saying the same."""

    judge: str
    speech: WordErrors
    hypotheses: tuple[str, ...]
    originals: WordErrors | None = None
    original_hypotheses: tuple[str, ...] = ()


def score_speech(
    judge: Judge,
    wavs: Sequence[np.ndarray | None],
    refs: Sequence[str],
    originals: Sequence[np.ndarray] | None = None,
    *,
    rate: int = 16000,
    originals_rate: int = 16000,
    normalizer: str = "english",
) -> SpeechScore:
    """Word errors of speech as a judge hears it: mono float `(T,)` at `rate` against the texts it should say.

    `None` or an empty array is speech that was never made: all its words count as deleted. `originals` are recordings
    of the same texts; a few suffice where judging is slow (any length up to that of `refs`, in the same order).

    Raises:
        MostError: counts that do not fit, or audio that is not mono and finite.
    """
    if len(wavs) != len(refs):
        raise MostError("wavs", f"{len(wavs)} for {len(refs)} texts", "give one waveform (or None) a text")
    if originals is not None and not 0 < len(originals) <= len(refs):
        raise MostError("originals", f"{len(originals)} for {len(refs)} texts", "give between one and as many as texts")
    heard = tuple(judge.transcribe(w, rate) if w is not None and len(w) else "" for w in wavs)
    heard_originals = tuple(judge.transcribe(w, originals_rate) for w in originals or ())
    return SpeechScore(
        judge=judge.name,
        speech=word_errors(refs, heard, normalizer=normalizer),
        hypotheses=heard,
        originals=word_errors(refs[: len(heard_originals)], heard_originals, normalizer=normalizer)
        if heard_originals
        else None,
        original_hypotheses=heard_originals,
    )
