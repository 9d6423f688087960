"""The table of judges, and how a recipe names one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from most.errors import MostError, nearest
from most.evaluate.judges.base import Judge
from most.evaluate.judges.sphinx import PocketSphinx, PocketSphinxDigits
from most.evaluate.judges.transformers import TransformersJudge
from most.evaluate.judges.whisper import FasterWhisperJudge

JUDGES: dict[str, Callable[..., Judge]] = {
    "pocketsphinx": PocketSphinx,
    "pocketsphinx-digits": PocketSphinxDigits,
    "faster-whisper": FasterWhisperJudge,
    "transformers": TransformersJudge,
}


def make_judge(name: str, **settings: Any) -> Judge:
    """The judge of that name from the table `JUDGES`.

    Raises:
        MostError: an unknown name or setting, or the extra `eval` is missing.
    """
    if name not in JUDGES:
        raise MostError("judge", name, nearest(str(name), JUDGES))
    try:
        return JUDGES[name](**settings)
    except TypeError as e:
        raise MostError(f"judge.{name}", settings, f"settings do not fit ({e})") from e


@dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """A judge as a recipe names it: `{name: faster-whisper, settings: {model: base.en}}`.

    Args:
        name: one of `JUDGES`.
        settings: its keyword arguments.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in JUDGES:
            raise MostError("judge.name", self.name, nearest(str(self.name), JUDGES))

    def __str__(self) -> str:
        used = ", ".join(f"{k} {v}" for k, v in self.settings.items())
        return f"{self.name} ({used})" if used else self.name

    def judge(self) -> Judge:
        """The judge itself, made once a process: all tasks with the same settings share it.

        Raises:
            MostError: as `make_judge`.
        """
        return _made(self.name, json.dumps(self.settings, sort_keys=True, default=str))


@cache
def _made(name: str, settings: str) -> Judge:
    return make_judge(name, **json.loads(settings))
