"""What a run left in its folder: `results.json`, and each task's log and audio."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from most.data.corpora.base import AUDIO_SUFFIXES
from most.errors import MostError
from most.evaluate.score import Score
from most.evaluate.sets.base import SetInfo
from most.manifest import AudioRef

RESULTS_FILE = "results.json"
LOG_FILE = "items.jsonl"

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """One task of a run.

    Args:
        left_out: why it was not run; None where it was.
        folder: its log and its audio.
    """

    name: str
    family: str
    info: SetInfo
    facts: Mapping[str, str]
    scores: tuple[Score, ...]
    left_out: str | None
    folder: Path
    rows: tuple[Row, ...] = ()
    seconds: float | None = None

    @property
    def direction(self) -> str:
        return self.facts.get("direction", "")

    def worst(self, count: int) -> list[Row]:
        """Failed items first, then by their badness, those of the log's order first."""
        return sorted(self.rows, key=_badness, reverse=True)[:count]

    def typical(self, count: int, leave_out: Sequence[Row] = ()) -> list[Row]:
        """Spread evenly over the log, so not picked by how good they are; `leave_out` are shown elsewhere."""
        rows = [row for row in self.rows if row not in leave_out]
        n = min(count, len(rows))
        return [rows[(2 * k + 1) * len(rows) // (2 * n)] for k in range(n)]

    def audio(self, row: Row) -> list[tuple[str, AudioRef]]:
        """The audio that a row names and that is there: its key and where it is; the model's own before the set's."""
        found = []
        for key, value in row.items():
            ref = self._ref(value)
            if ref is not None:
                found.append((key, ref))
        return sorted(found, key=lambda pair: not self._own(pair[0], pair[1]))

    def _own(self, key: str, ref: AudioRef) -> bool:
        return self.folder.resolve() in Path(ref.path).resolve().parents and "question" not in key

    def _ref(self, value: Any) -> AudioRef | None:
        start, duration = 0.0, None
        if isinstance(value, Mapping) and isinstance(value.get("path"), str):
            start, duration, value = value.get("start") or 0.0, value.get("duration"), value["path"]
        if not isinstance(value, str) or not value.endswith(AUDIO_SUFFIXES):
            return None
        found = next((p for p in (self.folder / value, Path(value)) if p.is_file()), None)
        return None if found is None else AudioRef(path=found, start=start, duration=duration)


@dataclass(frozen=True, kw_only=True)
class Results:
    """A whole run."""

    model: str
    command: str
    seconds: float
    normalizer: str
    versions: Mapping[str, str] = field(default_factory=dict)
    tasks: Sequence[TaskResult] = ()


def load_results(folder: Path) -> Results:
    """Read a run's folder.

    Raises:
        MostError: no results, or results of another form.
    """
    path = folder / RESULTS_FILE
    if not path.is_file():
        raise MostError("output", folder, f"holds no {RESULTS_FILE}; give the folder of a finished `most eval`")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        return Results(
            model=tree["model"], command=tree.get("command", ""), seconds=tree.get("time_seconds", 0.0),
            normalizer=tree.get("normalizer", ""), versions=tree.get("versions", {}),
            tasks=tuple(_task(task, folder) for task in tree["tasks"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as e:
        raise MostError("output", path, f"is not the results of an evaluation ({type(e).__name__}: {e})") from e


def _task(tree: Mapping[str, Any], folder: Path) -> TaskResult:
    log = folder / tree["name"] / LOG_FILE
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else ()
    info = tree.get("set") or {"name": "", "source": ""}
    return TaskResult(
        name=tree["name"], family=tree["family"], info=SetInfo(**info), facts=tree.get("facts") or {},
        scores=tuple(Score(**s) for s in tree.get("scores") or ()), left_out=tree.get("left_out"),
        folder=folder / tree["name"], rows=tuple(json.loads(line) for line in lines if line.strip()),
        seconds=tree.get("seconds"),
    )  # fmt: skip


def _badness(row: Row) -> float:
    return float("inf") if "error" in row else float(row.get("badness", 0.0))
