"""What is said around questions: frames, greetings, requests to repeat, what is not known. Read from `assets/facts`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import yaml

from most.data.facts.table import ASSETS

Part = Literal["train", "held_out"]


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """What users say, to train and to test on, and what the assistant says to it, the same in both.

    Args:
        keys: phrases that tell the assistant's replies from those of other kinds; each reply holds one.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    assistant: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    def of(self, part: Part) -> tuple[str, ...]:
        return self.train if part == "train" else self.held_out


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A long answer, which can be broken off, and how it is asked for."""

    ask: Phrases
    say: str


@dataclass(frozen=True, kw_only=True)
class Talk:
    """All of `talk.yaml`.

    Args:
        frames: around a question.
        unknown_fillings: by relation, subjects that its table does not have.
        beyond: arithmetic beyond the table.
        break_in, stop: how users break into an answer, with a new question or to end it.
        resume: how the assistant takes up its thread.
    """

    frames: Phrases
    kinds: Mapping[str, Phrases]
    unknown_fillings: Mapping[str, Phrases]
    beyond: Phrases
    lists: tuple[Listing, ...]
    break_in: Phrases
    stop: Phrases
    resume: tuple[str, ...]


@lru_cache(maxsize=1)
def talk() -> Talk:
    tree = yaml.safe_load((ASSETS / "talk.yaml").read_text(encoding="utf-8"))
    breaking = tree["breaking in"]
    return Talk(
        frames=_phrases(tree["frames"]), kinds={k: _phrases(v) for k, v in tree["kinds"].items()},
        unknown_fillings={k: _phrases(v) for k, v in tree["unknown fillings"].items()},
        beyond=_phrases(tree["beyond"]),
        lists=tuple(Listing(ask=_phrases(row["ask"]), say=row["say"]) for row in tree["lists"]),
        break_in=_phrases(breaking["question"]), stop=_phrases(breaking["stop"]), resume=tuple(breaking["resume"]),
    )  # fmt: skip


def _phrases(tree: dict[str, Any]) -> Phrases:
    return Phrases(**{k: tuple(v) for k, v in tree.items()})
