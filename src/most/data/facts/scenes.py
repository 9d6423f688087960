"""Scenes of simple manners: greetings, say it again, what is not known. Breaking in has a file of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from numpy.random import Generator

from most.data.dialogue.dialogue import Turn
from most.data.facts.asking import Asked, pick, to_test, to_train
from most.data.facts.english import fill, sentence
from most.data.facts.expect import Exchange
from most.data.facts.numbers import number_words
from most.data.facts.table import relations
from most.data.facts.talk import Part, Phrases, talk

AGAIN = ("repeat", "slower", "shorter")
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

    def exchange(self, kind: str) -> Exchange:
        """A phrase of the kind and the assistant's answer to it."""
        phrases = talk().kinds[kind]
        answer = sentence(pick(phrases.assistant, self.rng))
        return reply_of(phrases, Turn(role="user", text=self.says(phrases)), answer)

    def again(self, kind: str, asked: Asked) -> Exchange:
        """A phrase of the kind, and what was asked is answered once more."""
        phrases = talk().kinds[kind]
        said = {"last": asked.answer, "answer": asked.fact.answers[0]}
        answer = fill(pick(phrases.assistant, self.rng), said)
        user, assistant = Turn(role="user", text=self.says(phrases)), Turn(role="assistant", text=answer)
        return Exchange(user=user, assistant=assistant, right=asked.fact.answers)

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


def reply_of(phrases: Phrases, user: Turn, answer: str) -> Exchange:
    """One of the assistant's replies of a kind to what the user says."""
    assistant = Turn(role="assistant", text=answer)
    return Exchange(user=user, assistant=assistant, right=phrases.keys, replies=phrases.assistant)


def answered(asked: Asked) -> Exchange:
    user, assistant = Turn(role="user", text=asked.question), Turn(role="assistant", text=asked.answer)
    return Exchange(user=user, assistant=assistant, right=asked.fact.answers)


def social(stage: Stage) -> list[Exchange]:
    """A greeting, who are you, what can you do, a question, thanks, goodbye: some of it, in this order."""
    said = [stage.exchange("greeting")] if stage.likely(0.6) else []
    said += [stage.exchange(pick(("who", "ability"), stage.rng))] if stage.likely(0.7) or not said else []
    said += [answered(stage.fact())] if stage.likely(0.4) else []
    said += [stage.exchange("thanks")] if stage.likely(0.4) else []
    return said + ([stage.exchange("goodbye")] if stage.likely(0.5) else [])


def again(stage: Stage) -> list[Exchange]:
    """A question, and its answer once more, slower or shorter."""
    asked = stage.fact()
    said = [answered(asked), stage.again(pick(AGAIN, stage.rng), asked)]
    return said + ([stage.exchange("thanks")] if stage.likely(0.3) else [])


def unknown(stage: Stage) -> list[Exchange]:
    """A question that is not in the table, between some that are."""
    said = [answered(stage.fact())] if stage.likely(0.3) else []
    kind = talk().kinds["unknown"]
    answer = sentence(pick(kind.assistant, stage.rng))
    said += [reply_of(kind, Turn(role="user", text=stage.unknown()), answer)]
    return said + ([answered(stage.fact())] if stage.likely(0.3) else [])
