"""What is kept apart for testing: sentences and dialogues, chosen by their text alone, so that no recipe, seed or size
of a set moves one from testing to training.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from most.data.corpora import write
from most.data.dialogue.dialogue import Dialogue, read_dialogues, write_dialogues
from most.data.dialogue.filters import foreign_share
from most.data.read_aloud.sentences import read_texts, text_digest
from most.errors import MostError
from most.files import write_text


def held_out(text: str, share: float) -> bool:
    """Whether a text belongs to the tests; case and punctuation do not matter."""
    return int.from_bytes(text_digest(text)[:8]) < share * 2**64


def write_sentences(
    sources: Sequence[Path], out: Path, *, min_words: int, max_words: int, test_share: float, limit: int | None,
    test_limit: int | None,
) -> dict[str, int]:  # fmt: skip
    """Write `train.jsonl` and `test.jsonl` (field `text`), each sentence once, and `rejected.jsonl`.

    Both are in the order of digests, so that any slice of them is an even draw, however the sources are sorted. Under a
    limit, those of the lowest digests are kept: a larger limit only adds to them.

    Returns:
        Reasons and how many were left out for each.

    Raises:
        MostError: the sources hold no sentence that is kept.
    """
    kept: dict[str, dict[bytes, str]] = {"train": {}, "test": {}}
    left: list[dict[str, Any]] = []
    counts: Counter[str] = Counter()
    for number, text in enumerate(read_texts(sources, max_words)):
        key, part = text_digest(text), "test" if held_out(text, test_share) else "train"
        if reason := _unfit(text, min_words, max_words) or ("seen already" if key in kept[part] else ""):
            counts[reason] += 1
            left.append({"id": str(number), "split": part, "reason": reason, "detail": text[:80]})
        else:
            kept[part][key] = text
    if not kept["train"]:
        raise MostError("sources", [str(s) for s in sources], "hold no sentence of these lengths")
    out.mkdir(parents=True, exist_ok=True)
    for part, most in (("train", limit), ("test", test_limit)):
        rows = ({"id": k.hex(), "text": kept[part][k]} for k in sorted(kept[part])[:most])
        write_text(out / f"{part}.jsonl", _lines(rows))
    write.write_rejected(out / "rejected.jsonl", left)
    return dict(counts)


def _unfit(text: str, min_words: int, max_words: int) -> str:
    n = len(text.split())
    if not min_words <= n <= max_words:
        return "too short" if n < min_words else "too long"
    if not any(c.isalpha() for c in text):
        return "no letter"
    return "letters that are not Latin" if foreign_share(text) else ""


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def split_dialogues(source: Path, out: Path, test_share: float) -> dict[str, int]:
    """Write `train.jsonl` and `test.jsonl` of a file of dialogues. Returns how many each holds."""

    def part(test: bool) -> Iterator[Dialogue]:
        return (d for d in read_dialogues(source) if held_out(" ".join(t.text for t in d.turns), test_share) == test)

    return {name: write_dialogues(out / f"{name}.jsonl", part(name == "test")) for name in ("train", "test")}
