"""Reading and writing audio: any rate, channel count and format that libsndfile knows, as float32 mono in [-1, 1].

Every way in which a file or an array can be wrong is a MostError that names it. Nothing is padded or cut in silence.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from most.errors import MostError
from most.manifest import AudioRef

MAX_SECONDS = 600.0
"""The default bound on what is read at once: ten minutes."""
SILENCE_PEAK = 2.0**-15
"""A waveform that never exceeds one 16-bit step is digital silence."""
_UNKNOWN_SIZE = 0x7FFF0000


def read_audio(
    source: str | os.PathLike[str] | AudioRef,
    sample_rate: int = 16000,
    *,
    max_seconds: float | None = MAX_SECONDS,
    allow_silence: bool = True,
) -> np.ndarray:
    """Read an audio file, or the stretch of it that an AudioRef names, as mono at `sample_rate`.

    Channels are averaged; the rate is changed by soxr (high quality).

    Args:
        max_seconds: refuse what is longer, before decoding it; None for no bound.
        allow_silence: refuse digital silence where false (a codec or a recogniser can only make something up of it).

    Returns:
        float32 (T,) in [-1, 1].

    Raises:
        MostError: missing, empty, truncated, over-long, silent, not audio, or holding NaN or infinity.
    """
    ref = source if isinstance(source, AudioRef) else AudioRef(path=Path(source))
    path = Path(ref.path)
    with _opened(path) as f:
        wav = _read_stretch(f, ref, max_seconds)
        rate = f.samplerate
    wav = wav.mean(axis=1) if wav.shape[1] > 1 else wav[:, 0]
    if not np.isfinite(wav).all():
        raise MostError("audio", path, "holds samples that are not finite (NaN or infinity); write the file again")
    wav = resample(wav, rate, sample_rate)
    if not allow_silence:
        require_sound(wav, str(path))
    return np.clip(wav, -1.0, 1.0)


def audio_seconds(path: str | os.PathLike[str]) -> float:
    """How long a file lasts by its header.

    Raises:
        MostError: missing, empty, truncated or not audio.
    """
    with _opened(Path(path)) as f:
        return f.frames / f.samplerate


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise MostError("audio", path, f"{problem}; give the path of an audio file")
    if path.stat().st_size == 0:
        raise MostError("audio", path, "the file is empty (0 bytes)")
    _refuse_truncated_wav(path)
    try:
        with soundfile.SoundFile(path) as f:
            yield f
    except soundfile.LibsndfileError as e:
        raise MostError(
            "audio", path, f"cannot be decoded ({e.error_string.strip()}); give wav, flac, ogg or mp3"
        ) from e


def _read_stretch(f: soundfile.SoundFile, ref: AudioRef, max_seconds: float | None) -> np.ndarray:
    total = f.frames / f.samplerate
    if f.frames <= 0:
        raise MostError("audio", ref.path, "holds no samples")
    if ref.start >= total:
        raise MostError("audio.start", ref.start, f"{ref.path} lasts {total:.3f} s; start must lie before its end")
    # A manifest's rounding may reach past the end by a little; more than that is a wrong manifest.
    if ref.duration is not None and ref.start + ref.duration > total + 0.05:
        raise MostError("audio.duration", ref.duration, f"{ref.path} ends {total - ref.start:.3f} s after the start")
    seconds = total - ref.start if ref.duration is None else ref.duration
    if max_seconds is not None and seconds > max_seconds:
        raise MostError(
            "audio", ref.path, f"lasts {seconds:.1f} s, over the bound of {max_seconds:g} s; cut it or raise it"
        )
    start = round(ref.start * f.samplerate)
    wanted = f.frames - start if ref.duration is None else min(round(ref.duration * f.samplerate), f.frames - start)
    if start:
        f.seek(start)
    wav = f.read(wanted, dtype="float32", always_2d=True)
    # An MP3's stated length may count the padding of its last frames (1,152 samples each), which are not decoded.
    if len(wav) < wanted - (2304 if f.format == "MP3" else 0):
        raise MostError("audio", ref.path, f"is truncated: {len(wav)} of {wanted} samples could be read")
    return wav


def _refuse_truncated_wav(path: Path) -> None:
    # libsndfile reads a cut WAV without a word; its header says how much there should be.
    with path.open("rb") as f:
        head = f.read(12)
        if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return
        size, position = path.stat().st_size, 12
        while position + 8 <= size:
            f.seek(position)
            name, length = struct.unpack("<4sI", f.read(8))
            if name == b"data":
                # Programs that write to a pipe leave the size unknown: 0 or near the field's maximum.
                if length < _UNKNOWN_SIZE and position + 8 + length > size:
                    there = size - position - 8
                    raise MostError("audio", path, f"is truncated: {there} of {length} bytes of samples; copy it again")
                return
            position += 8 + length + (length & 1)


def resample(wav: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Change the rate of (T,) float32; the same array where the rates are equal."""
    return wav if rate == new_rate else soxr.resample(wav, rate, new_rate, quality="HQ").astype(np.float32)


def band_limit(wav: np.ndarray, sample_rate: int, narrow_rate: int = 8000) -> np.ndarray:
    """What is left of (T,) float32 after a `narrow_rate` recording: resampled down and back, same length."""
    back = resample(resample(wav, sample_rate, narrow_rate), narrow_rate, sample_rate)
    return np.pad(back, (0, max(0, len(wav) - len(back))))[: len(wav)]


def require_sound(wav: np.ndarray, name: str) -> None:
    """Refuse digital silence.

    Raises:
        MostError: no sample exceeds one step of 16-bit audio.
    """
    if np.abs(wav).max(initial=0.0) <= SILENCE_PEAK:
        raise MostError("audio", name, "is silent (every sample is zero); check the recording or leave it out")


def check_waveform(wav: Any, name: str = "waveform") -> np.ndarray:
    """An array from a user as float32 (T,): floats in [-1, 1] as they are, 16- and 32-bit integers scaled.

    Raises:
        MostError: another dtype or shape, no sample, NaN or infinity, or floats far outside [-1, 1].
    """
    wav = np.asarray(wav.detach().cpu() if hasattr(wav, "detach") else wav)
    if wav.ndim != 1:
        raise MostError(name, wav.shape, "must be one-dimensional (samples of one channel); average or pick a channel")
    if wav.size == 0:
        raise MostError(name, wav.shape, "holds no samples")
    if wav.dtype in (np.int16, np.int32):
        return (wav / -float(np.iinfo(wav.dtype).min)).astype(np.float32)
    if wav.dtype not in (np.float32, np.float64):
        raise MostError(name, str(wav.dtype), "must be float32 or float64 in [-1, 1], int16 or int32")
    if not np.isfinite(wav).all():
        raise MostError(name, "NaN or infinity", "every sample must be finite")
    peak = float(np.abs(wav).max())
    if peak > 4.0:
        raise MostError(name, peak, "is the largest sample; floats must lie in [-1, 1], so divide integers by 32768")
    return wav.astype(np.float32)


def write_audio(path: str | os.PathLike[str], wav: np.ndarray, sample_rate: int) -> Path:
    """Write (T,) float32 in [-1, 1], whole or not at all; the suffix says the format (.wav 16-bit, .flac, .ogg).

    Raises:
        MostError: a suffix libsndfile cannot write, or a waveform `check_waveform` refuses.
    """
    path = Path(path)
    kind = path.suffix.lstrip(".").upper()
    kind, subtype = {"OPUS": ("OGG", "OPUS")}.get(kind, (kind, None))
    if kind not in soundfile.available_formats():
        raise MostError("output", path, "has no suffix of a known audio format; use .wav, .flac, .ogg or .opus")
    wav = np.clip(check_waveform(wav), -1.0, 1.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    soundfile.write(part, wav, sample_rate, format=kind, subtype=subtype)
    os.replace(part, path)
    return path
