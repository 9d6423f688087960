"""Audio from clients: decoded block by block, never further than allowed, whatever its header says."""

from __future__ import annotations

import base64
import binascii
import io

import numpy as np
import soundfile
import soxr

from most.serve.errors import Refused, too_large

FORMATS = ("WAV", "WAVEX", "FLAC", "OGG", "MP3")
_BLOCK = 1 << 16
_MAX_CHANNELS, _RATES = 8, (4000, 192000)


def decode(data: bytes, sample_rate: int, max_seconds: float, param: str = "file") -> np.ndarray:
    """A file's bytes as float32 (T,) in [-1, 1] at `sample_rate`, channels averaged.

    Raises:
        Refused: no audio, another format than `FORMATS`, odd rates or channels, samples that are not finite, or more
            than `max_seconds` (413).
    """
    if not data:
        raise Refused(400, f"{param}: is empty (0 bytes)", param=param)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as f:
            return _decoded(f, sample_rate, max_seconds, param)
    except (soundfile.SoundFileError, ValueError, OverflowError, MemoryError) as e:
        reason = e.error_string.strip() if isinstance(e, soundfile.LibsndfileError) else type(e).__name__
        raise Refused(400, f"{param}: cannot be decoded ({reason}); send wav, flac, ogg or mp3", param=param) from e


def from_base64(data: str, param: str) -> bytes:
    """Raises Refused where it is no base64."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as e:
        raise Refused(400, f"{param}: is no base64 ({e})", param=param) from e


def pcm16(data: str, param: str) -> np.ndarray:
    """Base64 of little-endian 16-bit samples as float32 (T,) in [-1, 1). Raises Refused where it is none."""
    raw = from_base64(data, param)
    if len(raw) % 2:
        raise Refused(400, f"{param}: {len(raw)} bytes are no 16-bit samples", param=param)
    return np.frombuffer(raw, dtype="<i2").astype(np.float32) / 32768


def _decoded(f: soundfile.SoundFile, sample_rate: int, max_seconds: float, param: str) -> np.ndarray:
    if f.format not in FORMATS:
        raise Refused(400, f"{param}: is {f.format_info}; send wav, flac, ogg or mp3", param=param)
    if not 1 <= f.channels <= _MAX_CHANNELS or not _RATES[0] <= f.samplerate <= _RATES[1]:
        asked = f"{f.channels} channels at {f.samplerate} Hz"
        limit = f"up to {_MAX_CHANNELS} channels at {_RATES[0]} to {_RATES[1]} Hz"
        raise Refused(400, f"{param}: has {asked}; send {limit}", param=param)
    narrow = soxr.ResampleStream(f.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
    parts, n_read, most = [], 0, max_seconds * f.samplerate
    while len(block := f.read(_BLOCK, dtype="float32", always_2d=True)):
        n_read += len(block)
        if n_read > most:
            raise too_large(f"{param}: lasts more than the {max_seconds:g} s that this server takes", param)
        if not np.isfinite(block).all():
            raise Refused(400, f"{param}: holds samples that are not finite; write it again", param=param)
        parts.append(narrow.resample_chunk(block.mean(axis=1)))
    parts.append(narrow.resample_chunk(np.zeros(0, dtype=np.float32), last=True))
    wav = np.concatenate(parts).clip(-1, 1)
    if not len(wav):
        raise Refused(400, f"{param}: holds no samples", param=param)
    return wav
