"""`most ablate`: every cell of a grid trained and measured, then compared. Interrupted, the same command goes on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

from tqdm import tqdm

from most.ablate.cell import Cell, backbones_of, seconds_of, train_cell, variants_of
from most.ablate.measure import measure_cell
from most.ablate.recipe import AblateRecipe
from most.errors import MostError
from most.files import held, read_lines

LOG = "log.txt"
CELL_BYTES = 100e6
"""Said before a grid starts where no cell is there to be measured: a small model and two checkpoints."""


def ablate(recipe: AblateRecipe, *, echo: Callable[[str], Any] = print, progress: bool = True) -> Path:
    """Run a grid to its end and write its report. Returns the folder.

    Raises:
        MostError: settings that do not fit, a cell of other settings, or cells that failed; all others are done first.
    """
    with held(recipe.output):
        return _ablate(recipe, echo, progress)


def _ablate(recipe: AblateRecipe, echo: Callable[[str], Any], progress: bool) -> Path:
    backbones, variants = backbones_of(recipe), variants_of(recipe)
    _announce(recipe, backbones, variants, echo)
    steps = {c: recipe.training(c.backbone, Path(), Path(), c.seed).steps for c in (*backbones, *variants)
             if not c.backbone or recipe.backbones[c.backbone].train is not None}  # fmt: skip
    with tqdm(total=sum(steps.values()), unit="step", desc="ablate", disable=not progress) as bar:

        def look() -> None:
            bar.n = sum(_steps_done(c.folder(recipe.output), n) for c, n in steps.items())
            bar.refresh()

        for cells in (backbones, variants):
            _run_all(recipe, cells, look, bar.write if progress else echo)
    from most.ablate.report import write_ablation

    page = write_ablation(recipe)
    seconds = sum(sum(seconds_of(c.folder(recipe.output)).values()) for c in (*backbones, *variants))
    echo(f"{len(variants)} models, {seconds / 60:.0f} minutes of work in all\nreport: {page}")
    return recipe.output


def run_cell(recipe: AblateRecipe, cell: Cell) -> None:
    """Train and measure one cell; what its verbs say goes to its `log.txt`."""
    folder = cell.folder(recipe.output)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        (folder / LOG).open("a", encoding="utf-8") as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        train_cell(recipe, cell, echo=_line)
        if cell.variant:
            measure_cell(recipe, cell, echo=_line)


def _line(text: str) -> None:
    print(text, flush=True)


def _run_all(recipe: AblateRecipe, cells: Sequence[Cell], look: Callable[[], None], echo: Callable[[str], Any]) -> None:
    failed: dict[Cell, Exception] = {}

    def ended(cell: Cell, error: Exception | None, seconds: float) -> None:
        look()
        if error is not None:
            failed[cell] = error
            echo(f"{cell.label}: failed: {error}")
        elif seconds > 1:
            echo(f"{cell.label}: done in {seconds:.0f} s")

    if recipe.workers == 1:
        for cell in cells:
            start, error = time.perf_counter(), None
            try:
                run_cell(recipe, cell)
            except Exception as e:
                error = e
            ended(cell, error, time.perf_counter() - start)
    else:
        with _pool(recipe) as pool:
            begun = time.perf_counter()
            waiting: dict[Future[None], Cell] = {pool.submit(run_cell, recipe, cell): cell for cell in cells}
            while waiting:
                done, _ = wait(waiting, timeout=5, return_when=FIRST_COMPLETED)
                look()
                for future in done:
                    error = future.exception()
                    if error is not None and not isinstance(error, Exception):
                        raise error
                    ended(waiting.pop(future), error, time.perf_counter() - begun)
    if failed:
        cell, error = next(iter(failed.items()))
        where = cell.folder(recipe.output) / LOG
        raise MostError("cells", f"{len(failed)} failed", f"the first, {cell.label}: {error} (see {where})") from error


@contextlib.contextmanager
def _pool(recipe: AblateRecipe) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, so that torch starts in each with its share of the cores."""
    threads = recipe.threads or max(1, (os.cpu_count() or 1) // recipe.workers)
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    pool = ProcessPoolExecutor(recipe.workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
        pool.shutdown()
        if before is None:
            os.environ.pop("OMP_NUM_THREADS")
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _steps_done(folder: Path, n_steps: int) -> int:
    if (folder / "train" / "final").exists():
        return n_steps
    rows = read_lines(folder / "train" / "history.jsonl")
    return min(n_steps, max((int(r["step"]) for r in rows), default=0))


def _announce(
    recipe: AblateRecipe, backbones: Sequence[Cell], variants: Sequence[Cell], echo: Callable[[str], Any]
) -> None:
    training = recipe.training("", Path(), Path(), 0)
    done = [c for c in variants if c.model(recipe.output).exists()]
    left = len(variants) - len(done)
    echo(f"ablate: {len(recipe.variants)} variants x {len(recipe.seeds)} seeds, {len(backbones)} backbones first")
    echo(f"  each {training.steps} steps of {training.batch_size} examples; {recipe.workers} at a time")
    free = shutil.disk_usage(recipe.output).free
    echo(
        f"  writes about {len(variants) * CELL_BYTES / 1e9:.1f} GB under {recipe.output} ({free / 1e9:.0f} GB are free)"
    )
    if done:
        took = [sum(seconds_of(c.folder(recipe.output)).values()) for c in done]
        minutes = left * sum(took) / len(took) / recipe.workers / 60
        echo(f"  {len(done)} are there; the other {left} take about {minutes:.0f} minutes")
    else:
        echo("  how long it takes shows in the bar after the first steps")
    sys.stdout.flush()
