"""What a build holds, in a page: examples of each task, hours, speakers, and what was left out and why.

Everything is counted in the files that steps wrote, whatever verb wrote them; nothing in it depends on when or where.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from most.data.build.recipe import Step
from most.data.corpora.write import TEST_PREFIXES
from most.data.units.plan import audio_seconds
from most.manifest import Example, read_examples


def step_summary(folder: Path) -> dict[str, Any]:
    """Examples and other rows by file, and what was left out by reason."""
    out: dict[str, Any] = {}
    files = sorted(p for p in folder.glob("*.jsonl") if not p.name.endswith("journal.jsonl"))
    left: Counter[str] = Counter()
    for path in files:
        if path.name.endswith("rejected.jsonl"):
            for row in _rows(path):
                left.update(row["reasons"] if "reasons" in row else [row.get("kind") or row["reason"]])
            continue
        first = next(_rows(path), {})
        if "task" in first:
            out.setdefault("examples", {})[path.name] = count(read_examples(path))
        elif "audio" not in first or "question" in first:  # utterances are the same audio again
            out.setdefault("rows", {})[path.name] = sum(1 for _ in _rows(path))
    return out | ({"left_out": dict(sorted(left.items()))} if left else {})


def count(examples: Sequence[Example]) -> dict[str, Any]:
    """Tasks, hours of different audio, and who is heard in it."""
    seconds: dict[tuple[Path, float], float] = {}
    speakers: set[str] = set()
    for example in examples:
        turns = [t for t in example.turns if t.audio is not None]
        speakers.update(t.speaker for t in turns if t.speaker)
        for turn in turns:
            assert turn.audio is not None
            key = (turn.audio.path, turn.audio.start)
            if key not in seconds:
                known = example.meta.get("seconds") if len(turns) == 1 else None
                seconds[key] = known or audio_seconds(turn.audio) or 0.0
    tasks = Counter(e.task for e in examples)
    return {
        "tasks": dict(sorted(tasks.items())), "hours": round(sum(seconds.values()) / 3600, 4),
        "speakers": sorted(speakers),
    }  # fmt: skip


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as f:
        for line in f:
            if line.strip():
                yield json.loads(line)


def build_summary(steps: Sequence[Step], keys: dict[str, str]) -> dict[str, Any]:
    """`build.json`: a row a step, and totals of training and testing."""
    rows: dict[str, Any] = {}
    totals: dict[str, Any] = {}
    for step in steps:
        rows[step.name] = {"verb": step.verb_name}
        if step.left_out:
            rows[step.name]["not_made"] = step.left_out
            continue
        rows[step.name] |= {"key": keys[step.name], **step_summary(step.out)}
        for name, made in rows[step.name].get("examples", {}).items():
            side = totals.setdefault(
                "test" if is_test(step.name) or is_test(name) else "train", {"tasks": {}, "hours": 0.0, "speakers": []}
            )
            for task, n in made["tasks"].items():
                side["tasks"][task] = side["tasks"].get(task, 0) + n
            side["hours"] = round(side["hours"] + made["hours"], 4)
            side["speakers"] = sorted({*side["speakers"], *made["speakers"]})
    return {"steps": rows, "totals": totals}


def is_test(name: str) -> bool:
    """Whether a step or a manifest of this name is to measure on."""
    return name.startswith(TEST_PREFIXES)


def page(summary: dict[str, Any]) -> list[str]:
    """The summary as lines to print."""
    lines = [f"{'step':<30}{'file':<26}{'examples':<34}{'hours':>7}{'speakers':>10}"]
    for name, row in summary["steps"].items():
        if "not_made" in row:
            lines.append(f"{name:<30}not made: {row['not_made']}")
        for file, made in row.get("examples", {}).items():
            lines.append(_line(name, file, made))
        for file, n in row.get("rows", {}).items():
            lines.append(f"{name:<30}{file:<26}{n} rows")
        if left := row.get("left_out"):
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(left.items(), key=lambda r: -r[1]))
            lines.append(f"{name:<30}left out {sum(left.values())}: {reasons}")
    lines += [_line("all", side, made) for side, made in sorted(summary["totals"].items(), reverse=True)]
    return lines


def _line(name: str, file: str, made: dict[str, Any]) -> str:
    tasks = ", ".join(f"{n} {task}" for task, n in made["tasks"].items())
    return f"{name:<30}{file:<26}{tasks:<34}{made['hours']:>7.3f}{len(made['speakers']):>10}"
