"""Scenes of simple manners: greetings, say it again, what is not known. Breaking in has a file of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from numpy.random import Generator

from most.data.dialogue.dialogue import Turn
from most.data.facts.asking import Asked, pick, to_test, to_train
from most.data.facts.english import fill, sentence
from most.data.facts.numbers import number_words
from most.data.facts.table import relations
from most.data.facts.talk import Part, Phrases, talk

AGAIN = ("repeat", "slower", "shorter")
NOT_KNOWN = ("I don't know", "I do not know")
"""What a response to an unknown question must hold; every phrase of the assistant's does."""
_BEYOND = (21, 100)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Who may say what in a scene: the users' wordings of one part, drawn by `rng`."""

    part: Part
    rng: Generator

    def likely(self, share: float) -> bool:
        return self.rng.random() < share

    def says(self, phrases: Phrases) -> str:
        return sentence(pick(phrases.of(self.part), self.rng))

    def exchange(self, kind: str, **slots: str) -> list[Turn]:
        """A phrase of the kind and the assistant's answer to it."""
        phrases = talk().kinds[kind]
        answer = fill(pick(phrases.assistant, self.rng), slots)
        return [Turn(role="user", text=self.says(phrases)), Turn(role="assistant", text=answer)]

    def fact(self) -> Asked:
        """A question about any relation's fact, with the answer in its fullest form."""
        table = [r for r in relations().values() if r.held_out]
        while True:
            relation = pick(table, self.rng)
            fact = pick(relation.facts, self.rng)
            draw = to_train if self.part == "train" else to_test
            if asked := draw(relation, fact, 1, int(self.rng.integers(2**32))):
                return replace(asked[0], answer=fact.fill(relation.answers[0]))

    def unknown(self) -> str:
        """A question whose answer is not in the table; now and then one that is much like those that are."""
        kind = pick(("open", "open", "like", "beyond"), self.rng)
        if kind == "open":
            return self.says(talk().kinds["unknown"])
        if kind == "beyond":
            one, other = (number_words(int(n)) for n in self.rng.integers(*_BEYOND, size=2))
            return fill(pick(talk().beyond.of(self.part), self.rng), {"one": one, "other": other})
        name = pick(sorted(talk().unknown_fillings), self.rng)
        relation = relations()[name]
        (slot,) = relation.facts[0].slots
        wording = pick(relation.questions if self.part == "train" else relation.held_out, self.rng)
        return fill(wording, {slot: pick(talk().unknown_fillings[name].of(self.part), self.rng)})


def asked_turns(asked: Asked) -> list[Turn]:
    return [Turn(role="user", text=asked.question), Turn(role="assistant", text=asked.answer)]


def social(stage: Stage) -> list[Turn]:
    """A greeting, who are you, what can you do, a question, thanks, goodbye: some of it, in this order."""
    turns = stage.exchange("greeting") if stage.likely(0.6) else []
    turns += stage.exchange(pick(("who", "ability"), stage.rng)) if stage.likely(0.7) or not turns else []
    turns += asked_turns(stage.fact()) if stage.likely(0.4) else []
    turns += stage.exchange("thanks") if stage.likely(0.4) else []
    return turns + (stage.exchange("goodbye") if stage.likely(0.5) else [])


def again(stage: Stage) -> list[Turn]:
    """A question, and its answer once more, slower or shorter."""
    asked = stage.fact()
    turns = asked_turns(asked)
    said = {"last": asked.answer, "answer": asked.fact.answers[0]}
    turns += stage.exchange(pick(AGAIN, stage.rng), **said)
    return turns + (stage.exchange("thanks") if stage.likely(0.3) else [])


def unknown(stage: Stage) -> list[Turn]:
    """A question that is not in the table, between some that are."""
    turns = asked_turns(stage.fact()) if stage.likely(0.3) else []
    answer = sentence(pick(talk().kinds["unknown"].assistant, stage.rng))
    turns += [Turn(role="user", text=stage.unknown()), Turn(role="assistant", text=answer)]
    return turns + (asked_turns(stage.fact()) if stage.likely(0.3) else [])
