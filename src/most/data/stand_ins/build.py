"""A stand-in as a folder: audio, one line an item, what was left out, a card, and `set.json` last of all.

Voices are drawn by the item and noise is seeded by it, so any number of workers, in any order and after any
interruption, makes the same bytes. A journal holds what was said; the lines are written from it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from most.data.corpora import state, write
from most.data.corpora.card import SplitCounts
from most.data.corpora.check import Record
from most.data.corpora.journal import Journal
from most.data.dialogue.voice.pool import Voices
from most.data.dialogue.voice.recipe import digest
from most.data.dialogue.voice.seam import PhoneSynthesizer
from most.data.dialogue.voice.size import room_for
from most.data.dialogue.voice.watch import Watch
from most.data.dialogue.voice.work import Work, make_voices, outcomes
from most.data.stand_ins.card import Card, card
from most.data.stand_ins.info import SET_FILE, SetInfo, write_info
from most.data.stand_ins.items import Chosen, Item, with_voices
from most.data.stand_ins.recipe import StandInRecipe
from most.data.stand_ins.say import REASONS, reject, say
from most.errors import MostError
from most.files import write_text

FORMAT = 1
SPLIT = "test"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of stand-in.

    Args:
        verb: of `most data build`.
        file: the lines, within the folder.
        takes_phones: whether its voices must say words by their phones.
    """

    verb: str
    file: str
    card: Card
    takes_phones: bool = False


def build_set(
    kind: Kind, recipe: StandInRecipe, chosen: Chosen, *, echo: Callable[[str], Any] = print, progress: bool = True
) -> SetInfo:
    """Say what was chosen; the same call goes on where an earlier one stopped, and leaves a finished set as it is.

    Raises:
        MostError: wrong settings, a folder that holds something else, or more left out than the recipe allows.
    """
    out = recipe.output
    synthesizers, pool = make_voices(recipe)
    for voice, synthesizer in zip(recipe.voices, synthesizers, strict=True):
        if kind.takes_phones and not isinstance(synthesizer, PhoneSynthesizer):
            raise MostError("voices.kind", voice.kind, "takes no phones, so it cannot say pseudo-words; flite can")
    items = with_voices(chosen.items, pool, recipe.seed, every_voice=recipe.every_voice)
    if not items:
        reasons = "; ".join(sorted({r["reason"] for r in chosen.left_out})) or "it is empty"
        raise MostError("source", recipe.source, f"holds nothing for this set: {reasons}")
    _announce(kind, recipe, items, pool, echo)
    what = [[i.id, i.shared, {k: vars(s) for k, s in i.sides.items()}, i.row] for i in items]
    settings = {"format": FORMAT, "corpus": kind.verb, "items": digest(what)}
    settings |= json.loads(json.dumps(recipe.of_content()))
    info = kind.card.info(recipe, pool)
    if state.is_complete(out, settings) and (out / SET_FILE).is_file():
        echo(f"{out} holds this set already; nothing to do")
        shutil.rmtree(out / ".journal", ignore_errors=True)
        return info
    state.write_state(out, {"settings": settings})
    records = _said(recipe, items, synthesizers, pool, echo, progress)
    counts = {SPLIT: SplitCounts.of(records)}
    state.refuse_too_many(counts, recipe.max_rejected_share, out)
    kept = [r for r in records if "reason" not in r]
    lines = "".join(json.dumps(r["row"], ensure_ascii=False) + "\n" for r in kept)
    write_text(out / kind.file, lines)
    left_out = [*chosen.left_out, *(r for r in records if "reason" in r)]
    write.write_rejected(out / "rejected.jsonl", ({"split": SPLIT} | r for r in left_out))
    write_text(out / "README.md", card(kind.verb, kind.card, recipe, info, chosen, kept, left_out, pool))
    state.write_state(out, {"settings": settings, "counts": {s: c.plain() for s, c in counts.items()}})
    write_info(out, info)
    shutil.rmtree(out / ".journal")
    echo(
        state.summary(counts, out) + (f"; {len(chosen.left_out)} more of the source were unfit" * bool(chosen.left_out))
    )
    return info


def _said(
    recipe: StandInRecipe, items: Sequence[Item], synthesizers: Sequence[Any], pool: Voices,
    echo: Callable[[str], Any], progress: bool,
) -> list[Record]:  # fmt: skip
    """The items' records in their order, from the journal and from the voices."""
    journal = Journal(recipe.output / ".journal" / f"{SPLIT}.jsonl")
    # A voice that failed may be well again; anything else would end the same way.
    done = {r["id"]: r for r in journal.records() if r.get("reason") != REASONS["voice"]}
    todo = [i for i in items if i.id not in done]
    if done:
        echo(f"goes on: {len(done)} items are done already, {len(todo)} are left")
    bar = tqdm(total=len(items), initial=len(done), unit="item", desc=recipe.output.name, disable=not progress)
    with journal.writer() as writer, bar:
        watch = Watch(recipe, len(todo), "items", bar.write if echo is print else echo)
        for outcome in outcomes(ITEMS, recipe, todo, synthesizers, pool, ()):
            done[outcome.id] = outcome.row
            writer.write(outcome.row)
            bar.update()
            watch.see(outcome)
        writer.end(len(items))
    return [done[i.id] for i in items]


def _announce(
    kind: Kind, recipe: StandInRecipe, items: Sequence[Item], pool: Voices, echo: Callable[[str], Any]
) -> None:
    words = sum(i.n_words for i in items)
    source = Path(recipe.source).name
    echo(
        f"{kind.verb}: {len(items)} items of {source}, {words} words; writes {room_for(recipe, words)}\n"
        f"voices: {', '.join(v.label for v in pool.voices)}; {recipe.workers} worker(s); how long it takes is said "
        "after a few"
    )


def _id(item: Item) -> str:
    return item.id


ITEMS = Work(id=_id, make=say, reject=reject)
