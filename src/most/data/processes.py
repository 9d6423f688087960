"""Items done by several fresh processes, in any order; a mistake of the user in one of them is raised here."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeVar

from most.errors import MostError

R = TypeVar("R")


@dataclass(frozen=True)
class MostErrorParts:
    """A MostError on its way between processes."""

    field: str
    value: str
    remedy: str


def in_processes(
    workers: int, begin: Callable[..., Any], settings: tuple[Any, ...], do: Callable[[Any, Any], R], todo: Sequence[Any]
) -> Iterator[R]:
    """What `do` makes of each item, as it comes.

    Args:
        begin: called once a process with `settings`; what it returns is the first argument of `do`.
        do: called with that and an item. Both functions must be such that other processes can import them.

    Raises:
        MostError: what either raised, or a worker process died.
    """
    # Spawned, not forked: the runtimes of voices and judges keep threads of their own.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(begin, settings))
    waiting: set[Future[R | MostErrorParts]] = set()
    items = iter(todo)
    try:
        while True:
            for item in itertools.islice(items, 2 * workers - len(waiting)):
                waiting.add(executor.submit(_in_worker, do, item))
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
            "workers", workers, "one of them died (out of memory?); use fewer, the same command goes on"
        ) from e
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


_begun: Any = None


def _begin(begin: Callable[..., Any], settings: tuple[Any, ...]) -> None:
    """Make a worker ready, which ends with its parent even where that is killed."""
    global _begun
    parent = multiprocessing.parent_process()
    if parent is not None:

        def follow() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=follow, daemon=True).start()
    try:
        _begun = begin(*settings)
    except MostError as e:
        _begun = MostErrorParts(e.field, str(e.value), e.remedy)


def _in_worker(do: Callable[[Any, Any], R], item: Any) -> R | MostErrorParts:
    if isinstance(_begun, MostErrorParts):
        return _begun
    try:
        return do(_begun, item)
    except MostError as e:
        return MostErrorParts(e.field, str(e.value), e.remedy)
