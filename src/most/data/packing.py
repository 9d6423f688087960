"""Pack examples into rows: several short ones share a row, so that little of a batch is padding.

A batch keeps the examples it has, whatever their lengths; only how they are laid out in rows changes. Attention and
loss stay within each example (positions restart; see `MostForConditionalGeneration.forward`).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

MAX_WASTE = 0.05


def pack(lengths: Sequence[int], max_waste: float = MAX_WASTE) -> list[list[int]]:
    """Lay sequences out in rows of one width, the longest row's.

    The most rows are taken whose padding is at most `max_waste` of all positions, for attention costs the square of a
    row; where no number of rows gets there, the one with the least padding. For each number of rows the sequences go,
    longest first, to the row with the most room (LPT scheduling).

    Args:
        lengths: of the sequences, each at least 1.

    Returns:
        The rows, each the indices of its sequences; every index is in exactly one row.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    best: list[list[int]] = []
    least = float("inf")
    # A row is at least as wide as the longest sequence, so more rows than these are wasteful however they are filled.
    most = int(sum(lengths) / (max(lengths) * (1 - max_waste)) + 1e-9)
    for n_rows in range(min(len(lengths), max(1, most)), 0, -1):
        rows = _longest_first(order, lengths, n_rows)
        waste = padding(rows, lengths)
        if waste < least:
            best, least = rows, waste
        if waste <= max_waste:
            break
    return [sorted(row) for row in best]


def padding(rows: Sequence[Sequence[int]], lengths: Sequence[int]) -> float:
    """Share of all positions that is padding when every row is as wide as the longest."""
    widths = [sum(lengths[i] for i in row) for row in rows]
    return 1 - sum(widths) / (max(widths) * len(widths))


def _longest_first(order: Sequence[int], lengths: Sequence[int], n_rows: int) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(n_rows)]
    room = [(0, r) for r in range(n_rows)]
    for i in order:
        width, r = heapq.heappop(room)
        rows[r].append(i)
        heapq.heappush(room, (width + lengths[i], r))
    return rows
