"""Pieces heard in this process or in several, in any order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from most.data.corpora.check import Record
from most.data.processes import in_processes
from most.data.pseudo_label.label import Labeller
from most.data.pseudo_label.pieces import Piece
from most.data.pseudo_label.recipe import PseudoLabelRecipe


@dataclass(frozen=True)
class Labelled:
    """A piece's record, and the seconds of work that it took."""

    record: Record
    busy_seconds: float


def labelled(recipe: PseudoLabelRecipe, todo: Sequence[Piece]) -> Iterator[Labelled]:
    """Hear all of them.

    Raises:
        MostError: a judge that cannot be loaded; or a worker process died.
    """
    if not todo:
        return
    if recipe.workers == 1:
        labeller = Labeller(recipe)
        for piece in todo:
            yield _one(labeller, piece)
        return
    yield from in_processes(recipe.workers, Labeller, (recipe,), _one, todo)


def _one(labeller: Labeller, piece: Piece) -> Labelled:
    begin = time.monotonic()
    return Labelled(labeller.label(piece), time.monotonic() - begin)
