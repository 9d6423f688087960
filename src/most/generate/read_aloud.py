"""A text of any length as speech: written out as words, cut into sentences, said piece by piece, and joined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from most.data.dialogue.spoken import chunks, to_spoken
from most.errors import MostError
from most.generate.engine import Engine, SpeakSettings

PIECE_WORDS = 16
"""The longest sentence that the shipped model learned to say."""
PAUSE_SECONDS = 0.15
"""Between pieces."""


@dataclass(frozen=True, kw_only=True)
class ReadAloud:
    """What was said.

    Args:
        waveform: float32 (T,) at `sample_rate` Hz.
        pieces: the words of each piece, as they were said.
        n_truncated: pieces cut at the longest allowed length.
        silent: numbers, from 0, of pieces of which the model said nothing.
    """

    waveform: np.ndarray
    sample_rate: int
    pieces: tuple[str, ...]
    n_truncated: int
    silent: tuple[int, ...]


def read_aloud(
    engine: Engine,
    text: str,
    *,
    speaker: str | None = None,
    settings: SpeakSettings | None = None,
    max_piece_words: int = PIECE_WORDS,
    batch_size: int = 8,
) -> ReadAloud:
    """Say a text. Numbers, dates and units are written out first ("5 km" is "five kilometers").

    Args:
        settings: of each piece.

    Raises:
        MostError: nothing to say, a text with numbers without the extra `dialogue`, no codec, an unknown speaker, or
            `max_piece_words` below 1.
    """
    pieces = pieces_of(text, max_piece_words)
    made = engine.speak(pieces, speaker=speaker, settings=settings, batch_size=batch_size)
    rate = made[0].sample_rate
    pause = np.zeros(round(PAUSE_SECONDS * rate), dtype=np.float32)
    parts = [part for speech in made if len(speech.waveform) for part in (speech.waveform, pause)][:-1]
    return ReadAloud(
        waveform=np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32), sample_rate=rate,
        pieces=tuple(pieces), n_truncated=sum(s.truncated for s in made),
        silent=tuple(k for k, s in enumerate(made) if not len(s.units)),
    )  # fmt: skip


def pieces_of(text: str, max_words: int = PIECE_WORDS) -> list[str]:
    """What `read_aloud` says one after the other.

    Raises:
        MostError: as `read_aloud`, of the text.
    """
    pieces = [p for p in chunks(to_spoken(text), max_words) if any(c.isalnum() for c in p)]
    if not pieces:
        raise MostError("text", text, "holds nothing to say; give some words")
    return pieces
