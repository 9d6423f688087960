"""An item said: each side by one voice, with one seed, at one speed and loudness, so that only what is said differs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from most.data.corpora.check import Record
from most.data.dialogue.dialogue import Turn
from most.data.dialogue.voice.pool import Voice, Voices
from most.data.dialogue.voice.render import to_level, write_channels
from most.data.dialogue.voice.seam import Unspeakable, seed_of
from most.data.dialogue.voice.speaker import Speaker
from most.data.stand_ins.items import NOT_IN_NAMES, Item, Said
from most.data.stand_ins.recipe import StandInRecipe

REASONS = {"quality": "not understood", "text": "cannot be said", "voice": "voice failed"}
ALONE = "audio"
"""The side of an item that has but one; its audio stands in the line itself."""


def say(item: Item, speaker: Speaker[StandInRecipe, Voices]) -> Record:
    """Write the item's audio and return its record, with the line as `row`."""
    recipe, voice = speaker.recipe, item.voice
    assert voice is not None
    rate, seconds = recipe.audio.sample_rate, 0.0
    shared = [_level(_words(item.shared, item, voice, speaker), speaker)] if item.shared else []
    row = {"id": item.id, **item.row, "voice": voice.label}
    takes = {name: _side(said, item, voice, speaker) for name, said in item.sides.items()}
    for name, wav in takes.items():
        pause = np.zeros(round(recipe.chunk_pause_seconds * rate), dtype=np.float32)
        whole = np.concatenate([*shared, pause, wav]) if shared else wav
        path = _path(item, name, recipe)
        write_channels(path, whole, rate)
        seconds += len(whole) / rate
        audio = path.relative_to(recipe.output).as_posix()
        if name == ALONE:
            row[name] = audio
        else:
            row[name] = {"audio": audio, "text": " ".join([*item.shared, item.sides[name].text])}
    speaker.counts.speech_seconds += seconds
    text = " / ".join(s.text for s in item.sides.values())
    return {"id": item.id, "text": text, "speaker": voice.label, "seconds": round(seconds, 4), "rate": rate, "row": row}


def _side(said: Said, item: Item, voice: Voice, speaker: Speaker[StandInRecipe, Voices]) -> np.ndarray:
    if said.phones:
        seed = seed_of(speaker.recipe.seed, item.key, "phones")
        return _level(speaker.say_phones(said.phones, voice, seed), speaker)
    if speaker.judge is None:
        return _level(_words(said.spoken, item, voice, speaker), speaker)
    turn = Turn(role="user", text=said.text, spoken=said.spoken)
    return speaker.turn(turn, voice, (speaker.recipe.seed, item.key)).take.wav


def _words(spoken: tuple[str, ...], item: Item, voice: Voice, speaker: Speaker[StandInRecipe, Voices]) -> np.ndarray:
    """Chunks one after another, with the recipe's pause between."""
    if not spoken:
        raise Unspeakable("nothing of it can be said")
    pause = np.zeros(round(speaker.recipe.chunk_pause_seconds * speaker.recipe.audio.sample_rate), dtype=np.float32)
    pieces: list[np.ndarray] = []
    for k, chunk in enumerate(spoken):
        pieces += [pause] * bool(k) + [speaker.say(chunk, voice, seed_of(speaker.recipe.seed, item.key, "chunk", k))]
    return np.concatenate(pieces)


def _level(wav: np.ndarray, speaker: Speaker[StandInRecipe, Voices]) -> np.ndarray:
    audio = speaker.recipe.audio
    return to_level(wav, audio.sample_rate, audio.level_dbfs)


def _path(item: Item, side: str, recipe: StandInRecipe) -> Path:
    name = item.id if side == ALONE else f"{item.id}-{side}"
    return recipe.output / "audio" / f"{NOT_IN_NAMES.sub('-', name)}.{recipe.audio.format}"


def reject(item: Item, speaker: Speaker[StandInRecipe, Voices], kind: str, reason: str) -> Record:
    """What stands in the record's place; no audio of it stays."""
    for side in item.sides:
        _path(item, side, speaker.recipe).unlink(missing_ok=True)
    return {"id": item.id, "reason": REASONS[kind], "detail": reason[:200]}
