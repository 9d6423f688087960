"""Pieces heard in this process or in several, in any order."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from most.data.corpora.check import Record
from most.data.dialogue.voice.work import MostErrorParts
from most.data.pseudo_label.label import Labeller
from most.data.pseudo_label.pieces import Piece
from most.data.pseudo_label.recipe import PseudoLabelRecipe
from most.errors import MostError


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
    # Spawned, not forked: the runtimes of judges keep threads of their own.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(recipe.workers, mp_context=context, initializer=_begin, initargs=(recipe,))
    waiting: set[Future[Labelled | MostErrorParts]] = set()
    pieces = iter(todo)
    try:
        while True:
            for piece in itertools.islice(pieces, 2 * recipe.workers - len(waiting)):
                waiting.add(executor.submit(_in_worker, piece))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                result = future.result()
                if isinstance(result, MostErrorParts):
                    raise MostError(result.field, result.value, result.remedy)
                yield result
    except BrokenProcessPool as e:
        raise MostError(
            "workers", recipe.workers, "one of them died (out of memory?); use fewer, the same command goes on"
        ) from e
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


_labeller: Labeller | MostErrorParts | None = None


def _begin(recipe: PseudoLabelRecipe) -> None:
    """Load the judges in a worker, which ends with its parent even where that is killed."""
    global _labeller
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
    try:
        _labeller = Labeller(recipe)
    except MostError as e:
        _labeller = MostErrorParts(e.field, str(e.value), e.remedy)


def _in_worker(piece: Piece) -> Labelled | MostErrorParts:
    assert _labeller is not None
    if isinstance(_labeller, MostErrorParts):
        return _labeller
    try:
        return _one(_labeller, piece)
    except MostError as e:
        return MostErrorParts(e.field, str(e.value), e.remedy)


def _one(labeller: Labeller, piece: Piece) -> Labelled:
    begin = time.monotonic()
    return Labelled(labeller.label(piece), time.monotonic() - begin)
