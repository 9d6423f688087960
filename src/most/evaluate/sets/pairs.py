"""Pairs of which a language model should find one likelier: a word and a pseudo-word, a sentence and its ungrammatical
twin, two endings of a story. Published layouts are read in `zerospeech.py` and `story_cloze.py`, ours here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from most.errors import MostError, nearest
from most.evaluate.sets.base import SetInfo, SetSettings, read_info
from most.manifest import json_rows

PAIRS_FILE = "pairs.jsonl"
Form = Literal["speech", "text"]


@dataclass(frozen=True, kw_only=True)
class Said:
    """One member of a pair: a recording, what it says, or both."""

    audio: Path | None = None
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One comparison, in one voice.

    Args:
        id: unique within the set.
        pair: the same for all voices of one pair.
        group: a part of the set that is scored by itself too: a BLiMP phenomenon, a band of word frequency.
        prompt: what both continue; not scored.
        where: file and line, or files, that it was read from.
    """

    id: str
    pair: str
    good: Said
    bad: Said
    voice: str = ""
    group: str = ""
    prompt: Said | None = None
    where: str = ""


def read_built(settings: SetSettings) -> tuple[list[Pair], SetInfo]:
    """A set that a builder made: `set.json` and `pairs.jsonl`, audio relative to the folder.

    A line holds `id`, `voice`, `group`, `prompt` (or null), `good` and `bad`, each of these three with `audio` and
    `text`; lines that share `pair` are voices of one pair.

    Raises:
        MostError: no such set, or a line that is not of this form.
    """
    no_options(settings)
    info, path = read_info(settings.folder), settings.folder / PAIRS_FILE
    if not path.is_file():
        raise MostError("set.path", path, "no such file; build the set again")
    pairs = []
    for number, row in json_rows(path, "set"):
        where = f"{path}:{number}"
        if missing := sorted({"id", "good", "bad"} - set(row)):
            raise MostError("set", where, f"has no field {missing[0]!r}")
        pairs.append(
            Pair(
                id=str(row["id"]), pair=str(row.get("pair") or row["id"]), voice=str(row.get("voice") or ""),
                group=str(row.get("group") or ""), where=where,
                prompt=None if row.get("prompt") is None else _said(row["prompt"], settings.folder, f"{where}: prompt"),
                good=_said(row["good"], settings.folder, f"{where}: good"),
                bad=_said(row["bad"], settings.folder, f"{where}: bad"),
            )
        )  # fmt: skip
    return pairs, info


def _said(value: Any, folder: Path, where: str) -> Said:
    if not isinstance(value, dict) or not value.keys() & {"audio", "text"}:
        raise MostError("set", where, "must be an object with audio, text or both")
    if unknown := sorted(value.keys() - {"audio", "text"}):
        raise MostError("set", f"{where}.{unknown[0]}", nearest(unknown[0], ("audio", "text")))
    return Said(audio=folder / value["audio"] if value.get("audio") else None, text=value.get("text") or "")


def no_options(settings: SetSettings) -> None:
    """Raises MostError where options are given to a layout that has none."""
    if settings.options:
        raise MostError("set.options", sorted(settings.options), f"the layout {settings.kind!r} takes none")


def first_pairs(pairs: Sequence[Pair], limit: int | None) -> list[Pair]:
    """At most `limit` pairs with all their voices, spread evenly: published files are sorted by group."""
    names = list(dict.fromkeys(p.pair for p in pairs))
    if limit is None or limit >= len(names):
        return list(pairs)
    kept = {names[k * len(names) // limit] for k in range(limit)}
    return [p for p in pairs if p.pair in kept]


def check_pairs(pairs: Sequence[Pair], form: Form) -> None:
    """Refuse what cannot be compared, before any of it is.

    Raises:
        MostError: no pairs, an id used twice, or a member without its recording or text; file and line are named.
    """
    if not pairs:
        raise MostError("set", 0, "holds no pair")
    seen: dict[str, str] = {}
    for pair in pairs:
        if pair.id in seen:
            raise MostError("set", f"{pair.where}: {pair.id}", f"was used by {seen[pair.id]} already; ids are unique")
        seen[pair.id] = pair.where
        if form == "text":
            _check_texts(pair)
            continue
        for name, said in _members(pair):
            if said.audio is None:
                raise MostError("set", f"{pair.where}: {name}", "names no audio; score this set with form: text")
            if not said.audio.is_file():
                raise MostError("set", f"{pair.where}: {said.audio}", "no such file; is the set complete?")


def _check_texts(pair: Pair) -> None:
    for name, said in _members(pair):
        if not said.text.strip():
            raise MostError("set", f"{pair.where}: {name}", "has no text; score this set with form: speech")
    if pair.good.text == pair.bad.text:
        raise MostError("set", f"{pair.where}: {pair.good.text}", "good and bad are the same text")


def _members(pair: Pair) -> Iterable[tuple[str, Said]]:
    yield from (("good", pair.good), ("bad", pair.bad))
    if pair.prompt is not None:
        yield "prompt", pair.prompt
