"""Asking a model the items of a task, in this process or in several; a batch that fails is asked item by item."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from most.errors import MostError
from most.evaluate.recipe import EvalRecipe
from most.evaluate.subject import Subject
from most.evaluate.tasks.base import Row, Task

Asker = Callable[[str, Sequence[Sequence[int]], Path], Iterator[list[Row]]]
"""Called with a task's name, batches of places in its set, and its folder: rows of each batch, in order."""


@contextlib.contextmanager
def make_asker(recipe: EvalRecipe, model: str | Path, tasks: Mapping[str, Task]) -> Iterator[Asker]:
    """The model is loaded here: once for each process."""
    from most.evaluate.subjects import open_subject

    if recipe.workers == 1:
        subject = open_subject(recipe, model)

        def alone(name: str, batches: Sequence[Sequence[int]], folder: Path) -> Iterator[list[Row]]:
            for batch in batches:
                yield ask(tasks[name], subject, batch, folder)

        yield alone
        return
    threads = recipe.threads or max(1, (os.cpu_count() or 1) // recipe.workers)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        recipe.workers, mp_context=context, initializer=_start, initargs=(recipe, model, sorted(tasks), threads)
    )

    def together(name: str, batches: Sequence[Sequence[int]], folder: Path) -> Iterator[list[Row]]:
        return pool.map(_ask_here, [name] * len(batches), batches, [folder] * len(batches))

    try:
        yield together
    finally:
        pool.shutdown(cancel_futures=True)


def ask(task: Task, subject: Subject, places: Sequence[int], folder: Path) -> list[Row]:
    """Rows of the items at these places; one that raises gets a row with `error`."""
    items = [task.items[k] for k in places]
    try:
        return _whole(task, task.answer(subject, items, folder), items)
    except Exception as e:
        if len(items) == 1:
            reason = str(e) if isinstance(e, MostError) else f"{type(e).__name__}: {e}"
            return [{"id": items[0].id, "error": reason}]
    return [row for k in places for row in ask(task, subject, [k], folder)]


def _whole(task: Task, rows: list[Row], items: Sequence[Any]) -> list[Row]:
    """The rows with their items' ids and how wrong they are; the report lists the worst first."""
    assert [row.get("id", item.id) for row, item in zip(rows, items, strict=True)] == [item.id for item in items]
    return [{"id": i.id, **row, "badness": task.badness(row)} for row, i in zip(rows, items, strict=True)]


_HERE: dict[str, Any] = {}


def _start(recipe: EvalRecipe, model: str | Path, names: Sequence[str], threads: int) -> None:
    """Of a worker process: the model and the tasks, once."""
    import torch

    from most.evaluate.subjects import capabilities_of, open_subject

    torch.set_num_threads(threads)
    _HERE["subject"] = open_subject(recipe, model)
    from most.evaluate.run import open_tasks

    tasks, _ = open_tasks(recipe, capabilities_of(model))
    _HERE["tasks"] = {name: tasks[name] for name in names}


def _ask_here(name: str, places: Sequence[int], folder: Path) -> list[Row]:
    return ask(_HERE["tasks"][name], _HERE["subject"], places, folder)
