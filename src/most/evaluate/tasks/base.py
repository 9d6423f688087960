"""What a task is: one family on one set. The runner asks for answers and logs them; scores are made from the log alone.

So a score can be recomputed from the log of any earlier run, and an interrupted run loses at most one batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from most.evaluate.score import Score
from most.evaluate.sets.base import SetInfo
from most.evaluate.subject import Capability, Subject

Row = dict[str, Any]
"""A line of the log: what can be written as JSON. The runner adds `id`, and `error` where an item failed."""


class Item(Protocol):
    """What is asked. Items are frozen dataclasses; ids are unique within a set."""

    @property
    def id(self) -> str: ...


class Task(Protocol):
    """One family on one set."""

    @property
    def name(self) -> str:
        """As the recipe calls it; also the name of its folder."""
        ...

    @property
    def info(self) -> SetInfo:
        """Of the set: its source, its licence, what it stands in for."""
        ...

    @property
    def family(self) -> str:
        """`asr`, `tts`, `audio_lm`, `spoken_qa` or `text`."""
        ...

    @property
    def needs(self) -> frozenset[Capability]:
        """What a model must be able to do; a task that asks for more than it can is left out, and said to be."""
        ...

    @property
    def items(self) -> Sequence[Any]: ...

    @property
    def facts(self) -> Mapping[str, str]:
        """What a reader must know to read the scores: prompts, normaliser, judge, normalisation of likelihoods."""
        ...

    def answer(self, subject: Subject, items: Sequence[Any], folder: Path) -> list[Row]:
        """One row an item, in their order: answer, reference, and all that scoring needs.

        An answer must not depend on which items come together: the runner forms batches as it likes. Audio goes to
        `folder` as files, a row names it relative to that. An exception makes the runner ask item by item.
        """
        ...

    def score(self, rows: Sequence[Row]) -> list[Score]:
        """The scores of a whole set, the main one first. A row with `error` is a failed item and stays in the count."""
        ...

    def badness(self, row: Row) -> float:
        """How wrong an answer is, for listing the worst first; higher is worse."""
        ...
