"""Where the words of speech begin: `words.jsonl`, as `most data align` writes it.

A line is `{"audio": KEY, "starts": [0, 14, 31]}`: units before each word of what is said. The first begins at 0.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path

from most.errors import MostError
from most.manifest import Example, Turn

WORDS = "words.jsonl"


class WordStarts:
    """What a folder's `words.jsonl` says; read when the first word is asked for.

    Args:
        folder: None where there is none, which is an error once something is said.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def of(self, key: str, turn: Turn, example: Example) -> tuple[tuple[str, int], ...]:
        """The words of a turn that is said, with the units before each.

        Raises:
            MostError: no such file, audio that was not aligned, or that was aligned to another text.
        """
        if self.folder is None:
            remedy = (
                "says something, and this model's speech is guided; run `most data align`, name its folder as words"
            )
            raise MostError("example", example.id, remedy)
        words, starts = said_text(turn, example).split(), self._starts.get(key)
        if starts is None or len(starts) != len(words):
            why = "is not aligned" if starts is None else f"was aligned to {len(starts)} words, not to {len(words)}"
            raise MostError("example", example.id, f"{key} {why}; run `most data align`")
        return tuple(zip(words, starts, strict=True))

    @cached_property
    def _starts(self) -> dict[str, list[int]]:
        assert self.folder is not None
        return read_starts(self.folder / WORDS)


def read_starts(path: Path) -> dict[str, list[int]]:
    """Audio key -> units before each word.

    Raises:
        MostError: no such file, or a line that is none of its.
    """
    if not path.is_file():
        raise MostError("words", path, "is not there; run `most data align`")
    starts: dict[str, list[int]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            starts[row["audio"]] = row["starts"]
        except (json.JSONDecodeError, KeyError, TypeError) as e:
            raise MostError("words", line[:80], f"is no line of {path}; remove the file, run `most data align`") from e
    return starts


def said_text(turn: Turn, example: Example) -> str:
    """What a spoken turn says: its text where it is written, too, or else that of the example.

    Raises:
        MostError: neither is there.
    """
    text = turn.text if turn.text is not None else example.meta.get("text")
    if not isinstance(text, str) or not text.split():
        raise MostError("example", example.id, "says something whose text is not known: guided speech needs meta.text")
    return text
