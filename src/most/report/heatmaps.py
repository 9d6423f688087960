"""Heatmaps of one thing over training steps, in the manner of `figures.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from most.errors import MostError
from most.report.figures import AUDIO_COLOUR, COLOURS, INK, TEXT_COLOUR, as_svg, new_figure, plain_label
from most.report.page import Figure

_COLUMNS = 160
"""Steps drawn at most; more are averaged, so that a page stays small."""


def use_over_time(
    panels: Mapping[str, np.ndarray],
    groups: Mapping[str, np.ndarray],
    steps: Sequence[int],
    *,
    title: str = "Use of experts over time",
    caption: str = "",
) -> Figure:
    """How much of its group's picks each expert takes, one panel a layer; 1 is its even share.

    Args:
        panels: name of a layer -> (R, experts) picks at each of the steps, by tokens of the expert's own group.
        groups: name of a layer -> (experts,): 0 text, 1 audio, 2 both. Experts are drawn group by group.
        steps: (R,), ascending.

    Raises:
        MostError: no steps, panels of another length, or the extra `report` is missing.
    """
    if not panels or not len(steps) or any(len(p) != len(steps) for p in panels.values()):
        raise MostError(
            "panels", {n: p.shape for n, p in panels.items()}, f"must have a row for each of {len(steps)} steps"
        )
    experts = max(p.shape[1] for p in panels.values())
    height = min(2.6, max(1.1, 0.075 * experts))
    fig, axes = new_figure(len(panels), 0.9 + (height + 0.35) * len(panels), sharex=True)
    image = None
    for ax, (name, picks) in zip(axes, panels.items(), strict=True):
        order = np.argsort(groups[name], kind="stable")
        ordered = groups[name][order]
        relative = np.zeros(picks.shape)
        for g in np.unique(groups[name]):
            rows = groups[name] == g
            of_group = picks[:, rows].astype(float)
            relative[:, rows] = of_group * rows.sum() / np.maximum(of_group.sum(axis=1, keepdims=True), 1)
        drawn = _fewer(relative[:, order])
        image = ax.imshow(
            drawn.T, aspect="auto", cmap="viridis", vmin=0, vmax=3, interpolation="nearest",
            extent=(steps[0], max(steps[-1], steps[0] + 1), len(order) - 0.5, -0.5),
        )  # fmt: skip
        ax.set_title(plain_label(name), fontsize=9, loc="left", color=INK)
        ax.set_ylabel("expert")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        for g, colour in enumerate((TEXT_COLOUR, AUDIO_COLOUR, COLOURS[2])):
            inside = np.flatnonzero(ordered == g)
            if len(inside):
                ax.plot(
                    [1.01] * 2, [inside[0] - 0.4, inside[-1] + 0.4], color=colour, linewidth=4,
                    transform=ax.get_yaxis_transform(), clip_on=False, solid_capstyle="butt",
                )  # fmt: skip
        ticks = np.unique(np.linspace(0, len(order) - 1, min(len(order), 5)).round().astype(int))
        ax.set_yticks(ticks, [str(order[t]) for t in ticks])
    axes[-1].set_xlabel("training step")
    bar = fig.colorbar(image, ax=list(axes), location="bottom", pad=0.02, aspect=45, fraction=0.04, extend="max")
    bar.set_label("times an even share of its group's picks", color=INK, fontsize=8.5)
    bar.ax.tick_params(colors=INK, labelsize=8.5)
    bar.outline.set_visible(False)
    return Figure(svg=as_svg(fig, title), title=title, caption=caption)


def _fewer(rows: np.ndarray) -> np.ndarray:
    """(R, E) -> at most `_COLUMNS` rows, each a mean of neighbours."""
    if len(rows) <= _COLUMNS:
        return rows
    return np.stack([part.mean(axis=0) for part in np.array_split(rows, _COLUMNS)])
