"""Chunks to be spoken at one go: whole sentences, as many as fit. Paper, stage 2: at most 20 words."""

from __future__ import annotations

import re

from most.errors import MostError

MAX_WORDS = 20
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_CLAUSE_ENDS = (",", ";", ":")
_JOINING = """
    and but or because so which that who when where while if although though since unless until after before then as to
    for with
"""
_JOINTS = frozenset(_JOINING.split())
_LEAST_WORDS = 4
"""A clause split off a long sentence has at least so many words, where it can."""


def chunks(spoken: str, max_words: int = MAX_WORDS) -> list[str]:
    """Cut a spoken text into chunks of whole sentences; joined by spaces they give the text back.

    A sentence over the limit is cut behind a comma, else before a word that joins clauses, else into even parts.

    Raises:
        MostError: `max_words` below 1.
    """
    if max_words < 1:
        raise MostError("max_words", max_words, "must be at least 1")
    out: list[list[str]] = []
    for sentence in _SENTENCE_END.split(spoken.strip()):
        words = sentence.split()
        whole = len(words) <= max_words
        if whole and out and len(out[-1]) + len(words) <= max_words and out[-1][-1][-1] in ".!?":
            out[-1] += words
        elif words:
            out += [words] if whole else _clauses(words, max_words)
    return [" ".join(words) for words in out]


def _clauses(words: list[str], max_words: int) -> list[list[str]]:
    parts = []
    while len(words) > max_words:
        at = _cut(words, max_words)
        parts.append(words[:at])
        words = words[at:]
    return [*parts, words]


def _cut(words: list[str], max_words: int) -> int:
    """Before which word to cut: the last good place within the limit that leaves neither side tiny."""
    room = range(min(max_words, len(words) - _LEAST_WORDS), min(_LEAST_WORDS, max_words) - 1, -1)
    for at in room:
        if words[at - 1].endswith(_CLAUSE_ENDS):
            return at
    for at in room:
        if words[at].lower() in _JOINTS:
            return at
    n_parts = -(-len(words) // max_words)
    return -(-len(words) // n_parts)
