"""What is to be said for a test set, and what a reader hands to the builder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from most.data.dialogue.voice.pool import Voice, Voices

NOT_IN_NAMES = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, kw_only=True)
class Said:
    """A text, and how it is said: as words in chunks, or as one word's phones."""

    text: str
    spoken: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Item:
    """One line of a set and the audio that belongs to it.

    Args:
        id: names the line and its files; unique within the set.
        key: what the voice and its noise are drawn by: a pair's, whatever voice says it.
        sides: name to what is said; all are said by one voice with one seed.
        shared: said before each side, once: the same samples stand before all of them.
        row: what the line holds beside audio.
    """

    id: str
    key: str
    sides: dict[str, Said]
    row: dict[str, Any]
    shared: tuple[str, ...] = ()
    voice: Voice | None = None

    @property
    def n_words(self) -> int:
        shared = sum(len(s.split()) for s in self.shared)
        return sum(shared + (len(" ".join(s.spoken).split()) or 1) for s in self.sides.values())


@dataclass(kw_only=True)
class Chosen:
    """What a reader found.

    Args:
        left_out: rows `id`, `reason`, `detail` of what the source holds and the set cannot.
        notes: lines for the card.
    """

    items: list[Item] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, id: str, reason: str, detail: str) -> None:
        self.left_out.append({"id": id, "reason": reason, "detail": detail[:200]})


def pair(id: str, group: str, good: Said, bad: Said, shared: Sequence[str] = (), **more: Any) -> Item:
    """A pair of which one side is to be found the likelier; `more` is for whoever reads the lines."""
    row = {"pair": id, "group": group, "prompt": None, **more}
    return Item(id=id, key=id, sides={"good": good, "bad": bad}, row=row, shared=tuple(shared))


def with_voices(items: Sequence[Item], pool: Voices, seed: int, *, every_voice: bool) -> list[Item]:
    """The items with who says them: a voice of the pool drawn by the item, or each in every voice."""
    if not every_voice:
        return [replace(i, voice=pool.draw(i.key, seed)) for i in items]
    return [
        replace(item, id=f"{item.id}-{NOT_IN_NAMES.sub('-', voice.label)}", voice=voice)
        for item in items
        for voice in pool.voices
    ]
