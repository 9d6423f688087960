"""Long recordings cut where they are quiet: by the energy of short frames alone, so that no word is cut where a pause
is to be had.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from most.manifest import AudioRef

_FRAME_SECONDS = 0.02
PAUSE_SECONDS = 0.2
"""A cut lies in the middle of the quietest stretch of this length."""
SILENCE_DB = 25.0
"""How far below the loud parts of a recording a pause lies."""


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """Where a recording is cut.

    Args:
        bounds: start and end of every piece, in seconds of the recording; they follow each other without a gap.
        in_speech: how many of the cuts found no pause.
    """

    bounds: tuple[tuple[float, float], ...]
    in_speech: int = 0


@dataclass(frozen=True)
class Levels:
    """Mean power `(F,)` of frames of `frame_seconds`, about 20 ms."""

    power: np.ndarray
    frame_seconds: float


def frame_levels(ref: AudioRef) -> Levels:
    """The energy of a recording, channels averaged; read in blocks, so that hours need little memory."""
    with soundfile.SoundFile(Path(ref.path)) as f:
        frame = round(_FRAME_SECONDS * f.samplerate)
        f.seek(round(ref.start * f.samplerate))
        wanted = -1 if ref.duration is None else round(ref.duration * f.samplerate)
        blocks = f.blocks(blocksize=frame * 1000, frames=wanted, dtype="float32", always_2d=True)
        parts = [_power(block.mean(axis=1), frame) for block in blocks]
        return Levels(np.concatenate(parts) if parts else np.zeros(0), frame / f.samplerate)


def wave_levels(wav: np.ndarray, sample_rate: int) -> Levels:
    """As `frame_levels`, of samples (T,)."""
    frame = round(_FRAME_SECONDS * sample_rate)
    return Levels(_power(wav, frame), frame / sample_rate)


def _power(wav: np.ndarray, frame: int) -> np.ndarray:
    whole = len(wav) // frame * frame
    return np.mean(np.square(wav[:whole].reshape(-1, frame), dtype=np.float64), axis=1)


def cut(levels: Levels, seconds: float, *, min_seconds: float, max_seconds: float) -> Cuts:
    """Pieces of at most `max_seconds`, each cut in the quietest place of the latter half of what it may hold.

    Args:
        seconds: of the whole recording.
        min_seconds: no piece is shorter; at most half of `max_seconds`.
    """
    power, step = levels.power, levels.frame_seconds
    wide = round(PAUSE_SECONDS / step)
    smooth = np.convolve(power, np.full(wide, 1 / wide), mode="same")
    quiet = float(np.percentile(power, 95)) * 10 ** (-SILENCE_DB / 10) if len(power) else 0.0
    bounds, start, in_speech = list[tuple[float, float]](), 0.0, 0
    while seconds - start > max_seconds:
        # What is left must not be too short for a piece of its own.
        low, high = start + max_seconds / 2, min(start + max_seconds, seconds - min_seconds)
        first, last = int(np.ceil(low / step)), min(int(high / step), len(smooth))
        if first < last:
            window = smooth[first:last]
            at = last - 1 - int(np.argmin(window[::-1]))  # of pauses alike the last: fewer pieces
            in_speech += int(smooth[at] > quiet)
            end = round((at + 0.5) * step, 3)
        else:
            end, in_speech = round(high, 3), in_speech + 1
        bounds.append((start, end))
        start = end
    return Cuts(bounds=(*bounds, (start, seconds)), in_speech=in_speech)
