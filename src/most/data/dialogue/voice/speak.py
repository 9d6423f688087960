"""One dialogue from text to files: cast, spoken turn by turn, judged, laid out, augmented, rendered, recorded.

Every draw is named after the run's seed, the dialogue and what it is for, so a dialogue comes out the same alone or
among a million, now or after an interruption.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from most.data.dialogue.dialogue import Dialogue
from most.data.dialogue.voice import augment as augmenting
from most.data.dialogue.voice.barge_in import barge_in, with_spoken
from most.data.dialogue.voice.pool import Voice, VoicePool
from most.data.dialogue.voice.recipe import SpeakRecipe
from most.data.dialogue.voice.record import RECORD, record_of, write_json
from most.data.dialogue.voice.render import fade_out, to_level, trim_end, two_channels, write_channels
from most.data.dialogue.voice.seam import generator, seed_of
from most.data.dialogue.voice.speaker import Line, Speaker, Take
from most.data.dialogue.voice.timeline import BackChannel, Spoken, Timeline, lay_out

CUT_FADE_SECONDS = 0.03
"""At the end of a voice that is cut off: short, so that it is heard until it stops, long enough not to click."""


def speak_dialogue(
    dialogue: Dialogue, speaker: Speaker[SpeakRecipe, VoicePool], folder: Path, content: str
) -> dict[str, Any]:
    """Make a dialogue's audio and record in `folder`; the record is written last. Returns the record.

    Raises:
        NotUnderstood, VoiceFailed, Unspeakable: the dialogue is to be left out.
    """
    recipe, seed = speaker.recipe, speaker.recipe.seed
    rate, aloud = recipe.audio.sample_rate, recipe.assistant == "speech"
    rng = generator(seed, "dialogue", dialogue.id)
    if aloud and rng.random() < recipe.barge_ins.share:
        dialogue = barge_in(dialogue, rng, recipe.barge_ins.between)
    dialogue = with_spoken(dialogue)
    cast = speaker.pool.cast(dialogue.id, seed)
    lines = []
    for k, turn in enumerate(dialogue.turns):
        if turn.role == "assistant" and not aloud:
            lines.append(Line(turn, None, None, None, {}))
            continue
        passed = speaker.turn(turn, cast[turn.role], (seed, dialogue.id, k))
        take, changes = sped(passed.take, recipe.augment, turn.role, generator(seed, dialogue.id, k, "speed"))
        if aloud and turn.interrupted_at is not None:
            take = _cut_off(take, rate)
        lines.append(Line(turn, cast[turn.role], passed, take, changes))
    heard = [line for line in lines if line.take is not None]
    timeline, signs = _timeline(heard, speaker, cast, dialogue.id, rng)
    speech = _speech(heard, timeline, speaker, dialogue.id)
    folder.mkdir(parents=True, exist_ok=True)
    names = _write(folder, lines, speech, timeline, signs, speaker)
    record = record_of(dialogue, content, lines, timeline, signs, names, rate)
    write_json(folder / RECORD, record)
    speaker.counts.speech_seconds += sum(len(w) for w in speech) / rate
    return record


def sped(
    take: Take, settings: augmenting.AugmentSettings, role: str, rng: np.random.Generator
) -> tuple[Take, dict[str, Any]]:
    """The take at the speed that is drawn for it, and what was done for the record."""
    factor = augmenting.draw_speed(settings, role, rng)
    if factor is None:
        return take, {}
    wav = augmenting.change_speed(take.wav, factor)
    scale = len(wav) / len(take.wav)
    bounds = tuple((round(a * scale), min(len(wav), round(b * scale))) for a, b in take.bounds)
    return Take(wav, bounds), {"speed": factor}


def _cut_off(take: Take, sample_rate: int) -> Take:
    wav = trim_end(take.wav, sample_rate)
    first = take.bounds[-1][0]
    # The last chunk always keeps something: its loudest frame, unless another chunk is far louder.
    wav = wav if len(wav) > first else take.wav
    return Take(wav, (*take.bounds[:-1], (first, len(wav))))


def _timeline(
    heard: Sequence[Line],
    speaker: Speaker[SpeakRecipe, VoicePool],
    cast: dict[str, Voice],
    dialogue_id: str,
    rng: np.random.Generator,
) -> tuple[Timeline, list[tuple[str, np.ndarray]]]:
    """Turns and back-channels in time, and the back-channels' texts and samples."""
    recipe = speaker.recipe
    rate, gaps, signs = recipe.audio.sample_rate, recipe.gaps, recipe.back_channels
    aloud = recipe.assistant == "speech"
    turns = []
    for line in heard:
        assert line.take is not None
        bounds, last = line.take.bounds, len(line.take.wav)
        chunks = tuple((b - a) / rate for a, b in (*bounds[:-1], (bounds[-1][0], last)))
        pause = (bounds[1][0] - bounds[0][1]) / rate if len(bounds) > 1 else 0.0
        # Rounding after a change of speed may move a chunk by a sample; the turn's length is what counts.
        interrupted = aloud and line.turn.interrupted_at is not None
        turns.append(Spoken(role=line.turn.role, chunk_seconds=chunks, interrupted=interrupted, pause_seconds=pause))
    waits = np.clip(rng.normal(gaps.mean, gaps.deviation, size=len(turns)), *gaps.within)
    planned: list[BackChannel] = []
    said: list[tuple[str, np.ndarray]] = []
    for k, turn in enumerate(turns):
        happens, at = rng.random() < signs.share, float(rng.uniform(*signs.between))
        text = signs.texts[int(rng.integers(len(signs.texts)))]
        listener = "assistant" if turn.role == "user" else "user"
        if not aloud or not happens or turn.seconds < signs.min_seconds or listener not in signs.roles:
            continue
        wav = speaker.say(text, cast[listener], seed_of(recipe.seed, dialogue_id, k, "back-channel"))
        wav = to_level(wav, rate, recipe.audio.level_dbfs + signs.level_db)
        planned.append(BackChannel(turn=k, at=at, seconds=len(wav) / rate))
        said.append((text, wav))
    timeline = lay_out(
        turns, [float(w) for w in waits], planned, overlap_seconds=recipe.barge_ins.overlap_seconds
    )  # fmt: skip
    return timeline, said


def _speech(
    heard: Sequence[Line], timeline: Timeline, speaker: Speaker[SpeakRecipe, VoicePool], dialogue_id: str
) -> list[np.ndarray]:
    """Each turn's samples as they are heard: faded where cut, then in its room and noise."""
    recipe, out = speaker.recipe, []
    rate = recipe.audio.sample_rate
    for k, (line, placed) in enumerate(zip(heard, timeline.turns, strict=True)):
        assert line.take is not None
        line.placed, wav = placed, line.take.wav
        if placed.overlapped_from is not None:
            wav = fade_out(wav, round(min(CUT_FADE_SECONDS, placed.end - placed.overlapped_from) * rate))
        rng = generator(recipe.seed, dialogue_id, k, "augment")
        wav, changes = augmenting.augment(wav, rate, recipe.augment, placed.role, rng, speaker.babble)
        line.changes |= changes
        out.append(wav)
    return out


def _write(
    folder: Path, lines: Sequence[Line], speech: Sequence[np.ndarray], timeline: Timeline,
    signs: Sequence[tuple[str, np.ndarray]], speaker: Speaker[SpeakRecipe, VoicePool],
) -> dict[str, Any]:  # fmt: skip
    """Turn files, two channels and the mix. Returns their names."""
    audio = speaker.recipe.audio
    turn_files: list[str | None] = []
    waiting = iter(speech)
    for k, line in enumerate(lines):
        name = None if line.take is None else f"turn-{k:02d}-{line.turn.role}.{audio.format}"
        turn_files.append(name)
        if name is not None:
            write_channels(folder / name, next(waiting), audio.sample_rate)
    names: dict[str, Any] = {"turns": turn_files, "two_channels": None, "mixed": None}
    if speaker.recipe.assistant == "text":  # a user alone, with gaps where nobody answers, is no conversation
        return names
    placed = [*zip(timeline.turns, speech, strict=True), *((p, signs[p.index][1]) for p in timeline.back_channels)]
    both = two_channels(placed, audio.sample_rate, timeline.seconds)
    for key, wanted, wav in (("two_channels", audio.two_channels, both), ("mixed", audio.mixed, both.sum(axis=1))):
        if wanted:
            names[key] = f"{key.replace('_', '-')}.{audio.format}"
            write_channels(folder / names[key], wav, audio.sample_rate)
    return names
