"""`most eval`: every task asked of a model, answers logged one by one, scores made from the logs, then the reports.

`<output>/<task>/items.jsonl` holds a row an item, in the order in which answers came; audio lies beside it. A run that
was stopped goes on with the items that have no answer; those that failed are asked again.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tqdm import tqdm

from most.errors import MostError
from most.evaluate.asking import Asker, make_asker
from most.evaluate.recipe import EvalRecipe, Resolved
from most.evaluate.report.results import LOG_FILE, RESULTS_FILE
from most.evaluate.score import Score
from most.evaluate.subject import Capability
from most.evaluate.subjects import capabilities_of
from most.evaluate.tasks.base import Row, Task
from most.evaluate.text import SPELLING_TABLE
from most.files import append_lines, held, read_lines, write_text

SETTINGS = "settings.json"
Echo = Callable[[str], Any]


def default_output(model: str | Path) -> Path:
    """`runs/eval/` and the model's path in one word."""
    parts = [p for p in Path(model).parts if p not in ("/", "runs", "..", ".")]
    return Path("runs/eval") / ("-".join(parts) or "model")


def evaluate(
    recipe: EvalRecipe, model: str | Path, *, echo: Echo = print, progress: bool = True, reports: bool = True
) -> Path:
    """Run a recipe on a model. Returns the folder of `results.json` and the reports.

    Args:
        model: folder or hub id of a MoST or of a plain language model; tasks that it cannot do are left out.

    Raises:
        MostError: sets or models that cannot be read, a folder that holds another evaluation, or a task of which the
            first items all fail alike.
    """
    out = recipe.output or default_output(model)
    with held(out):
        return _evaluate(recipe, model, out, echo, progress, reports)


def _evaluate(recipe: EvalRecipe, model: str | Path, out: Path, echo: Echo, progress: bool, reports: bool) -> Path:
    able = capabilities_of(model)
    tasks, left_out = open_tasks(recipe, able)
    for resolved in recipe.resolved():
        if resolved.name in tasks:
            _claim(out / resolved.name, {"model": fingerprint(model), **_affects(recipe), "task": resolved.tree})
    done = {name: _answered(out / name, task) for name, task in tasks.items()}
    todo = {name: [k for k, i in enumerate(t.items) if i.id not in done[name]] for name, t in tasks.items()}
    echo(f"eval: {model} -> {out}")
    for name, task in tasks.items():
        stand_in = f", stands in for {task.info.stand_in_for}" if task.info.stand_in_for else ""
        there = f", {len(done[name])} are answered already" if done[name] else ""
        echo(f"  {name}: {task.family}, {len(task.items)} items of {task.info.name}{stand_in}{there}")
    for name, why in left_out.items():
        echo(f"  {name}: left out, {why}")
    if not tasks:
        raise MostError("tasks", sorted(recipe.tasks), f"none can be run: {next(iter(left_out.values()))}")
    n_left = sum(map(len, todo.values()))
    echo(f"  asks {n_left} items, {recipe.batch_size} at once in {recipe.workers} process(es); writes a line of log an")
    echo("  item and a wav for what is spoken; how long it takes shows in the bar")
    sys.stdout.flush()
    seconds = _seconds(out)
    if n_left:
        with make_asker(recipe, model, tasks) as asker, tqdm(total=n_left, unit="item", disable=not progress) as bar:
            for name, task in tasks.items():
                bar.set_description(name)
                start = time.perf_counter()
                _ask(asker, task, todo[name], out / name, recipe.batch_size, bar)
                seconds[name] = round(seconds.get(name, 0.0) + time.perf_counter() - start, 1)
                _write_seconds(out, seconds)
    results = _results(recipe, model, tasks, left_out, out, seconds)
    write_text(out / RESULTS_FILE, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    for task in results["tasks"]:
        for row in task["scores"][:3]:
            score = Score(**row)
            echo(f"  {task['name']}  {score.metric}  {score}")
    if reports:
        from most.evaluate.report import write_reports

        echo(f"report: {write_reports(out)}")
    return out


def open_tasks(recipe: EvalRecipe, able: frozenset[Capability]) -> tuple[dict[str, Task], dict[str, str]]:
    """The recipe's tasks with their sets read, and the reasons of those that are left out."""
    tasks: dict[str, Task] = {}
    left_out: dict[str, str] = {}
    for resolved in recipe.resolved():
        if resolved.left_out or resolved.family is None:
            left_out[resolved.name] = resolved.left_out
            continue
        try:
            task = resolved.family.make(resolved.settings, resolved.name)
        except MostError as e:
            if not resolved.optional or not _is_absent(resolved):
                raise
            left_out[resolved.name] = str(e)
            continue
        if lacks := sorted(task.needs - able):
            left_out[resolved.name] = f"the model cannot {' or '.join(lacks)}"
            continue
        if len({i.id for i in task.items}) != len(task.items):
            raise MostError(f"tasks.{resolved.name}.set", task.info.name, "holds an id twice; mend the set")
        tasks[resolved.name] = task
    return tasks, left_out


def scores_of(task: Task, out: Path) -> list[Score]:
    """Scores from the log alone, rows in the set's order."""
    rows = {row["id"]: row for row in read_lines(out / task.name / LOG_FILE)}
    return task.score([rows[item.id] for item in task.items])


def fingerprint(model: str | Path) -> str:
    """Changes when a model's folder does: its config, and the sizes and times of its files. A hub id is itself."""
    folder = Path(model)
    if not folder.is_dir():
        return str(model)
    files = sorted(f for f in folder.iterdir() if f.is_file())
    state = [[f.name, f.stat().st_size, f.stat().st_mtime_ns] for f in files if f.suffix == ".safetensors"]
    config = (folder / "config.json").read_text(encoding="utf-8") if (folder / "config.json").is_file() else ""
    return hashlib.sha256(json.dumps([state, config]).encode()).hexdigest()[:16]


def _ask(asker: Asker, task: Task, todo: Sequence[int], folder: Path, batch_size: int, bar: tqdm) -> None:
    batches = [todo[k : k + batch_size] for k in range(0, len(todo), batch_size)]
    for n, rows in enumerate(asker(task.name, batches, folder)):
        errors = {row.get("error") for row in rows}
        if n == 0 and len(errors) == 1 and None not in errors and len(rows) > 1:
            raise MostError(
                f"tasks.{task.name}", rows[0]["error"], "all of the first items failed so; nothing is logged"
            )
        if not append_lines(folder / LOG_FILE, rows):
            raise MostError("output", folder, "the disk is full; make room and run the same command, it goes on")
        bar.update(len(rows))


def _answered(folder: Path, task: Task) -> set[str]:
    """Items with an answer. Rows of failed ones are dropped from the log, for they are asked again."""
    known = {item.id for item in task.items}
    rows = read_lines(folder / LOG_FILE)
    kept = {row["id"]: row for row in rows if "error" not in row and row["id"] in known}
    if (folder / LOG_FILE).is_file():  # anew, for a killed run may have left a torn last line
        write_text(folder / LOG_FILE, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept.values()))
    return set(kept)


def _affects(recipe: EvalRecipe) -> dict[str, Any]:
    """What changes answers, of the recipe."""
    codec = str(recipe.codec) if recipe.codec else None
    return {"codec": codec, "speaker": recipe.speaker, "temperature": recipe.temperature,
            **({} if recipe.best_of == 1 else {"best_of": recipe.best_of}),
            **({} if recipe.hearing is None else {"hearing": asdict(recipe.hearing)}),
            **({} if recipe.bits is None else {"bits": recipe.bits})}  # fmt: skip


def _claim(folder: Path, settings: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path, text = folder / SETTINGS, json.dumps(settings, indent=1, default=str) + "\n"
    answered = (folder / LOG_FILE).is_file() and path.is_file()
    if answered and path.read_text(encoding="utf-8") != text:
        remedy = "holds answers of another model or other settings; delete it or choose another output"
        raise MostError("output", folder, remedy)
    write_text(path, text)


def _is_absent(resolved: Resolved) -> bool:
    return not Path(resolved.settings.set.path).exists()


def _seconds(out: Path) -> dict[str, float]:
    path = out / "seconds.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write_seconds(out: Path, seconds: dict[str, float]) -> None:
    write_text(out / "seconds.json", json.dumps(seconds) + "\n")


def _results(
    recipe: EvalRecipe, model: str | Path, tasks: dict[str, Task], left_out: dict[str, str], out: Path, seconds: Any
) -> dict[str, Any]:
    rows: list[Row] = []
    for name in recipe.tasks:
        if name in left_out:
            family = recipe.tasks[name].get("family")
            rows.append({"name": name, "family": family, "left_out": left_out[name], "scores": [], "facts": {}})
            continue
        task = tasks[name]
        rows.append(
            {
                "name": name, "family": task.family, "set": asdict(task.info), "facts": dict(task.facts),
                "scores": [asdict(s) for s in scores_of(task, out)], "left_out": None, "seconds": seconds.get(name),
            }
        )  # fmt: skip
    spelling = hashlib.sha256(SPELLING_TABLE.read_bytes()).hexdigest()[:12]
    names = ("most-speech", "torch", "transformers", "jiwer")
    return {
        "model": str(model), "fingerprint": fingerprint(model), "time_seconds": sum(seconds.values()),
        "versions": {name: version(name) for name in names},
        "normalizer": f"Whisper's for English, transformers {version('transformers')}, spelling table {spelling}",
        "batch_size": recipe.batch_size, "workers": recipe.workers, "command": command_line(), "tasks": rows,
    }  # fmt: skip


def command_line() -> str:
    """As it was typed, without the path of the program."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
