"""Interruptions where the text has none: an assistant's turn that breaks off at 40-80 % because the user speaks.

The point is chosen in the text, at the end of a word, and only what is said before it is spoken: so text and speech of
the turn agree to the word, which a cut of finished speech cannot promise.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from most.data.dialogue.dialogue import Dialogue, Turn

_WORD = re.compile(r"\S+")
MIN_WORDS = 8


def spoken_chunks(text: str) -> tuple[str, ...]:
    """Written text as the chunks in which it is said; empty where nothing of it can be."""
    from most.data.dialogue.spoken import chunks, to_spoken

    return tuple(c for c in chunks(to_spoken(text)) if c.strip())


def with_spoken(dialogue: Dialogue) -> Dialogue:
    """The dialogue with `spoken` filled where it was empty."""
    return replace(
        dialogue, turns=tuple(t if t.spoken else replace(t, spoken=spoken_chunks(t.said)) for t in dialogue.turns)
    )


def cut_points(text: str, between: tuple[float, float]) -> list[int]:
    """Ends of words, in characters, between two shares of the text; those inside sentences where there are any."""
    ends = [m.end() for m in _WORD.finditer(text) if between[0] <= m.end() / len(text) <= between[1]]
    inside = [e for e in ends if text[e - 1] not in ".!?…:"]
    return inside or ends


def barge_in(dialogue: Dialogue, rng: np.random.Generator, between: tuple[float, float]) -> Dialogue:
    """Let one of the user's later turns break in; the same dialogue where it has an interruption or no room for one.

    Args:
        between: shares of the interrupted turn's text between which it breaks off.
    """
    turns = list(dialogue.turns)
    if any(t.interrupted_at is not None for t in turns):
        return dialogue
    able = [
        k for k, t in enumerate(turns[:-1])
        if t.role == "assistant" and len(t.text.split()) >= MIN_WORDS and cut_points(t.text, between)
    ]  # fmt: skip
    if not able:
        return dialogue
    k = able[rng.integers(len(able))]
    cuts = cut_points(turns[k].text, between)
    cut = int(cuts[rng.integers(len(cuts))])
    said = spoken_chunks(turns[k].text[:cut])
    if not said:
        return dialogue
    turns[k] = replace(turns[k], interrupted_at=cut, spoken=said)
    after: Turn = turns[k + 1]
    turns[k + 1] = replace(after, interrupts=True)
    return replace(dialogue, turns=tuple(turns))
