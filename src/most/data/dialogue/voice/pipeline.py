"""Dialogues to speech: a folder with audio and record for each, `train.jsonl`, `rejected.jsonl` and a data card.

A dialogue is done when its record has been renamed into place, so a run killed at any moment goes on with the same
command and ends with the same bytes (as far as the voices allow it). What fails is counted, never silent.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from most.data.dialogue.dialogue import Dialogue, dialogue_row, read_dialogues
from most.data.dialogue.voice.babble import babble_bank
from most.data.dialogue.voice.barge_in import with_spoken
from most.data.dialogue.voice.card import write_card
from most.data.dialogue.voice.instructions import read_instructions
from most.data.dialogue.voice.pool import VoicePool, Voices
from most.data.dialogue.voice.recipe import SpeakRecipe, digest
from most.data.dialogue.voice.record import example_of, folder_of, reject, state_of, write_json
from most.data.dialogue.voice.size import room_for
from most.data.dialogue.voice.speak import speak_dialogue
from most.data.dialogue.voice.speaker import Speaker
from most.data.dialogue.voice.watch import Watch, refuse_many_rejected
from most.data.dialogue.voice.work import Work, make_voices, outcomes
from most.errors import MostError
from most.manifest import write_jsonl


def load_dialogues(recipe: SpeakRecipe, echo: Callable[[str], None] = print) -> list[Dialogue]:
    """The dialogues of a recipe, up to its limit; instructions that nobody would say are counted aloud."""
    if recipe.instructions is None:
        return list(itertools.islice(read_dialogues(recipe.dialogues), recipe.limit))
    counts: Counter[str] = Counter()
    found = read_instructions(
        recipe.dialogues, recipe.instructions, counts=counts, assistant_spoken=recipe.assistant == "speech"
    )
    dialogues = list(itertools.islice(found, recipe.limit))
    if counts:
        echo("instructions not for speech: " + ", ".join(f"{n} {reason}" for reason, n in counts.most_common()))
    return dialogues


def speak(
    recipe: SpeakRecipe, *, echo: Callable[[str], None] = print, progress: bool = True, dry_run: bool = False
) -> dict[str, int]:
    """Run a recipe; the same command goes on where an earlier run stopped.

    Returns:
        Counts of this run and of the whole: made, kept, rejected, retried, remade.

    Raises:
        MostError: wrong settings, an output made by another recipe, or more left out than the recipe allows.
    """
    dialogues = load_dialogues(recipe, echo)
    if not dialogues:
        raise MostError("dialogues", recipe.dialogues, "holds no dialogue to be spoken")
    synthesizers, pool = make_voices(recipe)
    _announce(recipe, dialogues, pool, echo)
    if dry_run:
        return {"dialogues": len(dialogues)}
    _claim(recipe)
    work, rows = [], {}
    for dialogue in dialogues:
        content = digest(dialogue_row(dialogue))
        row = state_of(folder_of(recipe.output, dialogue.id), content)
        if row is None:
            work.append((dialogue, content))
        else:
            rows[dialogue.id] = row
    kept = len(rows)
    if kept:
        echo(f"goes on: {kept} dialogues are done already, {len(work)} are left")
    bank = babble_bank(recipe, _chunks(dialogues), synthesizers, pool) if work else ()
    counts = Counter[str](kept=kept)
    bar = tqdm(total=len(dialogues), initial=kept, unit="dialogue", desc="speak", disable=not progress)
    with bar:
        watch = Watch(recipe, len(work), "dialogues", bar.write if echo is print else echo)
        for outcome in outcomes(DIALOGUES, recipe, work, synthesizers, pool, bank):
            rows[outcome.id] = outcome.row
            counts.update(outcome.counts)
            bar.update()
            watch.see(outcome)
    _finish(recipe, dialogues, rows)
    rejected = [rows[d.id] for d in dialogues if "reason" in rows[d.id]]
    counts["rejected"] = len(rejected)
    counts["spoken"] = len(dialogues) - len(rejected)
    reasons = ", ".join(f"{n} {kind}" for kind, n in Counter(r["kind"] for r in rejected).most_common())
    echo(
        f"{counts['spoken']} dialogues in {recipe.output / 'train.jsonl'}; {len(rejected)} left out"
        f"{f' ({reasons}), see rejected.jsonl' if rejected else ''}; "
        f"{counts['retried']} calls of voices retried, {counts['remade']} turns made a second time"
    )
    refuse_many_rejected(recipe, [r["reason"] for r in rejected], len(dialogues))
    return dict(counts)


def _announce(recipe: SpeakRecipe, dialogues: list[Dialogue], pool: Voices, echo: Callable[[str], None]) -> None:
    aloud = [t for d in dialogues for t in d.turns if t.role == "user" or recipe.assistant == "speech"]
    words = sum(len(t.said.split()) for t in aloud)
    tracks = 1 if recipe.assistant == "text" else 1 + 1.1 * recipe.audio.two_channels + recipe.audio.mixed
    echo(
        f"speak: reads {len(dialogues)} dialogues, {len(aloud)} turns and {words} words to be said from "
        f"{recipe.dialogues}; writes {room_for(recipe, words, tracks)}\n"
        f"voices: {', '.join(v.label for v in pool.voices)}; judge: {recipe.gate.judge}, "
        f"limit {recipe.gate.max_wer:g}; {recipe.workers} worker(s); how long it takes is said after a few"
    )


def _claim(recipe: SpeakRecipe) -> None:
    """Write the recipe beside what it makes, or check that it is the one that lies there."""
    path, mine = recipe.output / "recipe.json", json.loads(json.dumps(recipe.of_content()))
    if not path.is_file():
        recipe.output.mkdir(parents=True, exist_ok=True)
        write_json(path, mine)
        return
    theirs = json.loads(path.read_text(encoding="utf-8"))
    if different := [k for k in mine if mine[k] != theirs.get(k)]:
        raise MostError("output", recipe.output, f"was made with another {different[0]}; give another folder")


def _chunks(dialogues: list[Dialogue]) -> Iterator[str]:
    for dialogue in dialogues:
        yield from with_spoken(dialogue).turns[0].spoken


def _id(item: tuple[Dialogue, str]) -> str:
    return item[0].id


def _speak_one(item: tuple[Dialogue, str], speaker: Speaker[SpeakRecipe, VoicePool]) -> dict[str, Any]:
    dialogue, content = item
    return speak_dialogue(dialogue, speaker, folder_of(speaker.recipe.output, dialogue.id), content)


def _reject(
    item: tuple[Dialogue, str], speaker: Speaker[SpeakRecipe, VoicePool], kind: str, reason: str
) -> dict[str, Any]:
    dialogue, content = item
    return reject(folder_of(speaker.recipe.output, dialogue.id), dialogue, content, kind, reason)


DIALOGUES = Work(id=_id, make=_speak_one, reject=_reject)
"""A dialogue and the digest of its content become a record, or a rejection."""


def _finish(recipe: SpeakRecipe, dialogues: list[Dialogue], rows: dict[str, dict[str, Any]]) -> None:
    """Manifests and data card over everything in the folder, in the order of the input."""
    done = [(rows[d.id], folder_of(recipe.output, d.id)) for d in dialogues if "reason" not in rows[d.id]]
    left_out = [{k: rows[d.id][k] for k in ("id", "kind", "reason")} for d in dialogues if "reason" in rows[d.id]]
    write_jsonl(recipe.output / "train.jsonl", (example_of(row, folder) for row, folder in done))
    part: Path = recipe.output / "rejected.jsonl.part"
    part.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in left_out), encoding="utf-8")
    part.replace(recipe.output / "rejected.jsonl")
    write_card(recipe, [row for row, _ in done], left_out)
