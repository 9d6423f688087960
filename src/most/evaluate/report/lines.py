"""A score and what must stand beside it: its interval, the paper's figure, and whether the two may be compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from most.evaluate.paper import find_goal
from most.evaluate.report.results import Results, TaskResult
from most.evaluate.score import Score

FAMILIES = {
    "asr": "Listening: speech recognition",
    "tts": "Speaking: text to speech",
    "audio_lm": "Audio language modelling",
    "spoken_qa": "Spoken question answering",
    "text": "Text ability kept",
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One score as a report shows it.

    Args:
        paper: the paper's figure as text, in brackets where it must not be compared; empty where it has none.
        note: that the set is a stand-in, or that only a part of it was asked; empty for the whole of a published set.
    """

    task: str
    set: str
    score: Score
    paper: str
    note: str
    stand_in: bool

    @property
    def value(self) -> str:
        unit = f"\u00a0{self.score.unit}" if self.score.unit else ""  # a no-break space
        return f"{shown(self.score.value, self.score)}{unit}"

    @property
    def interval(self) -> str:
        return f"{shown(self.score.low, self.score)} to {shown(self.score.high, self.score)}"

    @property
    def metric(self) -> str:
        arrow = {"lower": "\u00a0↓", "higher": "\u00a0↑", None: ""}[self.score.better]
        return f"{self.score.metric.replace('_', ' ')}{arrow}"

    @property
    def count(self) -> str:
        s = self.score
        lost = [f"{n} {what}" for n, what in ((s.n_failed, "failed"), (s.n_empty, "empty")) if n]
        return f"{s.n_items:,}" + (f"; {', '.join(lost)}" if lost else "")


def shown(value: float, score: Score) -> str:
    if score.unit == "%":
        return f"{100 * value:.1f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def lines(task: TaskResult) -> list[Line]:
    """A line a score, in the task's order."""
    stand_in, asked = task.info.stand_in_for, task.facts.get("items", "")
    part = asked if asked.startswith("the first") else ""
    note = "; ".join(n for n in (f"stand-in for {stand_in}, not comparable" if stand_in else "", part) if n)
    out = []
    for score in task.scores:
        goal = find_goal(task.family, stand_in or task.info.name, score.metric, task.direction)
        if task.facts.get("form") == "text":  # the paper's are of speech
            goal = None
        figure = "" if goal is None else f"{100 * goal.value:.2f}".removesuffix("0")
        out.append(
            Line(
                task=task.name, set=f"{task.info.name} ({task.direction})" if task.direction else task.info.name,
                score=score, paper=f"({figure})" if figure and stand_in else figure,
                note=note, stand_in=stand_in is not None,
            )
        )  # fmt: skip
    return out


def families(results: Results) -> list[tuple[str, str, Sequence[TaskResult]]]:
    """Family, title and tasks: those known first, in the paper's order, also where nothing of them was asked for."""
    names = [*FAMILIES, *(t.family for t in results.tasks)]
    return [
        (name, FAMILIES.get(name, name), [t for t in results.tasks if t.family == name])
        for name in dict.fromkeys(names)
    ]


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
