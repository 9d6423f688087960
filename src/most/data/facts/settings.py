"""What the steps `facts` and `manners` of a build may say."""

from __future__ import annotations

from dataclasses import dataclass, field

from most.data.facts.table import chosen, relations
from most.errors import MostError, nearest

SCENES = {"social": 0.2, "again": 0.25, "unknown": 0.3, "breaking in": 0.25}


@dataclass(frozen=True, kw_only=True)
class FactsStep:
    """Questions and answers about the facts of the table.

    Args:
        relations: only these; all where none is named.
        wordings: for training, of each fact; as many as its relation has where that is fewer.
        wordings_of: other numbers for relations that are to have more or less.
        test_wordings: of each fact, in held-out wordings.
        multi_turn: share of the dialogues with two or three questions.
        limit, test_limit: how many dialogues and test questions to keep; a larger one only adds.
    """

    relations: tuple[str, ...] = ()
    wordings: int = 6
    wordings_of: dict[str, int] = field(default_factory=dict)
    test_wordings: int = 1
    multi_turn: float = 0.3
    seed: int = 0
    limit: int | None = None
    test_limit: int | None = None

    def __post_init__(self) -> None:
        chosen(self.relations)
        for name, n in self.wordings_of.items():
            if name not in relations():
                raise MostError("wordings_of", name, nearest(name, relations()))
            if n < 0:
                raise MostError(f"wordings_of.{name}", n, "must be at least 0")
        for name in ("wordings", "test_wordings"):
            if getattr(self, name) < 1:
                raise MostError(name, getattr(self, name), "must be at least 1")
        if not 0 <= self.multi_turn <= 1:
            raise MostError("multi_turn", self.multi_turn, "must lie in 0..1")
        _check_limits(self, "limit", "test_limit")

    def wordings_for(self, relation: str) -> int:
        return self.wordings_of.get(relation, self.wordings)


@dataclass(frozen=True, kw_only=True)
class MannersStep:
    """Dialogues of simple manners.

    Args:
        limit, test_limit: how many dialogues to train and to test on; fewer come out where scenes repeat themselves.
        scenes: how often each is drawn, as weights: `social` (greetings, who are you, thanks, goodbye), `again` (say
            it again, slower, shorter), `unknown` (what is not in the table), `breaking in`.
        resumed: share of the answers broken into by a question that are taken up again behind its answer.
    """

    limit: int = 1500
    test_limit: int = 150
    scenes: dict[str, float] = field(default_factory=lambda: dict(SCENES))
    resumed: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        for name, weight in self.scenes.items():
            if name not in SCENES:
                raise MostError("scenes", name, nearest(name, SCENES))
            if weight < 0:
                raise MostError(f"scenes.{name}", weight, "must be at least 0")
        if not sum(self.scenes.values()) > 0:
            raise MostError("scenes", self.scenes, "give at least one a weight above 0")
        if not 0 <= self.resumed <= 1:
            raise MostError("resumed", self.resumed, "must lie in 0..1")
        _check_limits(self, "limit", "test_limit")


def _check_limits(step: FactsStep | MannersStep, *names: str) -> None:
    for name in names:
        if (value := getattr(step, name)) is not None and value < 1:
            raise MostError(name, value, "must be at least 1, or left out")
