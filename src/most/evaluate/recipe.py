"""What a recipe of `most eval` may say: tasks by name, and variables for what lies elsewhere on each machine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from most.errors import MostError, nearest
from most.evaluate.tasks.table import Family, task_settings
from most.generate.hearing import Hearing
from most.settings import Unset, fill_variables, variables_in

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class EvalRecipe:
    """An evaluation.

    Args:
        tasks: name to `family`, its settings, and `optional`: left out where a variable of it is not set or its set is
            not there; the report says so.
        output: folder of logs, audio and reports; `runs/eval/MODEL` when absent.
        variables: name to value; what is null must be set by whoever runs the recipe (`variables.NAME=VALUE`).
        batch_size: items at once; scores do not depend on it.
        workers: processes, each with its copy of the model; threads: of each, the cores divided by the workers.
        codec: folder of the speech codec; the shipped one when absent. speaker: its voice, its main one when absent.
        temperature: of speech; 0 takes the most likely unit. best_of: takes that are drawn, of which the model keeps
            the one that it understands best itself.
        hearing: `beams` and `ctc_weight` of transcripts, for a model that was trained with a CTC term; the
            engine's when left out.
        device: where the model runs, as torch names it. bits: of its weights, 8 or 4; as they are when absent.
    """

    tasks: dict[str, dict[str, Any]]
    output: Path | None = None
    variables: dict[str, str | None] = field(default_factory=dict)
    batch_size: int = 8
    workers: int = 1
    threads: int | None = None
    codec: Path | None = None
    speaker: str | None = None
    temperature: float = 0.4
    best_of: int = 1
    hearing: Hearing | None = None
    device: str = "cpu"
    bits: int | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise MostError("tasks", {}, "name at least one task")
        for name, tree in self.tasks.items():
            if not _NAME.fullmatch(name):
                raise MostError("tasks", name, "cannot name a folder; use letters, digits, '.', '_' and '-'")
            if not isinstance(tree.get("optional", False), bool):
                raise MostError(f"tasks.{name}.optional", tree["optional"], "must be true or false")
        for name in ("batch_size", "workers", "threads", "best_of"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise MostError(name, value, "must be at least 1")
        if self.temperature < 0:
            raise MostError("temperature", self.temperature, "must be >= 0; 0 takes the most likely unit")
        used = variables_in(self.tasks)
        for name, value in self.variables.items():
            if name not in used:
                raise MostError(f"variables.{name}", value, f"no task uses it; {nearest(name, used)}")
        self.resolved()

    def resolved(self) -> list[Resolved]:
        """The tasks with their variables filled in and their settings checked; no set is read.

        Raises:
            MostError: an unknown family or setting, or an unset variable of a task that is not optional.
        """
        out = []
        for name, tree in self.tasks.items():
            where, own = f"tasks.{name}", {k: v for k, v in tree.items() if k != "optional"}
            optional = bool(tree.get("optional"))
            try:
                filled = fill_variables(own, self.variables, where)
            except Unset as e:
                if not optional:
                    remedy = f"is not set and task {name!r} needs it; add variables.{e}=VALUE"
                    raise MostError(f"variables.{e}", None, remedy) from None
                out.append(Resolved(name=name, tree=own, left_out=f"variables.{e} is not set"))
                continue
            family, settings = task_settings(filled, where)
            out.append(Resolved(name=name, tree=filled, family=family, settings=settings, optional=optional))
        return out


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A task before its set is read.

    Args:
        tree: the settings as plain data, for the log.
        left_out: why it is not run; "" where it is.
    """

    name: str
    tree: dict[str, Any]
    family: Family | None = None
    settings: Any = None
    optional: bool = False
    left_out: str = ""
