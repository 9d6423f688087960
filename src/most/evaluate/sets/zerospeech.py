"""sWUGGY and sBLIMP of the Zero Resource Speech Challenge 2021 (arXiv 2011.11588), in the layout of its release.

`lexical/SPLIT/gold.csv` and `syntactic/SPLIT/gold.csv` stand beside the recordings that they name. The columns are
those that https://github.com/zerospeech/zerospeech2021 reads; pairs are joined by voice and id as its successor does
(https://github.com/zerospeech/benchmarks).
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from most.errors import MostError
from most.evaluate.sets.base import SetInfo, SetSettings
from most.evaluate.sets.pairs import Pair, Said
from most.settings import build

OUT_OF_VOCABULARY = "oov"
_BANDS = ((1, OUT_OF_VOCABULARY), (5, "1-5"), (20, "6-20"), (100, "21-100"))
"""Of a word's frequency in LibriSpeech: below this, that band. The names are the toolkit's, 5 itself falls in 6-20."""
_COLUMNS = {
    "lexical": ("filename", "id", "voice", "correct", "frequency", "word", "phones"),
    "syntactic": ("filename", "id", "voice", "correct", "type", "subtype", "transcription"),
}
_NAMES = {"lexical": "sWUGGY", "syntactic": "sBLIMP"}


@dataclass(frozen=True, kw_only=True)
class ZeroSpeechOptions:
    """Which part: `lexical` is sWUGGY, `syntactic` sBLIMP."""

    task: Literal["lexical", "syntactic"]
    split: Literal["dev", "test"] = "dev"


def read_zerospeech(settings: SetSettings) -> tuple[list[Pair], SetInfo]:
    """`settings.path` is the folder that holds `lexical` and `syntactic`.

    Raises:
        MostError: no gold file, a column missing, or a voice of a pair that has not one correct and one wrong member.
    """
    options = build(ZeroSpeechOptions, settings.options, "set.options")
    path = settings.folder / options.task / options.split / "gold.csv"
    info = SetInfo(
        name=f"{_NAMES[options.task]} ({options.split})",
        source="Zero Resource Speech Challenge 2021, arXiv 2011.11588, https://zerospeech.com",
    )
    members: dict[tuple[str, ...], dict[str, tuple[int, dict[str, str]]]] = defaultdict(dict)
    for number, row in _rows(path, _COLUMNS[options.task]):
        key = (row["id"], row["voice"])
        key = (row["type"], row["subtype"], *key) if options.task == "syntactic" else key
        if row["correct"] not in ("0", "1"):
            raise MostError("set", f"{path}:{number}: correct", f"must be 0 or 1, not {row['correct']!r}")
        if row["correct"] in members[key]:
            raise MostError("set", f"{path}:{number}", f"a second member with correct = {row['correct']} of {key}")
        members[key][row["correct"]] = (number, row)
    pairs = []
    for key, found in members.items():
        number, row = next(iter(found.values()))
        if len(found) != 2:
            raise MostError(
                "set", f"{path}:{number}", f"the pair {key} has no member with correct = {'10'['1' in found]}"
            )
        pairs.append(
            Pair(
                id="/".join(key), pair="/".join(key[:-1]), voice=row["voice"], where=f"{path}:{number}",
                group=row["type"] if options.task == "syntactic" else _band(found["1"][1]["frequency"], path, number),
                good=_said(found["1"][1], path.parent), bad=_said(found["0"][1], path.parent),
            )
        )  # fmt: skip
    return pairs, info


def _rows(path: Path, columns: tuple[str, ...]) -> Any:
    if not path.is_file():
        raise MostError("set.path", path, "no such file; give the folder that holds lexical/ and syntactic/")
    with path.open(encoding="utf-8-sig", newline="") as f:
        reader = csv.DictReader(f)
        if missing := [c for c in columns if c not in (reader.fieldnames or ())]:
            raise MostError("set", path, f"has no column {missing[0]!r}; is it the gold file of ZeroSpeech 2021?")
        for row in reader:
            if None in row or None in row.values():
                raise MostError("set", f"{path}:{reader.line_num}", f"must have {len(reader.fieldnames or ())} fields")
            yield reader.line_num, row


def _band(frequency: str, path: Path, number: int) -> str:
    """The band of a word's frequency; nothing where the release leaves it empty."""
    if not frequency:
        return ""
    try:
        count = float(frequency)
    except ValueError:
        raise MostError("set", f"{path}:{number}: frequency", f"must be a number, not {frequency!r}") from None
    return next((name for below, name in _BANDS if count < below), ">100")


def _said(row: dict[str, str], folder: Path) -> Said:
    name = row["filename"] if row["filename"].endswith(".wav") else f"{row['filename']}.wav"
    return Said(audio=folder / name, text=row.get("transcription") or row.get("word") or row.get("phones") or "")
