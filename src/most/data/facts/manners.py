"""The step `manners`: dialogues of simple manners to train and to test on, and questions outside the table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from most.data.dialogue.dialogue import Dialogue, write_dialogues
from most.data.dialogue.voice.seam import generator
from most.data.facts.breaking_in import breaking_in
from most.data.facts.build import lines
from most.data.facts.english import fill
from most.data.facts.expect import Exchange, expected
from most.data.facts.scenes import Stage, again, social, unknown
from most.data.facts.settings import MannersStep
from most.data.facts.table import LICENCE, relations
from most.data.facts.talk import Part, talk
from most.files import write_text

SOURCE = "manners"
_TRIES = 4
"""Draws for each dialogue that is wanted, since some come out as others did."""


def write_manners(step: MannersStep, out: Path) -> dict[str, int]:
    """Write `train/dialogues.jsonl`, `test/dialogues.jsonl`, `test/questions.jsonl` and the card."""
    parts: dict[str, list[Dialogue]] = {
        "train": dialogues(step, "train", step.limit), "test": dialogues(step, "held_out", step.test_limit),
    }  # fmt: skip
    for name, made in parts.items():
        write_dialogues(out / name / "dialogues.jsonl", made)
    questions = unknown_questions()
    write_text(out / "test" / "questions.jsonl", lines(questions))
    write_text(out / "README.md", _card(parts, len(questions)))
    return {name: len(made) for name, made in parts.items()} | {"questions": len(questions)}


def dialogues(step: MannersStep, part: Part, n: int) -> list[Dialogue]:
    """Different dialogues in the users' wordings of one part; those to test on say what their last reply must hold."""
    names = sorted(step.scenes)
    weights = [step.scenes[name] / sum(step.scenes.values()) for name in names]
    out: dict[tuple[Any, ...], Dialogue] = {}
    for number in range(_TRIES * n):
        rng = generator(step.seed, part, number)
        scene = names[int(rng.choice(len(names), p=weights))]
        played = _play(scene, Stage(part=part, rng=rng), step)
        turns = [t for exchange in played for t in exchange.turns]
        key = tuple((t.text, t.interrupted_at) for t in turns)
        if key not in out:
            out[key] = Dialogue(
                id=f"manners-{part.replace('_', '-')}-{number:05d}", turns=tuple(turns), source=SOURCE, licence=LICENCE,
                topic="manners", meta={"scene": scene} | (expected(played[-1]) if part == "held_out" else {}),
            )  # fmt: skip
        if len(out) == n:
            break
    return list(out.values())


def _play(scene: str, stage: Stage, step: MannersStep) -> Sequence[Exchange]:
    if scene == "breaking in":
        return breaking_in(stage, step.resumed)
    return {"social": social, "again": again, "unknown": unknown}[scene](stage)


def unknown_questions() -> list[dict[str, Any]]:
    """Rows for `spoken-qa`: held-out questions outside the table; right is a response that says it does not know."""
    texts = [fill(text, {}) for text in talk().kinds["unknown"].held_out]
    for name, phrases in talk().unknown_fillings.items():
        relation = relations()[name]
        (slot,) = relation.facts[0].slots
        texts += [
            fill(relation.held_out[k % len(relation.held_out)], {slot: subject})
            for k, subject in enumerate(phrases.held_out)
        ]
    right = list(talk().kinds["unknown"].keys)
    return [
        {"id": f"unknown-{k:03d}", "question": text, "answers": right, "relation": "unknown"}
        for k, text in enumerate(texts)
    ]


def _card(parts: dict[str, list[Dialogue]], n_questions: int) -> str:
    rows, checked = [], sum("expect" in d.meta for d in parts["test"])
    for name, made in parts.items():
        scenes = Counter(d.meta["scene"] for d in made)
        rows += [f"| {name} | {scene} | {n} |" for scene, n in sorted(scenes.items())]
    return "\n".join([
        "# Manners", "",
        "Greetings and goodbyes, who are you and what can you do, say it again (slower, shorter), \"I don't know\" for "
        f"what is not among the closed facts, and being broken into. Licence {LICENCE}; written for this project.", "",
        "What users say stands in two lists, to train and to test on; the assistant's phrases are the same in both.",
        "",
        "| part | scene | dialogues |", "|---|---|---|", *rows, "",
        f"`test/questions.jsonl`: {n_questions} questions that are not to be answered; a response is right "
        f"where it says {talk().kinds['unknown'].keys[0]!r}.", "",
        f"`test/dialogues.jsonl`: {checked} of {len(parts['test'])} have `meta.expect`: a right reply to the last turn "
        "holds one of these phrases. Of the others the words do not tell.", "",
    ])  # fmt: skip
