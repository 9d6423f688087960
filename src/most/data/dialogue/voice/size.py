"""How much speech a text makes and what room it takes on a disk, said and checked before a run begins."""

from __future__ import annotations

import shutil

from most.data.dialogue.voice.recipe import VoiceRecipe
from most.errors import MostError

WORDS_PER_SECOND = 2.6
"""Of read speech."""
_FLAC = 0.55


def room_for(recipe: VoiceRecipe, n_words: int, tracks: float = 1.0) -> str:
    """What a run writes, in words: hours, megabytes, where.

    Args:
        tracks: how many times each second of speech is written.

    Raises:
        MostError: the disk has no room for it.
    """
    seconds = n_words / WORDS_PER_SECOND
    megabytes = seconds * tracks * 2 * recipe.audio.sample_rate * (_FLAC if recipe.audio.format == "flac" else 1) / 1e6
    free = shutil.disk_usage(next(p for p in (recipe.output, *recipe.output.absolute().parents) if p.exists())).free
    if megabytes * 1e6 > free:
        raise MostError(
            "output", recipe.output, f"has {free / 1e9:.1f} GB free; the speech needs {megabytes / 1e3:.1f}"
        )
    return f"about {seconds / 3600:.2f} h of speech, {megabytes:.0f} MB, to {recipe.output} ({free / 1e9:.0f} GB free)"
