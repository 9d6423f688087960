"""Makes the texts in `assets/eval`: `python -m most.data.stand_ins.shipped BLIMP CMUDICT WEBQUESTIONS TRIVIA`.

BLIMP is its folder or a tar of it, CMUDICT the file `cmudict.dict`, WEBQUESTIONS `test.json`, TRIVIA OpenTriviaQA as
JSON lines of category, question, answer and choices. The same sources give the same texts; `assets/eval/README.md` says
which they were.
"""

from __future__ import annotations

import json
import lzma
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from most.data.read_aloud.sentences import text_digest
from most.data.stand_ins.files import Row, read_rows
from most.data.stand_ins.recipe import ASSETS, TRIVIA, SBlimpRecipe, SpokenQaRecipe, SWuggyRecipe
from most.files import write_text

PAIRS_A_PARADIGM = 6
QUESTIONS = 200
MOST_ANSWERS, MOST_WORDS = 4, 3
"""Of a question that is shipped: few and short answers can be judged by their words."""
_BLIMP_FIELDS = ("sentence_good", "sentence_bad", "field", "linguistics_term", "UID", "pairID")


def blimp_sample(source: Path) -> list[Row]:
    """The pairs of the lowest digests, as many of each paradigm."""
    rows = defaultdict[str, list[Row]](list)
    for _, row in read_rows(source):
        assert row is not None
        rows[row["UID"]].append({k: row[k] for k in _BLIMP_FIELDS})

    def rank(row: Row) -> bytes:
        return text_digest(f"{row['sentence_good']}\n{row['sentence_bad']}")

    return [r for _, found in sorted(rows.items()) for r in sorted(found, key=rank)[:PAIRS_A_PARADIGM]]


def questions_sample(source: Path) -> list[Row]:
    """Questions with few short answers, those of the lowest digests."""
    found = [
        {"id": row["qId"], "question": row["qText"], "answers": row["answers"]}
        for _, row in read_rows(source)
        if row is not None
        and 0 < len(row["answers"]) <= MOST_ANSWERS
        and all(len(a.split()) <= MOST_WORDS and "/" not in a for a in row["answers"])
    ]
    return sorted(sorted(found, key=lambda r: text_digest(r["question"]))[:QUESTIONS], key=lambda r: r["id"])


def trivia_sample(source: Path) -> list[Row]:
    """Questions with four different short choices, those of the lowest digests."""
    found = [
        row
        for _, row in read_rows(source)
        if row is not None
        and len({c.strip().lower() for c in row["choices"]}) == len(row["choices"]) == 4
        and row["answer"] in row["choices"]
        and row["question"].strip().endswith("?")
        and all(0 < len(c.split()) <= MOST_WORDS for c in row["choices"])
    ]
    kept = sorted(found, key=lambda r: text_digest(r["question"]))[:QUESTIONS]
    return [
        {"id": f"trivia-{k:03d}", "question": r["question"], "choices": r["choices"], "answer": r["answer"]}
        for k, r in enumerate(kept)
    ]


def main(blimp: str, cmudict: str, webquestions: str, trivia: str) -> None:
    _write(ASSETS / TRIVIA, trivia_sample(Path(trivia)))
    _write(ASSETS / SBlimpRecipe.shipped, blimp_sample(Path(blimp)))
    _write(ASSETS / SpokenQaRecipe.shipped, questions_sample(Path(webquestions)))
    packed = lzma.compress(Path(cmudict).read_bytes(), preset=9 | lzma.PRESET_EXTREME)
    (ASSETS / SWuggyRecipe.shipped).write_bytes(packed)


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


if __name__ == "__main__":
    main(*sys.argv[1:])
