"""`most data build`: says what every step reads, writes and costs, makes those that are not done, and sums up.

A finished step leaves a stamp (`stamps.py`), so the same command goes on where it stopped; the verbs themselves go on
within a step. A step whose settings or inputs changed is refused, or with `remake` made anew, with all that reads it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from most.data.build.cost import Estimates
from most.data.build.recipe import BuildRecipe, Step, resolve
from most.data.build.stamps import FOLDER, Stamp, difference, listing
from most.data.build.summary import build_summary, page
from most.errors import MostError
from most.files import write_text

State = Literal["done", "to do", "goes on", "changed", "left out"]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A step, the stamp it will leave, and how it stands; `why` says what changed or why it is left out."""

    step: Step
    stamp: Stamp | None
    state: State
    why: str = ""


def build_data(
    recipe: BuildRecipe, *, dry_run: bool = False, remake: bool = False, echo: Callable[[str], Any] = print,
    progress: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """Make what is not made yet.

    Args:
        remake: delete and make anew what was made with other settings or of other inputs.

    Returns:
        What `build.json` holds; nothing after a dry run.

    Raises:
        MostError: a recipe that cannot work, a step that changed (without `remake`), or what a step's verb raises.
    """
    plans = plan(recipe)
    _announce(plans, recipe, echo)
    _require_inputs(plans, recipe)
    if dry_run:
        return {}
    changed = [p for p in plans if p.state == "changed"]
    if changed and not remake:
        names = ", ".join(p.step.name for p in changed)
        raise MostError(
            f"steps.{changed[0].step.name}", changed[0].why,
            f"was made before; give another output, change it back, or --remake to delete and make anew: {names}",
        )  # fmt: skip
    with _alone(recipe.output):
        for planned in plans:
            if planned.state not in ("done", "left out"):
                _make(planned, recipe.output, echo, progress)
        keys = {p.step.name: p.stamp.key for p in plans if p.stamp is not None}
        summary = build_summary([p.step for p in plans], keys)
        write_text(recipe.output / "build.json", json.dumps(summary, indent=1, ensure_ascii=False) + "\n")
    for line in page(summary):
        echo(line)
    echo(f"written to {recipe.output / 'build.json'}")
    return summary


def plan(recipe: BuildRecipe) -> list[Planned]:
    """Every step of the recipe and how it stands.

    Raises:
        MostError: as `resolve`.
    """
    plans: list[Planned] = []
    keys: dict[str, str] = {}
    for step in resolve(recipe):
        if step.left_out:
            plans.append(Planned(step=step, stamp=None, state="left out", why=step.left_out))
            continue
        stamp = Stamp.of(step, recipe.output, keys)
        keys[step.name] = stamp.key
        state, why = _state(step, stamp, Stamp.read(recipe.output, step.name))
        plans.append(Planned(step=step, stamp=stamp, state=state, why=why))
    return plans


def _state(step: Step, mine: Stamp, found: Stamp | None) -> tuple[State, str]:
    if found is None:
        return "to do", ""
    if found.key != mine.key:
        return "changed", difference(found.content, mine.content)
    if not found.listing:
        return "goes on", ""
    return ("done", "") if listing(step.out) == found.listing else ("changed", "its files are not those it wrote")


def _announce(plans: Sequence[Planned], recipe: BuildRecipe, echo: Callable[[str], Any]) -> None:
    estimates = Estimates(recipe.output)
    echo(f"build: {len(plans)} steps into {recipe.output}")
    for number, planned in enumerate(plans, 1):
        step = planned.step
        if step.left_out:
            echo(f"{number:>3} {step.name} ({step.verb_name}): left out, {step.left_out}")
            continue
        amount = estimates.see(step)
        reads = ", ".join(_reads(step, recipe.output)) or "nothing"
        how = f"{planned.state}: {planned.why}" if planned.why else planned.state
        cost = "" if planned.state == "done" else f"; {amount}"
        echo(f"{number:>3} {step.name} ({step.verb_name}): {how}; reads {reads}; writes {step.verb.writes}{cost}")


def _reads(step: Step, root: Path) -> list[str]:
    inside = [f"@{name}/{file}" if file else f"@{name}" for name, file in step.inputs]
    return [*inside, *(str(p) for p in outside_paths(step.settings, root))]


def outside_paths(value: Any, root: Path) -> Iterator[Path]:
    """Paths in a step's settings that no step makes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        for child in value.values():
            yield from outside_paths(child, root)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from outside_paths(child, root)
    elif isinstance(value, Path) and not value.is_relative_to(root):
        yield value


def _require_inputs(plans: Sequence[Planned], recipe: BuildRecipe) -> None:
    """Find what is missing before hours are spent on what comes first."""
    for planned in plans:
        for path in outside_paths(planned.step.settings, recipe.output):
            if not planned.step.left_out and not path.exists():
                raise MostError(f"steps.{planned.step.name}", path, "no such file or folder, and no step makes it")


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    (root / FOLDER).mkdir(parents=True, exist_ok=True)
    with (root / FOLDER / "lock").open("w") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MostError("output", root, "another `most data build` is at work in it") from None
        yield


def _make(planned: Planned, root: Path, echo: Callable[[str], Any], progress: bool) -> None:
    step, stamp = planned.step, planned.stamp
    assert stamp is not None
    for name, file in step.inputs:
        if not (root / name / file).exists():
            made = ", ".join(sorted(p.name for p in (root / name).iterdir())[:8])
            raise MostError(f"steps.{step.name}", f"@{name}/{file}", f"step {name!r} wrote no such file, but {made}")
    if planned.state == "changed" and step.out.exists():
        echo(f"{step.name}: deletes {step.out}, {planned.why}")
        shutil.rmtree(step.out)
    stamp.write(root, step.name)
    begin = time.monotonic()
    echo(f"{step.name}: begins")
    step.verb.run(step.settings, step.out, lambda line: echo("  " + line.replace("\n", "\n  ")), progress)
    dataclasses.replace(stamp, listing=listing(step.out)).write(root, step.name)
    echo(f"{step.name}: done in {time.monotonic() - begin:.1f} s")
