"""Single items on the page: what was asked and what came, to read and to hear, within bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from most.errors import MostError
from most.evaluate.report.results import Row, TaskResult
from most.report.page import Clip, Clips, Piece, Table
from most.speech.audio import read_audio

N_FAILED, N_WORST, N_TYPICAL = 5, 6, 2
N_CLIPS = 3
"""Of the worst items of a task; the typical ones are all played."""
CLIP_SECONDS, CLIP_RATE = 10.0, 16000
"""A clip is cut there, so that a page stays small: about 0.2 MB a clip."""
MAX_CHARS = 240


def item_pieces(task: TaskResult) -> list[Piece]:
    """Failed items, the worst of the others, then a few spread evenly over the log."""
    failed = [row for row in task.rows if "error" in row][:N_FAILED]
    worst = [row for row in task.worst(N_WORST + len(failed)) if row not in failed][:N_WORST]
    typical = task.typical(N_TYPICAL, leave_out=[*failed, *worst])
    pieces: list[Piece] = []
    for title, rows, playable in (
        (f"{task.name}: failed", failed, 0),
        (f"{task.name}: worst first", worst, N_CLIPS),
        (f"{task.name}: others, evenly spaced in the log", typical, N_TYPICAL),
    ):
        clips = [_clip(task, row) for row in rows[:playable]]
        heard = [c for c in clips if c is not None]
        if heard:
            pieces.append(Clips(clips=heard, title=title))
        rest = [row for row, clip in zip(rows, [*clips, *[None] * len(rows)], strict=False) if clip is None]
        if rest:
            pieces.append(_table(task, rest, "" if heard else title))
    return pieces


def _clip(task: TaskResult, row: Row) -> Clip | None:
    for key, ref in task.audio(row):
        try:
            wav = read_audio(ref, CLIP_RATE)
        except MostError:
            continue
        cut = len(wav) > CLIP_SECONDS * CLIP_RATE
        label = f"{row.get('id', '')}: {key.replace('_', ' ')}" + (f", first {CLIP_SECONDS:g} s" if cut else "")
        wav = np.asarray(wav[: round(CLIP_SECONDS * CLIP_RATE)])
        return Clip(label=label, wav=wav, rate=CLIP_RATE, lines=_texts(task, row))
    return None


def _table(task: TaskResult, rows: Sequence[Row], title: str) -> Table:
    found = [_texts(task, row) for row in rows]
    columns = list(dict.fromkeys(key for texts in found for key, text in texts.items() if text))
    return Table(
        columns=["item", *columns],
        rows=[[str(row.get("id", "")), *(t.get(c, "") for c in columns)] for row, t in zip(rows, found, strict=True)],
        title=title,
    )  # fmt: skip


def _texts(task: TaskResult, row: Row) -> dict[str, str]:
    """What a row says, without its audio, its id and its badness."""
    played = {key for key, _ in task.audio(row)}
    hidden = {"id", "badness", *played}
    return {k.replace("_", " "): _short(v) for k, v in row.items() if k not in hidden and v not in ([], None)}


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        text = "; ".join(_short(v) for v in value)
    else:
        text = json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else str(value)
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1] + "…"
