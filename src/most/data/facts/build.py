"""The step `facts`: dialogues to train on, questions in held-out wordings to test on, the table, and a card."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from most.data.dialogue.dialogue import Dialogue, Turn, write_dialogues
from most.data.dialogue.voice.seam import generator
from most.data.facts.asking import Asked, follow_up, pick, to_test, to_train
from most.data.facts.english import sentence
from most.data.facts.settings import FactsStep
from most.data.facts.table import LICENCE, Relation, chosen
from most.data.facts.talk import talk
from most.data.read_aloud.sentences import text_digest
from most.files import write_text

SOURCE = "facts"
_LEANS = 0.3
"""Share of second and third questions that lean on the one before."""
_GREETED = {True: 0.25, False: 0.08}
"""Share of dialogues with a greeting, and of those with thanks: of several questions, and of one."""


def write_facts(step: FactsStep, out: Path) -> dict[str, int]:
    """Write `train/dialogues.jsonl`, `test/questions.jsonl`, `table.jsonl` and the card. Returns what is counted."""
    table = chosen(step.relations)
    made = list(itertools.islice(training_dialogues(step, table), step.limit))
    questions = held_out_questions(step, table)
    out.mkdir(parents=True, exist_ok=True)
    write_dialogues(out / "train" / "dialogues.jsonl", made)
    (out / "test").mkdir(exist_ok=True)
    write_text(out / "test" / "questions.jsonl", lines(questions))
    write_text(out / "table.jsonl", lines(table_rows(table)))
    counts = {
        "facts": sum(len(r.facts) for r in table), "dialogues": len(made),
        "questions": sum(len(d.meta["facts"]) for d in made), "test questions": len(questions),
        "turns": sum(len(d.turns) for d in made), "words": sum(len(t.text.split()) for d in made for t in d.turns),
    }  # fmt: skip
    write_text(out / "README.md", _card(step, table, counts, questions))
    return counts


def training_dialogues(step: FactsStep, table: Sequence[Relation]) -> Iterator[Dialogue]:
    """Every question once, in an order of the seed, one to three in a dialogue."""
    by_name = {r.name: r for r in table}
    asked = [a for r in table for f in r.facts for a in to_train(r, f, step.wordings_for(r.name), step.seed)]
    waiting = (asked[k] for k in generator(step.seed, "order").permutation(len(asked)))
    for number, first in enumerate(waiting):
        rng = generator(step.seed, "dialogue", number)
        several = rng.random() < step.multi_turn
        said = [first]
        for _ in range(int(rng.integers(1, 3)) if several else 0):
            before = by_name[said[-1].fact.relation]
            if before.follow_up and rng.random() < _LEANS:
                said.append(follow_up(before, rng))
            elif (one := next(waiting, None)) is not None:
                said.append(one)
        turns = [t for a in said for t in exchange(a.question, a.answer)]
        for kind in ("greeting", "thanks"):
            if rng.random() < _GREETED[several]:
                around = exchange(pick(talk().kinds[kind].train, rng), pick(talk().kinds[kind].assistant, rng))
                turns = [*around, *turns] if kind == "greeting" else [*turns, *around]
        yield Dialogue(
            id=f"facts-{number:05d}", turns=tuple(turns), source=SOURCE, licence=LICENCE,
            topic=by_name[first.fact.relation].topic, meta={"facts": [a.fact.id for a in said]},
        )  # fmt: skip


def exchange(user: str, assistant: str) -> list[Turn]:
    """What the user says and what the assistant answers, as sentences."""
    return [Turn(role="user", text=sentence(user)), Turn(role="assistant", text=sentence(assistant))]


def held_out_questions(step: FactsStep, table: Sequence[Relation]) -> list[dict[str, Any]]:
    """Rows for `spoken-qa`; under a limit those of the lowest digests."""
    asked = [a for r in table for f in r.facts for a in to_test(r, f, step.test_wordings, step.seed)]
    rows = [_row(a, k) for _, group in itertools.groupby(asked, lambda a: a.fact.id) for k, a in enumerate(group)]
    kept = set(sorted(text_digest(row["question"]) for row in rows)[: step.test_limit])
    return [row for row in rows if text_digest(row["question"]) in kept]


def _row(asked: Asked, number: int) -> dict[str, Any]:
    fact = asked.fact
    return {
        "id": f"{fact.id}-{number}", "question": asked.question, "answers": list(fact.answers), "fact": fact.id,
        "relation": fact.relation,
    }  # fmt: skip


def table_rows(table: Sequence[Relation]) -> Iterator[dict[str, Any]]:
    """Every fact with the sentence that says it."""
    for relation in table:
        for fact in relation.facts:
            yield {
                "fact": fact.id, "relation": relation.name, "topic": relation.topic, "subject": fact.subject,
                "answers": list(fact.answers), "sentence": fact.fill(relation.answers[0]),
            }  # fmt: skip


def lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _card(step: FactsStep, table: Sequence[Relation], counts: dict[str, int], questions: list[dict[str, Any]]) -> str:
    tested = Counter(row["relation"] for row in questions)
    rows = [
        f"| {r.name} | {len(r.facts)} | {min(step.wordings_for(r.name), len(r.questions))} of {len(r.questions)} "
        f"| {len(r.held_out)} | {tested[r.name]} |"
        for r in table
    ]
    return "\n".join([
        "# Closed facts", "",
        f"{counts['facts']} facts whose answers depend on neither time nor opinion, asked in many wordings. Licence "
        f"{LICENCE}; written for this project, no data set was copied.", "",
        f"- `train/dialogues.jsonl`: {counts['dialogues']} dialogues with {counts['questions']} questions, "
        f"{counts['turns']} turns, {counts['words']} words",
        f"- `test/questions.jsonl`: {counts['test questions']} questions in wordings that training never has; the "
        "facts themselves are all trained on",
        "- `table.jsonl`: every fact", "",
        "No test question names its own answer, so saying the question again is never right; a fact is left out of the "
        "test where every held-out wording would.", "",
        "| relation | facts | wordings of each to train on | held-out wordings | test questions |",
        "|---|---|---|---|---|", *rows, "",
    ])  # fmt: skip
