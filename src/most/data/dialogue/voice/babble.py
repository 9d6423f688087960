"""Clips of a corpus's own voices for babble noise, made once and read back, so that every run hears the same."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from most.data.dialogue.voice.pool import Voices
from most.data.dialogue.voice.recipe import VoiceRecipe
from most.data.dialogue.voice.render import write_channels
from most.data.dialogue.voice.seam import Synthesizer, generator, seed_of
from most.data.dialogue.voice.speaker import Speaker
from most.speech.audio import read_audio

BABBLE_CLIPS = 8


def babble_bank(
    recipe: VoiceRecipe, texts: Iterable[str], synthesizers: Sequence[Synthesizer], pool: Voices
) -> tuple[np.ndarray, ...]:
    """Clips `(T,)` at the recipe's rate; none where it adds no babble."""
    if not recipe.augment.needs_babble:
        return ()
    speaker = Speaker(recipe, synthesizers, pool, None)
    bank = []
    for n, text in enumerate(itertools.islice(texts, BABBLE_CLIPS)):
        path = recipe.output / "babble" / f"{n:02d}.flac"
        if not path.is_file():
            voice = pool.voices[int(generator(recipe.seed, "babble", n).integers(len(pool.voices)))]
            wav = speaker.say(text, voice, seed_of(recipe.seed, "babble", n))
            write_channels(path, wav, recipe.audio.sample_rate)
        bank.append(read_audio(path, recipe.audio.sample_rate))
    return tuple(bank)
