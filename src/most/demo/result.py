"""What the demo measures, as plain data for its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from most.evaluate.judges import SpeechScore
from most.evaluate.wer import WordErrors
from most.generate.engine import Speech
from most.manifest import Example


@dataclass(frozen=True, kw_only=True)
class Heard:
    """Transcripts of a test set, beside what was said."""

    examples: Sequence[Example]
    references: Sequence[str]
    hypotheses: Sequence[str]
    errors: WordErrors


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo measured: transcripts of the unheard speaker and of the heard ones, and its own speech, judged."""

    unheard: Heard
    heard: Heard
    texts: Sequence[str]
    speech: Sequence[Speech]
    spoken: SpeechScore
    seconds: dict[str, float]
