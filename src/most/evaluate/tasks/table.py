"""The families there are, by name: the kind their settings are read into, and what makes a task of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from most.errors import MostError, nearest
from most.evaluate.tasks import asr, audio_lm, spoken_qa, text, tts
from most.evaluate.tasks.base import Task
from most.settings import build


@dataclass(frozen=True)
class Family:
    """A family's settings, and `make(settings, name)`."""

    settings: type
    make: Callable[[Any, str], Task]


FAMILIES: dict[str, Family] = {
    "asr": Family(asr.Settings, asr.make),
    "tts": Family(tts.Settings, tts.make),
    "audio_lm": Family(audio_lm.Settings, audio_lm.make),
    "spoken_qa": Family(spoken_qa.Settings, spoken_qa.make),
    "text": Family(text.Settings, text.make),
}


def task_settings(tree: dict[str, Any], where: str) -> tuple[Family, Any]:
    """The family that a recipe's task names, and its checked settings; nothing is read.

    Raises:
        MostError: an unknown family, or settings that it does not take.
    """
    own = dict(tree)
    name = own.pop("family", None)
    if name not in FAMILIES:
        raise MostError(f"{where}.family", name, nearest(str(name), FAMILIES))
    family = FAMILIES[name]
    return family, build(family.settings, own, where)
