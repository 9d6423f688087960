"""The report page: a title, a summary and sections made of pieces, written as one HTML file that needs no network.

Everything is plain data and every text is escaped; figures are SVG from `most.report.figures`. No script runs in it.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import soundfile as sf

from most.errors import MostError
from most.evaluate.wer import WordErrors

_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, kw_only=True)
class Text:
    """Plain text; blank lines part paragraphs."""

    text: str

    def html(self) -> str:
        return "".join(f"<p>{escape(p.strip())}</p>" for p in re.split(r"\n\s*\n", self.text) if p.strip())


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list of short statements."""

    items: Sequence[str]
    title: str = ""

    def html(self) -> str:
        return _heading(self.title) + "<ul>" + "".join(f"<li>{escape(i)}</li>" for i in self.items) + "</ul>"


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Names and their values: settings, counts, where things are."""

    items: Mapping[str, object]
    title: str = ""

    def html(self) -> str:
        rows = "".join(f"<dt>{escape(str(k))}</dt><dd>{escape(_shown(v))}</dd>" for k, v in self.items.items())
        return f'{_heading(self.title)}<dl class="facts">{rows}</dl>'


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """A row of tiles: (label, value, note)."""

    items: Sequence[tuple[str, object, str]]

    def html(self) -> str:
        tiles = "".join(
            f'<div class="number"><span>{escape(label)}</span><b>{escape(_shown(value))}</b>'
            f"<span>{escape(note)}</span></div>"
            for label, value, note in self.items
        )
        return f'<div class="numbers">{tiles}</div>'


@dataclass(frozen=True, kw_only=True)
class Band:
    """A cell of a table: a tick at `value`, a band from `low` to `high`, as shares of the column's scale."""

    low: float
    value: float
    high: float

    def html(self) -> str:
        left, at, right = (100 * min(max(v, 0.0), 1.0) for v in (self.low, self.value, self.high))
        return (
            f'<span class="track"><i style="left:{left:.2f}%;width:{max(right - left, 0):.2f}%"></i>'
            f'<u style="left:calc({at:.2f}% - 1px)"></u></span>'
        )


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under column heads; numbers are set right, a `Band` is drawn."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise MostError("table.rows", list(row), f"has {len(row)} cells for {len(self.columns)} columns")

    def html(self) -> str:
        numeric = [all(_is_number(r[c]) for r in self.rows) for c in range(len(self.columns))]
        kind = [' class="n"' if n else "" for n in numeric]
        head = "".join(f"<th{k}>{escape(str(c))}</th>" for k, c in zip(kind, self.columns, strict=True))
        body = "".join(
            "<tr>" + "".join(f"<td{k}>{_cell(c)}</td>" for k, c in zip(kind, row, strict=True)) + "</tr>"
            for row in self.rows
        )
        return _heading(self.title) + _table(head, body, self.note)


@dataclass(frozen=True, kw_only=True)
class WerTable:
    """Word error rates with their 95 % intervals, drawn to one scale."""

    rows: Mapping[str, WordErrors]
    title: str = ""
    note: str = (
        "The tick is the rate, the band its 95 % bootstrap interval. S, D, I: words substituted, deleted, inserted."
    )

    def html(self) -> str:
        top = max([0.01, *(e.high for e in self.rows.values())])
        body = ""
        for name, e in self.rows.items():
            track = Band(low=e.low / top, value=e.wer / top, high=e.high / top).html()
            body += (
                f'<tr><td>{escape(name)}</td><td class="n"><b>{100 * e.wer:.1f}</b></td>'
                f'<td class="n">{100 * e.low:.1f} to {100 * e.high:.1f}</td><td>{track}</td>'
                f'<td class="n">{e.substitutions} / {e.deletions} / {e.insertions}</td>'
                f'<td class="n">{e.n_items}</td><td class="n">{e.reference_words}</td>'
                f'<td class="n">{e.n_empty}</td></tr>'
            )
        head = (
            '<th>what</th><th class="n">WER %</th><th class="n">interval</th>'
            f'<th>0 to {100 * top:.0f} %</th><th class="n">S / D / I</th><th class="n">items</th>'
            '<th class="n">words</th><th class="n">empty</th>'
        )
        return _heading(self.title) + _table(head, body, self.note)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing from `most.report.figures`: SVG that takes the page's text colour."""

    svg: str
    title: str = ""
    caption: str = ""

    def html(self) -> str:
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        label = escape(self.title or self.caption, quote=True)
        return f'{_heading(self.title)}<figure role="img" aria-label="{label}">{self.svg}{caption}</figure>'


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Sound to play, mono float `(T,)` in [-1, 1] at `rate`, with lines of text beside it (said, heard, speaker)."""

    label: str
    wav: np.ndarray
    rate: int
    lines: Mapping[str, str]

    def html(self) -> str:
        rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v) or '&nbsp;'}</dd>" for k, v in self.lines.items())
        sound = base64.b64encode(_flac(self.wav, self.rate)).decode("ascii")
        return (
            f'<div class="clip"><b>{escape(self.label)}</b>'
            f'<audio controls preload="metadata" src="data:audio/flac;base64,{sound}"></audio><dl>{rows}</dl></div>'
        )


@dataclass(frozen=True, kw_only=True)
class Clips:
    """Players side by side."""

    clips: Sequence[Clip]
    title: str = ""

    def html(self) -> str:
        return f'{_heading(self.title)}<div class="clips">{"".join(c.html() for c in self.clips)}</div>'


@dataclass(frozen=True, kw_only=True)
class Details:
    """Long text behind a line to click on: a configuration, a log."""

    summary: str
    text: str

    def html(self) -> str:
        return f"<details><summary>{escape(self.summary)}</summary><pre>{escape(self.text)}</pre></details>"


Piece = Text | Bullets | Facts | Numbers | Table | WerTable | Figure | Clips | Details


@dataclass(frozen=True, kw_only=True)
class Section:
    """A titled card of pieces, in order."""

    title: str
    pieces: Sequence[Piece]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The whole page. `numbers` are the tiles at its head, `footer` says how it was made."""

    title: str
    summary: str
    sections: Sequence[Section]
    numbers: Sequence[tuple[str, object, str]] = ()
    footer: str = ""


def render(report: Report) -> str:
    """The page as HTML text."""
    links = "".join(f'<a href="#s{k}">{escape(s.title)}</a>' for k, s in enumerate(report.sections))
    sections = "".join(
        f'<section id="s{k}"><h2>{escape(s.title)}</h2>{"".join(p.html() for p in s.pieces)}</section>\n'
        for k, s in enumerate(report.sections)
    )
    style = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    summary = Text(text=report.summary).html().replace("<p>", '<p class="summary">')
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(report.title)}</h1>{summary}<nav>{links}</nav>\n"
        f"{Numbers(items=report.numbers).html() if report.numbers else ''}\n{sections}"
        f"<footer>{Text(text=report.footer).html()}</footer>\n</main>\n</body>\n</html>\n"
    )


def write_report(path: str | os.PathLike[str], report: Report) -> Path:
    """Write the page whole or not at all; returns its path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(render(report), encoding="utf-8")
    os.replace(part, path)
    return path


def _heading(title: str) -> str:
    return f"<h3>{escape(title)}</h3>" if title else ""


def _table(head: str, body: str, note: str) -> str:
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    return table + (f'<p class="note">{escape(note)}</p>' if note else "")


def _cell(value: object) -> str:
    return value.html() if isinstance(value, Band) else escape(_shown(value))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _shown(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def _flac(wav: np.ndarray, rate: int) -> bytes:
    wav = np.asarray(wav, dtype=np.float32)
    if wav.ndim != 1 or not len(wav) or not np.isfinite(wav).all():
        raise MostError("clip.wav", wav.shape, "must be mono, of shape (T,), not empty and finite")
    out = io.BytesIO()
    sf.write(out, np.clip(wav, -1, 1), rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()
