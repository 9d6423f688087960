"""An evaluation as a Markdown file: every score, what was left out, what is disputed, how it was done."""

from __future__ import annotations

from most.evaluate.paper import PAPER, disputed
from most.evaluate.report.lines import duration, families, lines
from most.evaluate.report.results import Results
from most.report.markdown import plain, table

_HEAD = ("task", "set", "metric", "score", "paper", "95 % interval", "items", "failed", "empty", "note")


def markdown(results: Results) -> str:
    """The text of `report.md`."""
    out = [f"# Evaluation of {plain(results.model)}", ""]
    out += [
        f"The paper is {PAPER}; its figure in brackets belongs to a set that a stand-in takes the place of. Failed and "
        "empty answers count as wrong. Intervals are bootstrap ones over items.", ""
    ]  # fmt: skip
    for _, title, tasks in families(results):
        out += [f"## {title}", ""]
        rows = [
            (
                line.task, line.set, line.metric, f"**{line.value}**", line.paper, line.interval, line.score.n_items,
                line.score.n_failed, line.score.n_empty, line.note,
            )
            for task in tasks
            for line in lines(task)
        ]  # fmt: skip
        if rows:
            out += [*table(_HEAD, rows), ""]
        out += [f"Left out: {plain(t.name)}. {plain(t.left_out)}\n" for t in tasks if t.left_out]
        if not tasks:
            out += ["Left out: the recipe names no task of this family.", ""]
        for task in tasks:
            facts = {"source": task.info.source, "licence": task.info.licence, **task.facts}
            if task.scores:
                out += [f"- {plain(task.name)}: " + "; ".join(f"{k}: {plain(v)}" for k, v in facts.items() if v)]
        out += [""] if rows else []
    doubts = disputed([t.family for t in results.tasks if t.scores])
    if doubts:
        rows = [(d.model, d.set, d.paper, d.elsewhere, d.source) for d in doubts]
        out += ["## Baselines to be quoted with care", ""]
        out += [*table(("model", "set", f"in {PAPER}, %", "elsewhere, %", "where"), rows), ""]
    out += ["## How it was done", "", f"    {results.command}", "", f"- time: {duration(results.seconds)}"]
    out += [f"- normaliser: {plain(results.normalizer)}"] if results.normalizer else []
    out += [f"- {name}: {plain(version)}" for name, version in results.versions.items()]
    return "\n".join(out).rstrip() + "\n"
