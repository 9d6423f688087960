"""Values with their intervals, one below the other on one axis: a forest plot, in the manner of `figures.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from most.errors import MostError
from most.report.figures import COLOURS, INK, TEXT_COLOUR, as_svg, new_figure, plain_label
from most.report.page import Figure


def forest(
    rows: Mapping[str, tuple[float, float, float]],
    *,
    title: str,
    x_label: str,
    caption: str = "",
    dots: Mapping[str, Sequence[float]] | None = None,
    line: float | None = None,
) -> Figure:
    """A dot and a bar a row.

    Args:
        rows: name -> (value, low, high), drawn from the top.
        dots: name -> single values (one a seed), drawn small.
        line: where a level line goes (zero, or the value that others are compared with).

    Raises:
        MostError: no rows, or the extra `report` is missing.
    """
    if not rows:
        raise MostError("rows", {}, "hold nothing to draw")
    fig, (ax,) = new_figure(1, 0.95 + 0.27 * len(rows))
    for k, (name, (value, low, high)) in enumerate(rows.items()):
        ax.plot([low, high], [k, k], color=TEXT_COLOUR, linewidth=2, solid_capstyle="butt")
        ax.plot([value], [k], "o", color=TEXT_COLOUR, markersize=6)
        for dot in (dots or {}).get(name, ()):
            ax.plot([dot], [k], "|", color=COLOURS[1], markersize=7, markeredgewidth=1.4)
    if line is not None:
        ax.axvline(line, color=INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.5)
    ax.set_yticks(range(len(rows)), [plain_label(n) for n in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(plain_label(x_label))
    ax.grid(True, axis="x", color=INK, alpha=0.12, linewidth=0.6)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return Figure(svg=as_svg(fig, title), title=title, caption=caption)
