"""The two files of a report: the page with figures, items and sounds, and the Markdown table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from most.evaluate.paper import PAPER, disputed
from most.evaluate.report.items import item_pieces
from most.evaluate.report.lines import Line, duration, families, lines
from most.evaluate.report.markdown import markdown
from most.evaluate.report.results import Results, TaskResult, load_results
from most.files import write_text
from most.report.page import Band, Facts, Piece, Report, Section, Table, Text, write_report

N_TILES = 10
_COLUMNS = ("task: set", "metric", "score", "paper", "95 % interval", "", "items")


def write_reports(folder: Path) -> Path:
    """Write `report.md` and `report.html` into the folder of a run; returns the page's path.

    Raises:
        MostError: no results there, or results of another form.
    """
    results = load_results(folder)
    write_text(folder / "report.md", markdown(results))
    return write_report(folder / "report.html", page(results))


def page(results: Results) -> Report:
    """The page as data."""
    sections = [Section(title=title, pieces=_family(tasks)) for _, title, tasks in families(results)]
    doubts = disputed([t.family for t in results.tasks if t.scores])
    if doubts:
        table = Table(
            columns=["model", "set", f"in {PAPER}, %", "elsewhere, %", "where"],
            rows=[(d.model, d.set, d.paper, d.elsewhere, d.source) for d in doubts],
            note="What the paper reports for other models and other papers contradict. Quote either with its source.",
        )
        sections.append(Section(title="Baselines to be quoted with care", pieces=[table]))
    how: dict[str, object] = {"command": results.command, "time": duration(results.seconds)}
    how |= {"normaliser": results.normalizer} if results.normalizer else {}
    sections.append(Section(title="How it was done", pieces=[Facts(items={**how, **results.versions})]))
    ran = [t for t in results.tasks if t.scores]
    return Report(
        title=f"Evaluation of {results.model}",
        summary=f"{len(ran)} of {len(results.tasks)} tasks ran, in {duration(results.seconds)}. Failed and empty "
        f"answers count as wrong and are counted. The paper is {PAPER}; its figure stands in brackets where "
        "ours is on a stand-in, and the two must not be compared.",
        numbers=[_tile(task) for task in ran[:N_TILES]],
        sections=sections,
        footer="Made from results.json and the logs beside this page; they hold every item, report.md the figures.",
    )


def _tile(task: TaskResult) -> tuple[str, object, str]:
    line = lines(task)[0]
    where = f"{line.set}, a stand-in" if line.stand_in else line.set
    return task.name, line.value, f"{line.score.metric}, {line.interval}; {where}"


def _family(tasks: Sequence[TaskResult]) -> list[Piece]:
    if not tasks:
        return [Text(text="Left out: the recipe names no task of this family.")]
    pieces: list[Piece] = [Text(text=f"{t.name} was left out: {t.left_out}") for t in tasks if t.left_out]
    ran = [t for t in tasks if t.scores]
    found = [line for task in ran for line in lines(task)]
    if found:
        pieces.append(_scores(found))
    for task in ran:
        pieces.append(_facts(task))
        pieces += item_pieces(task)
    return pieces


def _scores(found: Sequence[Line]) -> Table:
    top = max([1.0, *(line.score.high for line in found if line.score.unit == "%")])
    rows, before = [], ""
    for line in found:
        score, label = line.score, f"{line.task}: {line.set}"
        name = f"{label}; {line.note}" if line.note else label
        if line.task == before:
            name = "stand-in" if line.stand_in else ""
        band = Band(low=score.low / top, value=score.value / top, high=score.high / top) if score.unit == "%" else ""
        rows.append((name, line.metric, line.value, line.paper, line.interval, band, line.count))
        before = line.task
    return Table(
        columns=_COLUMNS, rows=rows,
        note=f"The tick is the score, the band its bootstrap interval, on a scale from 0 to {100 * top:.0f} %. ↑: "
        "higher is better, ↓: lower is better.",
    )  # fmt: skip


def _facts(task: TaskResult) -> Piece:
    facts = {"source": task.info.source, "licence": task.info.licence, **task.facts}
    if task.seconds is not None:
        facts["time"] = duration(task.seconds)
    return Facts(items={k: v for k, v in facts.items() if v}, title=f"{task.name}: how it was measured")
