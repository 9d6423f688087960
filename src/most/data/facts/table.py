"""The table: relations with their wordings and facts, read from `assets/facts`.

Every fact is for training; what is kept for tests are wordings, which are listed apart (`held_out`), so that no seed
and no size of a set moves one to the other side.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from most.data.facts.english import fill
from most.data.facts.numbers import COMPUTED, DIGITS
from most.errors import MostError, nearest

ASSETS = Path(__file__).resolve().parents[2] / "assets" / "facts"
FILES = ("places", "words", "order", "numbers", "amounts", "animals", "things")
LICENCE = "Apache-2.0"
_BETWEEN = " / "


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One fact.

    Args:
        slots: what fills the wordings.
        answers: the first is said; the others are right too.
        either_order: the slots `one` and `other` may change places.
    """

    relation: str
    slots: Mapping[str, str]
    answers: tuple[str, ...]
    either_order: bool = False

    @property
    def id(self) -> str:
        """Names it in files: relation and subject."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.relation} {self.subject}".lower()).strip("-")

    @property
    def subject(self) -> str:
        return _BETWEEN.join(v for k, v in self.slots.items() if k != "kind")

    def fill(self, template: str, *, swap: bool = False) -> str:
        """A wording of the question or of the answer about this fact, as sentences."""
        slots = dict(self.slots)
        if swap:
            slots |= {"one": slots["other"], "other": slots["one"]}
        return fill(template, {**slots, "answer": self.answers[0]})


@dataclass(frozen=True, kw_only=True)
class Relation:
    """Facts of one kind and how they are asked and answered.

    Args:
        questions: wordings to train on.
        held_out: wordings to test on alone.
        answers: forms of the answer, the commonest first.
        follow_up: a question that leans on one of the same relation just before; "" for none.
    """

    name: str
    topic: str
    questions: tuple[str, ...]
    held_out: tuple[str, ...]
    answers: tuple[str, ...]
    follow_up: str
    facts: tuple[Fact, ...]


@lru_cache(maxsize=1)
def relations() -> Mapping[str, Relation]:
    """All relations by name, in the order of the files."""
    out: dict[str, Relation] = {}
    for name in FILES:
        tree = yaml.safe_load((ASSETS / f"{name}.yaml").read_text(encoding="utf-8"))
        out |= {relation: _relation(relation, rows) for relation, rows in tree.items()}
    return out


def chosen(names: Sequence[str]) -> list[Relation]:
    """The relations of these names, all where none is given.

    Raises:
        MostError: an unknown name.
    """
    table = relations()
    for name in names:
        if name not in table:
            raise MostError("relations", name, nearest(name, table))
    return [r for r in table.values() if not names or r.name in names]


def _relation(name: str, tree: dict[str, Any]) -> Relation:
    rows = COMPUTED[name]() if tree["facts"] == "computed" else tree["facts"]
    facts = tuple(_fact(name, tree, subject, answer) for subject, answer in rows.items())
    return Relation(
        name=name, topic=tree["topic"], questions=tuple(tree["questions"]), held_out=tuple(tree["held_out"]),
        answers=tuple(tree["answers"]), follow_up=tree.get("follow_up", ""), facts=facts,
    )  # fmt: skip


def _fact(name: str, tree: dict[str, Any], subject: str, answer: str | list[str]) -> Fact:
    filled = dict(zip(tree["slots"], subject.split(_BETWEEN), strict=True))
    answers = [answer] if isinstance(answer, str) else list(answer)
    answers += [DIGITS[a] for a in answers if a in DIGITS]
    return Fact(
        relation=name, slots=tree.get("with", {}) | filled, answers=tuple(answers),
        either_order=tree.get("either_order", False),
    )  # fmt: skip
