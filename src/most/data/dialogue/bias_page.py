"""The bias report as a page and as JSON, in the look of `most.report`. Needs the extra `report` for its figures."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from most.data.dialogue.bias import Tally, findings
from most.data.dialogue.bias_items import read_items
from most.report.figures import AUDIO_COLOUR, COLOURS, TEXT_COLOUR, as_svg, new_figure, plain_label
from most.report.page import Bullets, Facts, Figure, Piece, Report, Section, Table, write_report

_N_BARS = 20
_ROLE_COLOURS = {"user": TEXT_COLOUR, "assistant": AUDIO_COLOUR}


def write_bias_report(source: str | os.PathLike[str], out: str | os.PathLike[str]) -> dict[str, Any]:
    """Read dialogues (JSONL, a folder of it, or a folder of spoken ones), write `out` and a JSON file beside it.

    Raises:
        MostError: nothing to read, or an extra is missing.
    """
    tally = Tally()
    for item in tqdm(read_items(source), unit="dialogue", desc="bias", disable=None):
        tally.add(item)
    rows = tally.summary()
    rows["findings"] = findings(rows)
    out = Path(out)
    write_report(out, _page(rows, str(source)))
    part = out.with_name(out.stem + ".json.part")
    part.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(part, out.with_suffix(".json"))
    return rows


def bars(counts: Mapping[str, float], *, title: str, x_label: str, caption: str = "") -> Figure:
    """Level bars, one a name, the first on top."""
    fig, (ax,) = new_figure(1, 0.8 + 0.24 * max(2, len(counts)))
    names = [plain_label(name if len(name) <= 34 else name[:33] + "…") for name in counts]
    ax.barh(range(len(names)), list(counts.values()), color=COLOURS[0], height=0.72)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel(x_label)
    return Figure(svg=as_svg(fig, title), title=title, caption=caption)


def columns(
    series: Mapping[str, Mapping[str, int]], *, title: str, x_label: str, caption: str = "", width: float = 1.0
) -> Figure:
    """Histograms over numbers, one outline a series, as shares of each; `width` is that of a bin."""
    fig, (ax,) = new_figure(1, 2.5)
    for k, (name, counts) in enumerate(series.items()):
        total = sum(counts.values())
        edges = [float(value) for value in counts]
        heights = [100 * n / total for n in counts.values()]
        colour = _ROLE_COLOURS.get(name, COLOURS[k % len(COLOURS)])
        ax.bar(edges, heights, width=0.92 * width, align="edge" if width != 1 else "center", color=colour,
               alpha=0.55 if len(series) > 1 else 1.0, label=plain_label(name))  # fmt: skip
    ax.xaxis.get_major_locator().set_params(integer=width == 1)
    if len(series) > 1:
        ax.legend(frameon=False, labelcolor="#010203", fontsize=8.5)
    ax.set_xlabel(x_label)
    ax.set_ylabel("%")
    return Figure(svg=as_svg(fig, title), title=title, caption=caption)


def _top(counts: Mapping[str, float]) -> dict[str, float]:
    return dict(list(counts.items())[:_N_BARS])


def _page(rows: dict[str, Any], source: str) -> Report:
    n, cut, near = rows["n_dialogues"], rows["interruptions"], rows["near_duplicates"]
    more = f" The {_N_BARS} largest of {len(rows['topics'])}." if len(rows["topics"]) > _N_BARS else ""
    sections = [
        Section(title="What stands out", pieces=[Bullets(items=rows["findings"] or ["Nothing over the limits."])]),
        Section(
            title="Topics and sources",
            pieces=[
                bars(_top(rows["topics"]), title="Topics", x_label="dialogues",
                     caption=f"As varied as {rows['effective_topics']:g} topics of equal size.{more}"),
                Table(columns=["source", "dialogues"], rows=list(rows["sources"].items())),
            ],
        ),
        Section(
            title="Lengths",
            pieces=[
                columns({"dialogues": rows["turn_counts"]}, title="Turns of a dialogue", x_label="turns"),
                columns(rows["words_of_a_turn"], title="Words of a turn", x_label="words"),
                *_chunk_pieces(rows),
            ],
        ),
        Section(title="Interruptions", pieces=_cut_pieces(cut, n)),
        *([Section(title="Voices", pieces=_voice_pieces(rows["voices"]))] if "voices" in rows else []),
        Section(
            title="Repetition",
            pieces=[
                Table(columns=["phrase", "dialogues"], rows=list(rows["phrases"].items()), title="Phrases many share"),
                *(
                    Table(columns=["first words", "turns"], rows=list(counts.items()), title=f"How the {role} begins")
                    for role, counts in rows["openings"].items()
                ),
                Table(
                    columns=["dialogue", "resembles", "similarity"], rows=near["examples"], title="Near-duplicates",
                    note=f"{near['pairs']} pairs of similarity {near['threshold']:g} or more (MinHash over word "
                    f"triples); {near['superfluous']} dialogues could be left out.",
                ),
            ],
        ),
    ]  # fmt: skip
    return Report(
        title="Bias report",
        summary=f"What {source} holds, so that what it holds too much of can be seen before a model learns it.",
        numbers=[
            ("dialogues", n, f"{rows['n_turns']:,} turns"),
            ("words", rows["n_words"], f"{rows['n_words'] / rows['n_turns']:.1f} a turn"),
            ("interrupted", f"{cut['share']:.0%}", f"{cut['different_phrases']} different phrases"),
            ("near-duplicates", f"{near['share']:.1%}", "could be left out"),
        ],
        sections=sections,
        footer="Made by `most data dialogues bias`. The same figures lie beside this page as JSON.",
    )


def _chunk_pieces(rows: dict[str, Any]) -> list[Piece]:
    counts = rows["words_of_a_chunk"]
    return [columns({"chunks": counts}, title="Words of a spoken chunk", x_label="words")] if counts else []


def _cut_pieces(cut: dict[str, Any], n: int) -> list[Piece]:
    if not cut["dialogues"]:
        return [Facts(items={"dialogues with an interruption": 0})]
    return [
        Facts(items={"dialogues with an interruption": f"{cut['dialogues']:,} of {n:,} ({cut['share']:.0%})"}),
        columns(
            {"cuts": cut["at_share_of_turn"]},
            title="Where turns are cut",
            x_label="share of the turn's words",
            width=0.05,
        ),
        columns({"turns": cut["turn"]}, title="Which turn is cut", x_label="turn of the dialogue"),
        Table(columns=["kind or writer", "dialogues"], rows=list(cut["kinds"].items())),
        Table(columns=["interruption", "times"], rows=list(cut["phrases"].items()), title="What is said most"),
    ]


def _voice_pieces(voices: dict[str, Any]) -> list[Piece]:
    rates = voices["words_per_second"]
    return [
        bars(_top({v: s / 60 for v, s in voices["seconds"].items()}), title="Voices", x_label="minutes",
             caption=f"As varied as {voices['effective']:g} voices of equal share."),
        columns({"turns": voices["turn_words_per_second"]}, title="Speaking rate", x_label="words a second", width=0.2),
        Table(columns=["voice", "seconds", "words a second"],
        rows=[[v, s, rates[v]] for v, s in voices["seconds"].items()]),
        *(
            Table(columns=["voice", "turns"], rows=list(counts.items()), title=f"Voices of the {role}")
            for role, counts in voices["turns"].items()
        ),
    ]  # fmt: skip
