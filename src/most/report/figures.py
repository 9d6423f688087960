"""Figures of the report, drawn by matplotlib (extra `report`) as SVG: losses, spectrograms, routing by modality.

Text and axes take the page's colour, so that one drawing serves light and dark; text is blue, audio orange everywhere.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from most.errors import MostError
from most.report.page import Figure

TEXT_COLOUR, AUDIO_COLOUR = "#3b7dd8", "#e0762f"
COLOURS = (TEXT_COLOUR, AUDIO_COLOUR, "#2a9d6f", "#b45bc4", "#c39a1c", "#d1495b", "#4aa3b5", "#7d5a3c", "#8a8f98")
NAMED_COLOURS = {"text": TEXT_COLOUR, "audio": AUDIO_COLOUR, "asr": "#2a9d6f", "tts": "#b45bc4"}
INK = "#010203"  # stands for the page's own text colour until the SVG is written
_WIDTH = 5.2  # inches: with 9 pt text, legible on a phone when scaled to its width


def new_figure(rows: int, height: float, **kwargs: Any) -> tuple[Any, Any]:
    try:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure as Canvas
    except ImportError as e:
        raise MostError("report", "matplotlib", "install the extra: pip install 'most-speech[report]'") from e
    fig = Canvas(figsize=(_WIDTH, height), layout="constrained")
    FigureCanvasSVG(fig)
    axes = fig.subplots(rows, 1, squeeze=False, **kwargs)[:, 0]
    for ax in axes:
        ax.set_facecolor("none")
        ax.tick_params(which="both", colors=INK, labelsize=8.5)
        ax.spines[:].set_color(INK)
        ax.spines[["top", "right"]].set_visible(False)
        for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
            text.set(color=INK, fontsize=9)
    return fig, axes


def as_svg(fig: Any, name: str) -> str:
    """SVG text whose ids are its own: several drawings share one page."""
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        fig.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", name)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    return re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 system-ui, sans-serif", svg)


def plain_label(text: str) -> str:
    """No mathematics, and nothing that no font can draw: what a model writes may hold any character."""
    return "".join(c if c.isprintable() else " " for c in text).replace("$", r"\$")


def _smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over `window` neighbours on either side, those there are: a falling curve is not shown late."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - window, 0), np.minimum(at + window, len(values) - 1)
    return (total[last + 1] - total[first]) / (last + 1 - first)


def loss_curves(
    curves: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str = "Loss",
    y_label: str = "loss (nats per token)",
    caption: str = "",
    log_y: bool = False,
    smooth: bool = True,
    reference: Mapping[str, float] | None = None,
) -> Figure:
    """Losses over training steps, one line a task or modality: `(step, value)` pairs, not-a-number left out.

    The bold line is a mean over a twentieth of the points, the faint one what was measured; without `smooth` there is
    the latter alone. `reference` draws level lines (chance, the untrained model).

    Raises:
        MostError: no points at all, or the extra `report` is missing.
    """
    kept = {n: np.array([(s, v) for s, v in p if np.isfinite(v)], dtype=float) for n, p in curves.items()}
    kept = {n: p for n, p in kept.items() if len(p)}
    if not kept:
        raise MostError("curves", list(curves), "hold no finite point; give (step, value) pairs")
    fig, (ax,) = new_figure(1, 3.1)
    spare = iter(c for c in COLOURS if c not in {NAMED_COLOURS.get(n.lower()) for n in kept})
    for name, points in kept.items():
        colour = NAMED_COLOURS.get(name.lower()) or next(spare, COLOURS[-1])
        x, y = points[:, 0], points[:, 1]
        many = smooth and len(x) > 40
        if many:
            ax.plot(x, y, color=colour, alpha=0.25, linewidth=0.8)
        line = _smoothed(y, len(x) // 40) if many else y
        ax.plot(x, line, color=colour, linewidth=2, marker="" if len(x) > 1 else "o", label=plain_label(name))
    for name, level in (reference or {}).items():
        ax.axhline(level, color=INK, linewidth=1, linestyle=(0, (4, 3)), alpha=0.5, label=plain_label(name))
    if log_y:
        from matplotlib.ticker import LogLocator

        ax.set_yscale("log")
        bottom, top = ax.get_ylim()
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if top < 100 * bottom else (1.0,)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
    else:
        low, high = min(p[:, 1].min() for p in kept.values()), max(p[:, 1].max() for p in kept.values())
        ax.set_ylim(min(0, low * 1.05), high * 1.05 + 1e-9)
    ax.set_xlabel("training step")
    ax.set_ylabel(plain_label(y_label))
    ax.grid(True, color=INK, alpha=0.12, linewidth=0.6)
    n_lines = len(kept) + len(reference or {})
    where = {"loc": "outside lower center"} if n_lines > 4 else {}  # many names would cover the curves
    (fig if where else ax).legend(frameon=False, labelcolor=INK, fontsize=8.5, ncols=min(3, n_lines), **where)
    return Figure(svg=as_svg(fig, title), title=title, caption=caption)


def _mel(hz: np.ndarray | float) -> np.ndarray:
    return 2595 * np.log10(1 + np.asarray(hz) / 700)


def spectrograms(
    sounds: Sequence[tuple[str, np.ndarray, int]], *, title: str = "Spectrograms", caption: str = "", top_db: float = 70
) -> Figure:
    """Magnitude spectrograms on a mel scale, one below the other on one time axis.

    Args:
        sounds: (label, mono float `(T,)`, sample rate in Hz).
        top_db: how far below the loudest point of each the colours reach.

    Raises:
        MostError: nothing to draw, sound shorter than one window (25 ms), or the extra `report` is missing.
    """
    if not sounds:
        raise MostError("sounds", [], "give at least one (label, waveform, sample rate)")
    fig, axes = new_figure(len(sounds), 1.0 + 1.45 * len(sounds), sharex=True)
    longest = max(len(w) / r for _, w, r in sounds)
    ceiling = min(8000.0, max(r for _, _, r in sounds) / 2)
    image = None
    for ax, (label, wav, rate) in zip(axes, sounds, strict=True):
        win, hop = round(0.025 * rate), round(0.005 * rate)
        if len(wav) < win:
            raise MostError("sounds", f"{label}: {len(wav)} samples", "is shorter than one window of 25 ms")
        frames = np.lib.stride_tricks.sliding_window_view(np.asarray(wav, dtype=np.float32), win)[::hop]
        power = np.abs(np.fft.rfft(frames * np.hanning(win), n=2048, axis=1)) ** 2
        mels = np.linspace(0, _mel(ceiling), 160)
        hz = 700 * (10 ** (mels / 2595) - 1)
        bins = np.minimum(hz / (rate / 2048), power.shape[1] - 1)
        db = 10 * np.log10(power[:, bins.round().astype(int)].T + 1e-12)
        db[hz > rate / 2] = -120
        db = np.clip(db - db.max(), -top_db, 0)
        image = ax.imshow(
            db, origin="lower", aspect="auto", cmap="magma", vmin=-top_db, vmax=0, interpolation="bilinear",
            extent=(0, len(wav) / rate, 0, float(_mel(ceiling))),
        )  # fmt: skip
        ax.set_xlim(0, longest)
        ticks = [f for f in (200, 500, 1000, 2000, 4000, 8000) if f <= ceiling]
        ax.set_yticks(_mel(np.array(ticks)), [f"{f / 1000:g}" for f in ticks])
        ax.set_title(plain_label(label), fontsize=9, loc="left", color=INK)
        ax.set_ylabel("kHz")
    axes[-1].set_xlabel("time (s)")
    bar = fig.colorbar(image, ax=list(axes), location="bottom", pad=0.02, aspect=45, fraction=0.04)
    bar.set_label("dB below the loudest point", color=INK, fontsize=8.5)
    bar.ax.tick_params(colors=INK, labelsize=8.5)
    bar.outline.set_edgecolor(INK)
    return Figure(svg=as_svg(fig, title), title=title, caption=caption)


def routing_heatmap(
    counts: np.ndarray,
    groups: np.ndarray,
    *,
    layer_names: Sequence[str] | None = None,
    title: str = "Who goes to which expert",
    caption: str = "",
) -> Figure:
    """Which experts each modality's tokens use, layer by layer.

    Args:
        counts: `(layers, 2, experts)` how often tokens of modality 0 (text) and 1 (audio) chose each routed expert.
        groups: `(experts,)` or `(layers, experts)` whose expert it is: 0 text, 1 audio, 2 both.
        layer_names: names of the layers, else `0, 1, ...`.

    Raises:
        MostError: shapes that do not fit, or the extra `report` is missing.
    """
    counts, groups = np.asarray(counts, dtype=float), np.asarray(groups)
    if counts.ndim != 3 or counts.shape[1] != 2 or not counts.size or (counts < 0).any():
        raise MostError("counts", counts.shape, "must be (layers, 2, experts), none below zero")
    layers, _, experts = counts.shape
    if groups.shape not in ((experts,), (layers, experts)):
        raise MostError("groups", groups.shape, f"must be ({experts},) or ({layers}, {experts})")
    groups = np.broadcast_to(groups, (layers, experts))
    share = 100 * counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)
    fig, axes = new_figure(2, 1.9 + 2 * max(0.7, 0.26 * layers), sharex=True)
    colours = (TEXT_COLOUR, AUDIO_COLOUR, COLOURS[2])
    image = None
    for m, (ax, who) in enumerate(zip(axes, ("text", "audio"), strict=True)):
        image = ax.imshow(share[:, m], aspect="auto", cmap="viridis", vmin=0, vmax=max(share.max(), 1e-9))
        own = np.isin(groups, (m, 2))
        inside = 100 * counts[:, m][own].sum() / max(counts[:, m].sum(), 1)
        ax.set_title(
            f"{who} tokens: {inside:.1f} % of choices within the {who} group", fontsize=9, loc="left", color=INK, pad=6
        )
        for layer in range(layers):
            for expert in range(experts):
                colour = colours[int(groups[layer, expert])]
                ax.plot(
                    [expert - 0.42, expert + 0.42],
                    [layer + 0.44] * 2,
                    color=colour,
                    linewidth=2.4,
                    solid_capstyle="butt",
                )
        for edge in np.arange(0.5, layers - 1):
            ax.axhline(edge, color="#ffffff", linewidth=1)
        ax.set_yticks(range(layers), layer_names or [str(k) for k in range(layers)])
        ax.set_ylabel("layer")
        ax.set_ylim(layers - 0.5, -0.5)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    step = max(1, experts // 16)
    axes[-1].set_xticks(range(0, experts, step))
    axes[-1].set_xlabel("routed expert")
    bar = fig.colorbar(image, ax=list(axes), location="bottom", pad=0.02, aspect=45, fraction=0.04)
    bar.set_label("% of a layer's choices", color=INK, fontsize=8.5)
    bar.ax.tick_params(colors=INK, labelsize=8.5)
    bar.outline.set_visible(False)
    from matplotlib.lines import Line2D

    names = ("text expert", "audio expert", "both")
    used = [g for g in (0, 1, 2) if (groups == g).any()]
    marks = [Line2D([], [], color=colours[g], linewidth=4, label=names[g]) for g in used]
    fig.legend(handles=marks, loc="outside upper right", ncols=len(marks), frameon=False, labelcolor=INK, fontsize=8.5)
    return Figure(svg=as_svg(fig, title), title=title, caption=caption)
