"""Speech to clients, encoded chunk by chunk as it is made."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile

CONTENT_TYPES = {
    "wav": "audio/wav", "pcm": "audio/pcm", "flac": "audio/flac", "opus": "audio/ogg", "mp3": "audio/mpeg",
}  # fmt: skip
"""Format to content type. `aac` is missing: libsndfile writes none."""
_ENCODED = {"flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS"), "mp3": ("MP3", "MPEG_LAYER_III")}
_UNKNOWN = 0xFFFFFFFF


def pcm16(wav: np.ndarray) -> bytes:
    """(T,) float32 in [-1, 1] as little-endian 16-bit samples."""
    return (wav.clip(-1, 1) * 32767).round().astype("<i2").tobytes()


class AudioEncoder:
    """One file, chunk by chunk: `add` and then `end` return the bytes that are ready.

    A WAV's header says that its length is not known. FLAC comes whole at the end: readers go by the length in its
    header, which is known only then. `pcm` is 16-bit, little-endian, mono, without a header.

    Args:
        format: of `CONTENT_TYPES`.
    """

    def __init__(self, format: str, sample_rate: int) -> None:
        self.format, self.sample_rate, self._begun = format, sample_rate, False
        self._file: soundfile.SoundFile | None = None
        if format in _ENCODED:
            kind, subtype = _ENCODED[format]
            self._out = _Growing()
            # A constant rate, so that players know an MP3's length although its header was sent empty.
            rate = {"bitrate_mode": "CONSTANT", "compression_level": 0.5} if format == "mp3" else {}
            self._file = soundfile.SoundFile(self._out, "w", sample_rate, 1, format=kind, subtype=subtype, **rate)  # type: ignore[arg-type]

    def add(self, wav: np.ndarray) -> bytes:
        if self._file is not None:
            self._file.write(wav)
            return b"" if self.format == "flac" else self._out.take()
        head = wav_header(self.sample_rate) if self.format == "wav" and not self._begun else b""
        self._begun = True
        return head + pcm16(wav)

    def end(self) -> bytes:
        if self._file is None:
            return self.add(np.zeros(0, dtype=np.float32)) if not self._begun else b""
        self._file.close()
        return bytes(self._out.data) if self.format == "flac" else self._out.take()


def wav_header(sample_rate: int) -> bytes:
    """Of 16-bit mono of unknown length."""
    fmt = struct.pack("<IHHIIHH", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    return b"RIFF" + struct.pack("<I", _UNKNOWN) + b"WAVEfmt " + fmt + b"data" + struct.pack("<I", _UNKNOWN)


class _Growing(io.RawIOBase):
    """A file in memory of which what is new can be taken; what is written again, at the end, is not taken again."""

    def __init__(self) -> None:
        self.data, self._at, self._taken = bytearray(), 0, 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        block = bytes(data)
        self.data[self._at : self._at + len(block)] = block
        self._at += len(block)
        return len(block)

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = (0, self._at, len(self.data))[whence] + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def take(self) -> bytes:
        new, self._taken = bytes(self.data[self._taken :]), len(self.data)
        return new
