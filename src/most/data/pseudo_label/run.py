"""The verb `pseudo-label`: recordings opened, cut, heard by one or two judges, and written as a marked prepared set.

Two journals hold what was opened and what was heard, so an interrupted run goes on behind the last piece; the
manifests are written from them, the card last. What a judge writes depends on the audio alone, so any number of workers
makes the same files.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from most.data.corpora import state, write
from most.data.corpora.card import SplitCounts, data_card
from most.data.corpora.check import Record
from most.data.corpora.journal import Journal
from most.data.dialogue.voice.recipe import digest
from most.data.pseudo_label.card import cut_line, kept_rule, mark_lines
from most.data.pseudo_label.pieces import Piece, opened, pieces_of
from most.data.pseudo_label.recipe import PseudoLabelRecipe
from most.data.pseudo_label.source import Recording, read_recordings
from most.data.pseudo_label.work import labelled
from most.files import write_text

FORMAT = 1
NAME = "pseudo-label"
TASKS = ("asr",)
_MEASURED_AFTER = 3
_EARLY_PIECES = 100
"""After each so many it is looked at whether too many were left out."""


def pseudo_label(
    recipe: PseudoLabelRecipe, *, echo: Callable[[str], Any] = print, progress: bool = True
) -> SplitCounts:
    """Run a recipe; the same command goes on where an earlier run stopped, and leaves a finished set as it is.

    Returns:
        What the set holds and what was left out.

    Raises:
        MostError: wrong settings, a folder that holds something else, or more left out than the recipe allows.
    """
    recordings = read_recordings(recipe.source, recipe.speaker, recipe.limit, recipe.speakers)
    out, split = recipe.output, recipe.split
    settings = {"format": FORMAT, "corpus": NAME, "source": _relative(recipe.source, out)}
    known = [[r.id, r.speaker, r.audio.start, r.audio.duration, r.n_bytes] for r in recordings]
    settings |= {"recordings": digest(known)}
    settings |= json.loads(json.dumps(recipe.of_content()))
    if state.is_complete(out, settings):
        echo(f"{out} holds this set already; nothing to do")
        shutil.rmtree(out / ".journal", ignore_errors=True)
        return state.finished_counts(out)[split]
    echo(_reads(recipe, recordings))
    state.write_state(out, {"settings": settings})
    found = _open_all(recipe, recordings, Journal(out / ".journal" / f"{split}.opened.jsonl"), progress)
    pieces = [piece for r, record in zip(recordings, found, strict=True) for piece in pieces_of(r, record)]
    heard = _hear_all(recipe, pieces, found, Journal(out / ".journal" / f"{split}.jsonl"), echo, progress)
    records = list(_in_order(recordings, found, heard))
    counts = {split: SplitCounts.of(records)}
    state.refuse_too_many(counts, recipe.max_rejected_share, out)
    _write_set(recipe, records, found, counts)
    state.write_state(out, {"settings": settings, "counts": {s: c.plain() for s, c in counts.items()}})
    shutil.rmtree(out / ".journal")
    echo(state.summary(counts, out))
    return counts[split]


def _relative(source: Path, out: Path) -> str:
    """So that moving both together changes nothing."""
    return Path(os.path.relpath(source, out)).as_posix()


def _reads(recipe: PseudoLabelRecipe, recordings: Sequence[Recording]) -> str:
    unnamed = sum(not r.speaker for r in recordings)
    speakers = len({r.speaker for r in recordings if r.speaker})
    return (
        f"{NAME}: reads {len(recordings)} recordings from {recipe.source}, {speakers} speakers by name, {unnamed} of "
        f"speakers that are not known; writes {recipe.output}"
    )


def _open_all(
    recipe: PseudoLabelRecipe, recordings: Sequence[Recording], journal: Journal, progress: bool
) -> list[Record]:
    found = list(journal.records())[: len(recordings)]
    left = recordings[len(found) :]
    bar = tqdm(
        total=len(recordings), initial=len(found), unit="recording", desc="open", disable=not (progress and left)
    )
    with journal.writer() as writer, bar:
        for record in opened(left, recipe):
            writer.write(record)
            found.append(record)
            bar.update()
    return found


def _hear_all(
    recipe: PseudoLabelRecipe, pieces: Sequence[Piece], found: Sequence[Record], journal: Journal,
    echo: Callable[[str], Any], progress: bool,
) -> dict[str, Record]:  # fmt: skip
    heard = {r["id"]: r for r in journal.records()}
    todo = [p for p in pieces if p.id not in heard]
    seconds = sum(r["seconds"] for r in found if "reason" not in r)
    bad = sum("reason" in r for r in found)
    echo(
        f"hears {len(pieces)} pieces, {seconds / 3600:.2f} h; {bad} recordings cannot be used; "
        f"{cut_line(recipe, found)}\njudges: {', '.join(str(j) for j in recipe.judges)}; {recipe.workers} worker(s); "
        f"how long it takes is said after {_MEASURED_AFTER}"
    )
    if heard:
        echo(f"goes on: {len(heard)} pieces were heard already, {len(todo)} are left")
    bar = tqdm(total=len(pieces), initial=len(heard), unit="piece", desc=recipe.split, disable=not progress)
    with journal.writer(flush_every=1) as writer, bar:
        counts, busy, begin = SplitCounts.of(heard.values()), 0.0, time.monotonic()
        for number, one in enumerate(labelled(recipe, todo), 1):
            heard[one.record["id"]] = one.record
            writer.write(one.record)
            counts.add(one.record)
            busy += one.busy_seconds
            bar.update()
            if number == min(_MEASURED_AFTER, len(todo)):
                left = (len(todo) - number) * (time.monotonic() - begin) / number
                (bar.write if echo is print else echo)(
                    f"measured on {number} pieces: {busy / number:.2f} s of work a piece, {recipe.workers} at once; "
                    f"about {left / 60:.0f} min for the other {len(todo) - number}"
                )
            if counts.items % _EARLY_PIECES == 0:
                state.refuse_too_many({recipe.split: counts}, recipe.max_rejected_share, recipe.output, early=True)
    return heard


def _in_order(recordings: Sequence[Recording], found: Sequence[Record], heard: dict[str, Record]) -> Iterator[Record]:
    """A record of every piece, and of every recording that could not be used."""
    for recording, record in zip(recordings, found, strict=True):
        if "reason" in record:
            yield record
        for piece in pieces_of(recording, record):
            yield heard[piece.id]


def _write_set(
    recipe: PseudoLabelRecipe, records: Sequence[Record], found: Sequence[Record], counts: dict[str, SplitCounts]
) -> None:
    out, split = recipe.output, recipe.split
    kept = [r for r in records if "reason" not in r]
    source = f"{NAME}:{kept[0]['meta'][write.PSEUDO_LABEL]}"
    write.write_split(out, split, lambda: kept, TASKS, source, recipe.licence, speech=True)
    write.write_rejected(out / "rejected.jsonl", ({"split": split} | r for r in records if "reason" in r))
    card = data_card(
        title="Recordings, pseudo-labelled", source=source, url=recipe.url, licence=recipe.licence, tasks=TASKS,
        counts=counts, kept_rule=kept_rule(recipe), speech=True, more=mark_lines(recipe, kept, found),
        machine_written=True,
    )  # fmt: skip
    write_text(out / "README.md", card)
