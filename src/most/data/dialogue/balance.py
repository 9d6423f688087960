"""Sampling dialogues towards a stated distribution over their attributes, without repeating any.

The joint distribution is the one nearest to the data that has the stated shares (iterative proportional fitting,
Deming and Stephan, 1940), so what goes together in the data stays together. What cannot be reached is said.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from most.data.dialogue.dialogue import Dialogue, read_dialogues, write_dialogues
from most.errors import MostError, nearest

EVEN = "even"
_ROUNDS = 200
_TOLERANCE = 1e-6


def _bucket(edges: tuple[int, ...]) -> Callable[[int], str]:
    """`_bucket((2, 4, 8))(5)` -> "5-8"; above the last edge "9+"."""

    def name(n: int) -> str:
        low = 1
        for edge in edges:
            if n <= edge:
                return f"{low}-{edge}" if low < edge else str(edge)
            low = edge + 1
        return f"{low}+"

    return name


_turns = _bucket((2, 4, 6, 8, 12, 16))
_words = _bucket((50, 100, 200, 400))
ATTRIBUTES: dict[str, Callable[[Dialogue], str]] = {
    "topic": lambda d: d.topic or "(none)",
    "source": lambda d: d.source,
    "n_turns": lambda d: _turns(len(d.turns)),
    "n_words": lambda d: _words(sum(len(t.said.split()) for t in d.turns)),
    "interrupted": lambda d: "yes" if any(t.interrupts for t in d.turns) else "no",
}
"""What a distribution may be stated over; values are names."""


@dataclass(frozen=True, kw_only=True)
class BalanceRecipe:
    """What to sample.

    Args:
        distribution: for each attribute (`topic`, `source`, `n_turns`, `n_words`, `interrupted`) the share of each
            value, which add up to 1, or `even` for equal shares of all values there are. Values not named get nothing.
        size: dialogues; as many as the shares allow when left out.
    """

    distribution: dict[str, Any]
    size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.distribution:
            raise MostError(
                "distribution", self.distribution, f"must name an attribute; known: {', '.join(ATTRIBUTES)}"
            )
        if self.size is not None and self.size < 1:
            raise MostError("size", self.size, "must be at least 1, or left out")
        for name, shares in self.distribution.items():
            if name not in ATTRIBUTES:
                raise MostError("distribution", name, nearest(name, ATTRIBUTES))
            if shares == EVEN:
                continue
            if not isinstance(shares, dict) or not shares:
                raise MostError(f"distribution.{name}", shares, f"must be shares by value, or {EVEN!r}")
            for value, share in shares.items():
                if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
                    raise MostError(f"distribution.{name}.{value}", share, "must be a share between 0 and 1")
            if abs(sum(shares.values()) - 1) > 1e-6:
                raise MostError(f"distribution.{name}", sum(shares.values()), "the shares must add up to 1")


@dataclass(frozen=True, kw_only=True)
class Balanced:
    """What was written: how many of how many, of each value the share reached and the one stated, what fell short."""

    path: Path
    n: int
    n_read: int
    reached: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    short: tuple[str, ...] = ()


def plain_value(value: object) -> str:
    """A key of a YAML recipe as a name: YAML reads `yes` and `no` as true and false."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def choose(
    cells: list[tuple[str, ...]], names: list[str], recipe: BalanceRecipe
) -> tuple[list[int], dict[str, dict[str, float]]]:
    """Indices of dialogues to keep, in order, and the shares wanted.

    Args:
        cells: each dialogue's values of the attributes `names`.
    """
    counts = Counter(cells)
    wanted: dict[str, dict[str, float]] = {}
    for axis, name in enumerate(names):
        shares = recipe.distribution[name]
        if shares == EVEN:
            present = sorted({cell[axis] for cell in counts})
            wanted[name] = {value: 1 / len(present) for value in present}
        else:
            wanted[name] = {plain_value(v): float(s) for v, s in shares.items()}
    target = _fit(counts, names, wanted)
    if not target:
        return [], wanted
    size = recipe.size or int(min(counts[cell] / share for cell, share in target.items()) + 1e-9) or len(target)
    quota = _round(target, size)
    order = np.random.default_rng(recipe.seed).permutation(len(cells))
    kept: list[int] = []
    left: list[int] = []
    for k in order:
        cell = cells[k]
        if quota.get(cell, 0) > 0:
            quota[cell] -= 1
            kept.append(int(k))
        elif cell in target:
            left.append(int(k))
    if recipe.size is not None and len(kept) < size:
        kept += _fill(cells, names, kept, left, wanted, size)
    return sorted(kept), wanted


def balance_file(source: str | os.PathLike[str], out: str | os.PathLike[str], recipe: BalanceRecipe) -> Balanced:
    """Write the dialogues of `source` that the recipe keeps, in their order; the same seed keeps the same ones.

    Raises:
        MostError: no dialogue has the values that are asked for.
    """
    names = list(recipe.distribution)
    cells = [tuple(ATTRIBUTES[name](d) for name in names) for d in read_dialogues(source)]
    kept, wanted = choose(cells, names, recipe)
    if not kept:
        raise MostError("distribution", recipe.distribution, f"none of the {len(cells)} dialogues has these values")
    keep = set(kept)
    n = write_dialogues(out, (d for k, d in enumerate(read_dialogues(source)) if k in keep))
    reached: dict[str, dict[str, tuple[float, float]]] = {}
    short = []
    for axis, name in enumerate(names):
        there = Counter(cells[k][axis] for k in kept)
        reached[name] = {value: (there[value] / n, share) for value, share in wanted[name].items()}
        for value, (got, share) in reached[name].items():
            if abs(got - share) > max(0.005, 1 / n):
                short.append(f"{name} {value!r}: {got:.1%} instead of {share:.1%}")
    if recipe.size is not None and n < recipe.size:
        short.append(f"{n} dialogues instead of {recipe.size}")
    return Balanced(path=Path(out), n=n, n_read=len(cells), reached=reached, short=tuple(short))


def _fit(
    counts: Mapping[tuple[str, ...], int], names: list[str], wanted: dict[str, dict[str, float]]
) -> dict[tuple[str, ...], float]:
    """Shares of the cells that hold dialogues, as near to the wanted shares of each attribute as they allow."""
    fitted = {
        cell: float(n) for cell, n in counts.items()
        if all(wanted[name].get(value, 0) > 0 for name, value in zip(names, cell, strict=True))
    }  # fmt: skip
    for _ in range(_ROUNDS):
        worst = 0.0
        for axis, name in enumerate(names):
            sums: Counter[str] = Counter()
            for cell, weight in fitted.items():
                sums[cell[axis]] += weight  # type: ignore[assignment]
            reachable = sum(wanted[name][value] for value in sums) or 1.0
            for cell in fitted:
                factor = wanted[name][cell[axis]] / reachable / sums[cell[axis]]
                worst = max(worst, abs(factor - 1))
                fitted[cell] *= factor
        if worst < _TOLERANCE:
            break
    total = sum(fitted.values())
    return {cell: weight / total for cell, weight in sorted(fitted.items()) if weight / total > _TOLERANCE}


def _round(target: dict[tuple[str, ...], float], size: int) -> dict[tuple[str, ...], int]:
    """Whole numbers that add up to `size`; what rounding down leaves goes where the shares of attributes miss most."""
    whole = {cell: int(share * size) for cell, share in target.items()}
    missing: Counter[tuple[int, str]] = Counter()
    for cell, share in target.items():
        for key in enumerate(cell):
            missing[key] += share * size - whole[cell]  # type: ignore[assignment]
    spare = set(target)
    for _ in range(size - sum(whole.values())):
        best = max(
            sorted(spare),
            key=lambda cell: (round(sum(min(1.0, missing[key]) for key in enumerate(cell)), 9), target[cell]),
        )
        spare.discard(best)
        whole[best] += 1
        for key in enumerate(best):
            missing[key] -= 1  # type: ignore[assignment]
    return whole


def _fill(
    cells: list[tuple[str, ...]], names: list[str], kept: list[int], left: list[int],
    wanted: dict[str, dict[str, float]], size: int
) -> list[int]:  # fmt: skip
    """More dialogues of cells that had some over, as long as no value goes beyond its share of `size`."""
    room = {
        (axis, value): share * size - sum(cells[k][axis] == value for k in kept)
        for axis, name in enumerate(names) for value, share in wanted[name].items()
    }  # fmt: skip
    more: list[int] = []
    for k in left:
        keys = list(enumerate(cells[k]))
        if len(kept) + len(more) < size and all(room[key] >= 1 for key in keys):
            more.append(k)
            for key in keys:
                room[key] -= 1
    return more
