"""What the paper reports, and where its figures for other models differ from what others report.

Source: arXiv 2601.10272 and the README of github.com/NUS-HPC-AI-Lab/MoST (the same tables). It states neither
normaliser nor prompts nor how answers are matched, so equal names do not make equal measurements.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

PAPER = "arXiv 2601.10272"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A figure of the paper's model.

    Args:
        set: as the paper calls it; `pattern` finds it in our name, letters and digits only.
        metrics: our scores beside which it stands.
        value: share from 0 to 1.
        direction: of spoken QA: S→T or S→S.
    """

    family: str
    set: str
    pattern: str
    metrics: tuple[str, ...]
    value: float
    direction: str = ""


def _wer(set: str, pattern: str, asr: float, tts: float) -> tuple[Goal, ...]:
    pattern = r"(?!.*(dev|valid|train))" + pattern
    return tuple(
        Goal(family=family, set=set, pattern=pattern, metrics=("wer",), value=value)
        for family, value in (("asr", asr), ("tts", tts))
    )


def _accuracy(set: str, pattern: str, value: float) -> Goal:
    return Goal(family="audio_lm", set=set, pattern=pattern, metrics=("accuracy",), value=value)


def _qa(set: str, pattern: str, to_text: float, to_speech: float) -> tuple[Goal, ...]:
    return tuple(
        Goal(
            family="spoken_qa", set=set, pattern=pattern, metrics=("contained", "alias"), value=value, direction=way
        )
        for way, value in (("S→T", to_text), ("S→S", to_speech))
    )  # fmt: skip


GOALS: tuple[Goal, ...] = (
    *_wer("LibriSpeech test-clean", "librispeech.*clean", 0.020, 0.060),
    *_wer("LibriSpeech test-other", "librispeech.*other", 0.037, 0.072),
    *_wer("VoxPopuli en", "voxpopuli", 0.062, 0.101),
    *_wer("Common Voice en", "commonvoice", 0.084, 0.115),
    _accuracy("sWUGGY", "swuggy", 0.7528),
    _accuracy("sBLIMP", "sblimp", 0.6342),
    _accuracy("sTopic-StoryCloze", "(t|stopic|tspoken|topic)storycloze", 0.8364),
    _accuracy("sStoryCloze", "(s|spoken)?storycloze", 0.6543),
    *_qa("Llama Questions", "llama", 0.748, 0.626),
    *_qa("TriviaQA", "triviaqa", 0.435, 0.321),
    *_qa("WebQuestions", "webquestions", 0.582, 0.447),
)


def find_goal(family: str, set_name: str, metric: str, direction: str = "") -> Goal | None:
    """The paper's figure for that score, if it reports one. Parts of a set (`metric/part`) have none.

    Args:
        metric: ours; what follows in brackets (a judge) is left out of account.
    """
    key = re.sub(r"[^a-z0-9]", "", set_name.lower())
    for goal in GOALS:
        asked = goal.family == family and metric.split(" (")[0] in goal.metrics and goal.direction == direction
        if asked and re.match(goal.pattern, key):
            return goal
    return None


@dataclass(frozen=True, kw_only=True)
class Disputed:
    """A figure for another model, in per cent, in the paper's tables and elsewhere."""

    family: str
    model: str
    set: str
    paper: str
    elsewhere: str
    source: str


_ALIGN_SLM = "Align-SLM, arXiv 2411.01834, main table"
_MOSHI = "Moshi's own paper, arXiv 2410.00037, table 8"

DISPUTED: tuple[Disputed, ...] = tuple(
    Disputed(family=family, model=model, set=set, paper=paper, elsewhere=elsewhere, source=source)
    for family, model, set, paper, elsewhere, source in (
        ("audio_lm", "Moshi", "sWUGGY", "51.14", "72.6", _ALIGN_SLM),
        ("audio_lm", "Moshi", "sBLIMP", "53.31", "58.8", _ALIGN_SLM),
        ("audio_lm", "Moshi", "sTopic-StoryCloze", "46.34", "83.0", _ALIGN_SLM),
        ("audio_lm", "Moshi", "sStoryCloze", "45.16", "60.8", _ALIGN_SLM),
        ("audio_lm", "Spirit-LM", "sWUGGY", "40.14", "69.0", _ALIGN_SLM),
        ("audio_lm", "Spirit-LM", "sBLIMP", "48.28", "58.3", _ALIGN_SLM),
        ("spoken_qa", "Moshi", "Llama Questions", "52.1 S→T, 40.3 S→S", "62.3", _MOSHI),
        ("spoken_qa", "Moshi", "TriviaQA", "35.6 S→T, 20.7 S→S", "22.8", _MOSHI),
        ("spoken_qa", "Moshi", "WebQuestions", "38.4 S→T, 28.5 S→S", "26.6", _MOSHI),
    )
)
"""Do not quote these from the paper alone."""


def disputed(families: Collection[str]) -> list[Disputed]:
    return [d for d in DISPUTED if d.family in families]
