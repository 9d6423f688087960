"""`spoken-qa`: written questions with answers, the questions spoken.

Published papers speak WebQuestions and TriviaQA by a synthesizer of their own and seldom publish the audio.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from most.data.dialogue.spoken import to_spoken
from most.data.read_aloud.sentences import text_digest
from most.data.stand_ins.build import Kind, build_set
from most.data.stand_ins.card import Card
from most.data.stand_ins.files import Row, read_rows
from most.data.stand_ins.info import SetInfo
from most.data.stand_ins.items import NOT_IN_NAMES, Chosen, Item, Said
from most.data.stand_ins.recipe import SpokenQaRecipe
from most.data.stand_ins.say import ALONE

QUESTION = ("question", "utterance", "qText", "Question")
ANSWERS = ("answers", "answer", "targetValue", "Answer")
ID = ("id", "qId", "question_id", "QuestionId")
_DESCRIPTION = re.compile(r'\(description\s+(?:"((?:[^"\\]|\\.)*)"|([^()\s]+))\)')


def answers_of(value: Any) -> tuple[list[str], list[str]]:
    """Different answers, and other names of them, in any layout: a text, a list, `(list (description ...))` as
    WebQuestions has it, or TriviaQA's object of a value and its aliases."""
    others: list[Any] = []
    if isinstance(value, dict):
        found, others = [value.get("Value", value.get("value"))], value.get("Aliases", value.get("aliases")) or []
    elif isinstance(value, str) and value.lstrip().startswith("(list"):
        found = [quoted.replace('\\"', '"') or bare for quoted, bare in _DESCRIPTION.findall(value)]
    else:
        found = value if isinstance(value, list) else [value]
    answers = _texts(found)
    return answers, [other for other in _texts(others) if other not in answers]


def _texts(values: Sequence[Any]) -> list[str]:
    texts = (" ".join(str(v).split()) for v in values if isinstance(v, str | int | float))
    return list(dict.fromkeys(t for t in texts if t))


def kind(recipe: SpokenQaRecipe) -> Kind:
    about = Card(
        title=f"{recipe.title}, spoken", stand_in_for=recipe.stand_in_for,
        source=f"written questions of {recipe.title}",
        differs=(
            "The questions are the published written ones as far as they are in the source; who says them differs from "
            "paper to paper, and the audio is seldom published.",
            *((f"Kept are questions with an answer of at most {recipe.max_answer_words} words.",)
              if recipe.max_answer_words else ()),
        ),
    )  # fmt: skip
    return Kind(verb="spoken-qa", file="qa.jsonl", card=about)


def choose(recipe: SpokenQaRecipe) -> Chosen:
    """Questions with answers, under a limit those of the lowest digests, in the order of the source.

    Raises:
        MostError: no such source.
    """
    chosen = Chosen()
    found: dict[bytes, Item] = {}
    names: set[str] = set()
    for number, (where, row) in enumerate(read_rows(recipe.source), 1):
        question = " ".join(str(_field(row, QUESTION) or "").split())
        id = NOT_IN_NAMES.sub("-", str(_field(row, ID) or f"{number:06d}"))
        answers, aliases = answers_of(_field(row, ANSWERS))
        key, most = text_digest(question), recipe.max_answer_words
        if not question or not answers:
            chosen.leave_out(where, "no question with answers", f"looked for {', '.join((*QUESTION, *ANSWERS))}")
        elif key in found or id in names:
            chosen.leave_out(id, "seen already", question)
        elif most is not None and min(len(a.split()) for a in answers) > most:
            chosen.leave_out(id, "answers too long", question)
        else:
            names.add(id)
            said = Said(text=question, spoken=(spoken,) if (spoken := to_spoken(question)) else ())
            line = {"question": question, "answers": answers} | ({"aliases": aliases} if aliases else {})
            found[key] = Item(id=id, key=id, sides={ALONE: said}, row=line)
    kept = set(sorted(found)[: recipe.limit])
    chosen.items = [item for key, item in found.items() if key in kept]
    return chosen


def _field(row: Row | None, names: tuple[str, ...]) -> Any:
    return next((row[n] for n in names if n in row), None) if row is not None else None


def spoken_qa(recipe: SpokenQaRecipe, *, echo: Callable[[str], Any] = print, progress: bool = True) -> SetInfo:
    """Build the set; see `build_set`."""
    return build_set(kind(recipe), recipe, choose(recipe), echo=echo, progress=progress)
