"""Who speaks: voices from a weighted pool, drawn from the run's seed and the item's id alone; a dialogue has two.

So the draw is the same in any order, in any process and after any interruption.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from most.data.dialogue.voice.seam import Synthesizer, generator
from most.errors import MostError, nearest


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One voice of the pool: which synthesizer of the recipe (by index), its name there, and whom it may speak."""

    synthesizer: int
    kind: str
    name: str
    roles: tuple[str, ...] = ("user", "assistant")
    licence: str = ""
    weight: float = 1.0
    """How often it speaks, against the others' weights."""

    @property
    def label(self) -> str:
        """What records and manifests call the speaker."""
        return f"{self.kind}:{self.name}"


def _drawn(voices: Sequence[Voice], rng: np.random.Generator) -> Voice:
    if len({v.weight for v in voices}) == 1:
        return voices[int(rng.integers(len(voices)))]
    weights = np.array([v.weight for v in voices])
    return voices[int(rng.choice(len(voices), p=weights / weights.sum()))]


class VoiceGroup(Protocol):
    """A synthesizer of a recipe and which of its voices (none for all) may speak whom."""

    @property
    def kind(self) -> str: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def roles(self) -> Sequence[str]: ...
    @property
    def licence(self) -> str: ...
    @property
    def weight(self) -> float: ...


class Voices:
    """All voices of a recipe, each alone.

    Raises:
        MostError: no voice, or two of one label.
    """

    def __init__(self, voices: Iterable[Voice]) -> None:
        self.voices: tuple[Voice, ...] = tuple(voices)
        if not self.voices:
            raise MostError("voices", [], "name at least one")
        if twice := [label for label, n in Counter(v.label for v in self.voices).items() if n > 1]:
            raise MostError("voices", twice[0], "stands in the pool twice; name each voice once")

    def draw(self, id: str, seed: int) -> Voice:
        """Who says the item of this id."""
        return _drawn(self.voices, generator(seed, "voice", id))


class VoicePool(Voices):
    """All voices of a recipe for dialogues.

    Args:
        roles: who is heard.

    Raises:
        MostError: as `Voices`, a role without voice, or one voice for both roles and nobody else.
    """

    def __init__(self, voices: Iterable[Voice], roles: Sequence[str] = ("user", "assistant")) -> None:
        super().__init__(voices)
        self._of_role = {role: [v for v in self.voices if role in v.roles] for role in roles}
        for role, found in self._of_role.items():
            if not found:
                raise MostError("voices", [v.label for v in self.voices], f"none of them may speak the {role}")
        if len(labels := [v.label for v in self.voices]) < len(roles):
            raise MostError("voices", labels, "user and assistant need different voices; name two")

    def cast(self, dialogue_id: str, seed: int) -> dict[str, Voice]:
        """The voice of each role in this dialogue; never the same."""
        rng = generator(seed, "cast", dialogue_id)
        cast: dict[str, Voice] = {}
        # Whoever has fewest to choose from goes first, or the only assistant could be taken as user.
        for role in sorted(self._of_role, key=lambda r: (len(self._of_role[r]), r)):
            taken = {v.label for v in cast.values()}
            cast[role] = _drawn([v for v in self._of_role[role] if v.label not in taken], rng)
        return cast


def voices_of(groups: Sequence[VoiceGroup], made: Sequence[Synthesizer]) -> list[Voice]:
    """The voices of a recipe's groups and their synthesizers.

    Raises:
        MostError: a name that the synthesizer does not have.
    """
    voices = []
    for k, (group, synthesizer) in enumerate(zip(groups, made, strict=True)):
        for name in group.names or synthesizer.voices:
            if name not in synthesizer.voices:
                raise MostError(f"voices[{k}].names", name, nearest(name, synthesizer.voices))
            licence = group.licence or synthesizer.licence
            voices.append(
                Voice(
                    synthesizer=k,
                    kind=group.kind,
                    name=name,
                    roles=tuple(group.roles),
                    licence=licence,
                    weight=group.weight,
                )
            )
    return voices
