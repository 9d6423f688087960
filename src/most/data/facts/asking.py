"""Questions about facts with their answers: which wording, which frame around it, which form of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from numpy.random import Generator

from most.data.dialogue.voice.seam import generator
from most.data.facts.table import Fact, Relation
from most.data.facts.talk import Part, talk
from most.evaluate.answers import contained

T = TypeVar("T")
FRAMED = 0.25
"""Share of the questions with something around them, of those that admit it."""
_QUESTION_WORDS = ("what ", "what's ", "which ", "how ", "where ")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question about a fact and what is answered; `wording` is the question before its slots are filled."""

    fact: Fact
    wording: str
    question: str
    answer: str


def pick(options: Sequence[T], rng: Generator) -> T:
    return options[int(rng.integers(len(options)))]


def to_train(relation: Relation, fact: Fact, n: int, seed: int) -> list[Asked]:
    """Questions in `n` of the relation's wordings to train on, as many as there are."""
    rng = generator(seed, "train", fact.id)
    wordings = [relation.questions[k] for k in rng.permutation(len(relation.questions))[:n]]
    return [
        ask(relation, fact, wording, "train", rng, swap=fact.either_order and k % 2 == 1)
        for k, wording in enumerate(wordings)
    ]


def to_test(relation: Relation, fact: Fact, n: int, seed: int) -> list[Asked]:
    """Questions in `n` of the held-out wordings, leaving out those that name their own answer: a response that does
    no more than say the question again would be right."""
    rng = generator(seed, "test", fact.id)
    wordings = [relation.held_out[k] for k in rng.permutation(len(relation.held_out))]
    asked = [
        ask(relation, fact, w, "held_out", rng, swap=fact.either_order and bool(rng.integers(2))) for w in wordings
    ]
    return [a for a in asked if not contained(a.question, fact.answers)][:n]


def follow_up(relation: Relation, rng: Generator) -> Asked:
    """A question that leans on the one before, about any fact of the relation."""
    return ask(relation, pick(relation.facts, rng), relation.follow_up, None, rng)


def ask(
    relation: Relation, fact: Fact, wording: str, frames: Part | None, rng: Generator, *, swap: bool = False
) -> Asked:
    """One question in a wording and, now and then, a frame of the part."""
    frame = "{question}"
    if frames is not None and wording.startswith(_QUESTION_WORDS) and rng.random() < FRAMED:
        frame = pick(talk().frames.of(frames), rng)
    weights = [1 / (k + 1) for k in range(len(relation.answers))]
    form = relation.answers[int(rng.choice(len(weights), p=[w / sum(weights) for w in weights]))]
    wording = frame.replace("{question}", wording)
    return Asked(fact=fact, wording=wording, question=fact.fill(wording, swap=swap), answer=fact.fill(form, swap=swap))
