"""Which dialogues can be spoken: limits as settings, and the reasons why a dialogue is left out.

Paper, stage 2: an LLM chose the dialogues that suit speech. What needs no judgement (code, tables, length) is
settled here.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from most.data.dialogue.dialogue import Dialogue
from most.errors import MostError

_CODE = re.compile(
    r"```|~~~|^(?: {4}|\t)\S.*[;{}()=]\s*$|^\s*(?:import [\w.]+\s*$|from [\w.]+ import )|"
    r"\bdef \w+\(|#include\b|</\w+>|\bconsole\.log|\bSELECT .+ FROM\b",
    re.MULTILINE,
)
_TABLE = re.compile(r"^\s*\|.*\|.*\|\s*$|^\s*\|?\s*:?-{3,}:?\s*\|", re.MULTILINE)
_URL = re.compile(r"https?://|\bwww\.\w", re.IGNORECASE)
_FORMULA = re.compile(r"\\(?:frac|begin|sum|int|sqrt|left|cdot|boxed)\b|\$\$|\\\[|\\\(")
_LIST_ITEM = re.compile(r"^\s*(?:[-*+•]|\d{1,2}[.)])\s+", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class SpeechLimits:
    """What a dialogue may hold to be spoken.

    Args:
        max_turns: fewer are fine; at least two are needed.
        max_words: of one turn, as written; the paper's chunks are 20 words, a turn may be several.
        max_list_items: of one turn; lists are tiring to hear.
        max_foreign: share of letters outside the Latin script, at most.
        allow_code, allow_tables, allow_urls, allow_formulas: keep what is left out otherwise.
    """

    max_turns: int = 24
    max_words: int = 160
    max_list_items: int = 6
    max_foreign: float = 0.0
    allow_code: bool = False
    allow_tables: bool = False
    allow_urls: bool = False
    allow_formulas: bool = False

    def __post_init__(self) -> None:
        for name, least in (("max_turns", 2), ("max_words", 1), ("max_list_items", 0)):
            if getattr(self, name) < least:
                raise MostError(f"limits.{name}", getattr(self, name), f"must be at least {least}")
        if not 0 <= self.max_foreign <= 1:
            raise MostError("limits.max_foreign", self.max_foreign, "must lie between 0 and 1")


def foreign_share(text: str) -> float:
    """Part of the letters that are not of the Latin script."""
    letters = [c for c in text if c.isalpha()]
    foreign = sum(
        not c.isascii() and not unicodedata.name(c, "").startswith(("LATIN", "FEMININE", "MASCULINE")) for c in letters
    )
    return foreign / max(1, len(letters))


def reasons_against(dialogue: Dialogue, limits: SpeechLimits) -> list[str]:
    """Why a dialogue is not fit for speech, each reason once; empty if it is."""
    reasons = set()
    if len(dialogue.turns) < 2:
        reasons.add("no answer")
    if len(dialogue.turns) > limits.max_turns:
        reasons.add("too many turns")
    for turn in dialogue.turns:
        text = turn.text
        if not limits.allow_code and _CODE.search(text):
            reasons.add("code")
        if not limits.allow_tables and _TABLE.search(text):
            reasons.add("table")
        if not limits.allow_urls and _URL.search(text):
            reasons.add("web address")
        if not limits.allow_formulas and _FORMULA.search(text):
            reasons.add("formula")
        if len(text.split()) > limits.max_words:
            reasons.add("turn too long")
        if len(_LIST_ITEM.findall(text)) > limits.max_list_items:
            reasons.add("long list")
        if foreign_share(text) > limits.max_foreign:
            reasons.add("letters that are not Latin")
        if not any(c.isalnum() for c in text):
            reasons.add("nothing to say")
    return sorted(reasons)
