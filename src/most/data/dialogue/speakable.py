"""Fills `spoken` of a file of dialogues: each turn, as far as it is said, in chunks of whole sentences."""

from __future__ import annotations

import os
from dataclasses import replace

from most.data.dialogue.collected import Collected, Rejection, write_collected
from most.data.dialogue.dialogue import Dialogue, read_dialogues
from most.data.dialogue.spoken.chunks import MAX_WORDS, chunks
from most.data.dialogue.spoken.dates import Locale
from most.data.dialogue.spoken.form import to_spoken


def speakable(dialogue: Dialogue, *, max_words: int = MAX_WORDS, locale: Locale = "US") -> Dialogue | Rejection:
    """The dialogue with `spoken` in every turn; a rejection if a turn has nothing to say (an emoji alone)."""
    turns = []
    for turn in dialogue.turns:
        said = chunks(to_spoken(turn.said, locale), max_words)
        if not any(c.isalpha() for chunk in said for c in chunk):
            return Rejection(id=dialogue.id, reasons=("a turn with nothing to say",))
        turns.append(replace(turn, spoken=tuple(said)))
    return replace(dialogue, turns=tuple(turns))


def speak_file(
    source: str | os.PathLike[str], out: str | os.PathLike[str], *, max_words: int = MAX_WORDS, locale: Locale = "US"
) -> Collected:
    """Write `out`: the dialogues of `source` with their spoken form."""
    found = read_dialogues(source)
    return write_collected(out, (speakable(d, max_words=max_words, locale=locale) for d in found))
