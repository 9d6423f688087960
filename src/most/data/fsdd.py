"""The single digits of the Free Spoken Digit Dataset (FSDD) that ship with the package: reading them, packing them.

Recordings of six people, CC BY-SA 4.0; origin and changes are told in `assets/fsdd/SOURCE.md`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import soundfile as sf

from most.data.prompts import DIGIT_WORDS
from most.errors import MostError
from most.manifest import AudioRef, Utterance, read_utterances, write_jsonl

ASSETS = Path(__file__).parent.parent / "assets" / "fsdd"
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
SOURCE_RATE = 8000
TEST_TAKES = range(5)  # FSDD's own split: the recordings numbered 0 to 4 are its test set
LICENCE = "CC BY-SA 4.0"
SPEECH_LEVEL = 10 ** (-23 / 20)


class Recordings:
    """The single digits: `ids(speaker, digit)` lists recordings, `wav(id)` gives one, trimmed and level, at 8 kHz."""

    def __init__(self, folder: Path = ASSETS) -> None:
        self._rows = {u.id: u for u in read_utterances(folder / "recordings.jsonl")}
        self._files: dict[Path, np.ndarray] = {}
        self._trimmed: dict[str, np.ndarray] = {}

    def ids(self, speaker: str, digit: int) -> list[str]:
        """Recordings of a digit by a speaker, named `{digit}_{speaker}_{take}`, in order of take."""
        mine = [i for i, u in self._rows.items() if u.speaker == speaker and u.text == DIGIT_WORDS[digit]]
        return sorted(mine, key=take_of)

    def wav(self, recording: str) -> np.ndarray:
        """One digit as float32 `(T,)` in [-1, 1]: no offset, silence trimmed, edges faded, speech at -23 dBFS."""
        if recording not in self._trimmed:
            ref = self._rows[recording].audio
            if ref.path not in self._files:
                self._files[ref.path] = sf.read(ref.path, dtype="float32")[0]
            start = round(ref.start * SOURCE_RATE)
            n = round((ref.duration or 0) * SOURCE_RATE)
            self._trimmed[recording] = _tidy(self._files[ref.path][start : start + n])
        return self._trimmed[recording]


def take_of(recording: str) -> int:
    """The take number in an FSDD name such as `3_george_12`."""
    return int(recording.rsplit("_", 1)[1])


def _tidy(wav: np.ndarray) -> np.ndarray:
    """(T,) -> (T',): offset removed, cut where quieter than 45 dB below the loudest 10 ms (50 ms kept), faded, level.

    At 35 dB the faint fricatives of these recordings go too: the s of "six" is hardly above the noise for some.
    """
    frame, keep, fade = SOURCE_RATE // 100, 5, SOURCE_RATE // 100
    wav = wav - wav.mean()
    rms = np.sqrt(np.mean(wav[: len(wav) // frame * frame].reshape(-1, frame) ** 2, axis=1))
    loud = np.flatnonzero(rms > rms.max() * 10 ** (-45 / 20))
    wav = wav[max(loud[0] - keep, 0) * frame : (loud[-1] + 1 + keep) * frame].copy()
    active = rms[rms > rms.max() * 0.1]
    wav *= SPEECH_LEVEL / np.sqrt(np.mean(active**2))
    ramp = np.linspace(0, 1, fade, endpoint=False, dtype=np.float32)
    wav[:fade] *= ramp
    wav[-fade:] *= ramp[::-1]
    return wav


def pack_recordings(
    folder: str | os.PathLike[str], out_dir: str | os.PathLike[str] = ASSETS, *, n_takes: int = 34
) -> int:
    """Make the shipped files from a checkout of FSDD: one lossless FLAC a speaker (8 kHz, 16 bit), takes 0 to
    `n_takes - 1` of each digit joined, and `recordings.jsonl`, an utterance manifest that says where each lies.

    Returns the number of recordings.

    Raises:
        MostError: a recording is missing or is not 8 kHz mono.
    """
    folder, out, rows = Path(folder), Path(out_dir), []
    for speaker in SPEAKERS:
        pieces, at = [], 0
        for digit in range(10):
            for take in range(n_takes):
                path = folder / f"{digit}_{speaker}_{take}.wav"
                if not path.is_file():
                    raise MostError("folder", path, "no such recording; give the folder `recordings` of FSDD")
                wav, rate = sf.read(path, dtype="int16")
                if rate != SOURCE_RATE or wav.ndim != 1:
                    raise MostError("recording", path, f"must be mono at {SOURCE_RATE} Hz")
                ref = AudioRef(path=out / f"{speaker}.flac", start=at / SOURCE_RATE, duration=len(wav) / SOURCE_RATE)
                rows.append(Utterance(id=path.stem, audio=ref, speaker=speaker, text=DIGIT_WORDS[digit]))
                pieces.append(wav)
                at += len(wav)
        sf.write(out / f"{speaker}.flac", np.concatenate(pieces), SOURCE_RATE, subtype="PCM_16", compression_level=1.0)
    return write_jsonl(out / "recordings.jsonl", rows)
