"""Speech on two channels (user left, assistant right), mixed, and a file for each turn.

Everything is float32 at one rate; levels are brought to one loudness, so that no voice drowns the other.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from most.data.dialogue.voice.timeline import Placed

FRAME_SECONDS = 0.01
SILENCE_DB = -45.0
"""Below the loudest frame: what is trimmed at the edges of a chunk."""
CHANNELS = ("user", "assistant")


def _frames_db(wav: np.ndarray, sample_rate: int) -> np.ndarray:
    """Loudness of each 10 ms, in dB of full scale, `(F,)`; the last one may be shorter."""
    n = max(1, round(FRAME_SECONDS * sample_rate))
    padded = np.pad(wav, (0, -len(wav) % n)).reshape(-1, n)
    return 10 * np.log10(np.mean(padded.astype(np.float64) ** 2, axis=1) + 1e-12)


def trim_silence(wav: np.ndarray, sample_rate: int, keep_seconds: float = 0.02) -> np.ndarray:
    """`(T,)` without its quiet edges: where speech starts and ends is what records and overlaps are about."""
    loud = _frames_db(wav, sample_rate)
    found = np.flatnonzero(loud > loud.max() + SILENCE_DB)
    n, keep = max(1, round(FRAME_SECONDS * sample_rate)), round(keep_seconds * sample_rate)
    return wav[max(0, found[0] * n - keep) : min(len(wav), (found[-1] + 1) * n + keep)]


def trim_end(wav: np.ndarray, sample_rate: int, below_db: float = -20.0) -> np.ndarray:
    """`(T,)` up to its last loud frame: a voice that is cut off stops while it sounds, not after it has died away."""
    loud = _frames_db(wav, sample_rate)
    last = int(np.flatnonzero(loud > loud.max() + below_db)[-1])
    return wav[: (last + 1) * max(1, round(FRAME_SECONDS * sample_rate))]


def to_level(wav: np.ndarray, sample_rate: int, level_dbfs: float, peak: float = 0.95) -> np.ndarray:
    """`(T,)` with its active speech at `level_dbfs` (RMS of the frames within 30 dB of the loudest), below `peak`."""
    loud = _frames_db(wav, sample_rate)
    active = loud[loud > loud.max() - 30]
    now = 10 * np.log10(np.mean(10 ** (active / 10)))
    gain = 10 ** ((level_dbfs - now) / 20)
    highest = float(np.abs(wav).max()) * gain
    return (wav * (gain if highest <= peak else gain * peak / highest)).astype(np.float32)


def fade_out(wav: np.ndarray, n: int) -> np.ndarray:
    """`(T,)` whose last `n` samples fade to nothing (half a cosine)."""
    n = min(n, len(wav))
    if n <= 0:
        return wav
    faded = wav.copy()
    faded[len(wav) - n :] *= 0.5 * (1 + np.cos(np.pi * (np.arange(n) + 1) / n))
    return faded


def two_channels(
    speech: Sequence[tuple[Placed, np.ndarray]], sample_rate: int, seconds: float, peak: float = 0.99
) -> np.ndarray:
    """Placed speech as `(T, 2)`, user left and assistant right; turned down as a whole if their sum would clip."""
    n = max([round(seconds * sample_rate), *(round(p.start * sample_rate) + len(w) for p, w in speech)])
    out = np.zeros((n, len(CHANNELS)), dtype=np.float32)
    for placed, wav in speech:
        start = round(placed.start * sample_rate)
        out[start : start + len(wav), CHANNELS.index(placed.role)] += wav
    highest = float(np.abs(out.sum(axis=1)).max(initial=0.0))
    return out * (peak / highest) if highest > peak else out


def write_channels(path: Path, wav: np.ndarray, sample_rate: int) -> None:
    """Write `(T,)` or `(T, C)` whole or not at all; 16 bits, in the format that the suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    soundfile.write(part, np.clip(wav, -1, 1), sample_rate, format=path.suffix[1:].upper(), subtype="PCM_16")
    os.replace(part, path)
