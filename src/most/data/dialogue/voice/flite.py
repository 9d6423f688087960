"""Flite's diphone and unit-selection voices through the `flite` program: small, quick, and repeatable to the sample.

Their sound is plain, which makes them many hours of easily understood speech for little time. Flite has a BSD-like
licence that allows everything; the program is called, neither linked nor shipped.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from most.data.dialogue.voice.arpabet import to_flite
from most.data.dialogue.voice.seam import Unspeakable, VoiceFailed
from most.errors import MostError, nearest

VOICES = ("slt", "rms", "awb", "kal16")
_SECONDS = 120
_WORD = "vemawo"
"""Stands for whatever is said by phones: no English word, and spelled so that it is read as one."""


class Flite:
    """The voices that Debian's package holds: slt (female), rms, awb and kal16 (male).

    They draw nothing, so a second take differs from the first by its speed alone.

    Args:
        program: its name or path.
    """

    name = "flite"
    sample_rate = 16000
    licence = "BSD-like (CMU Flite)"
    voices = VOICES

    def __init__(self, *, program: str = "flite") -> None:
        found = shutil.which(program)
        if found is None:
            raise MostError("flite", program, "is not installed; apt install flite, brew install flite")
        self._program = found

    def synthesize(self, text: str, voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray:
        if not any(c.isalnum() for c in text):
            raise Unspeakable(f"no word in {text!r}")
        return self._say(text, voice, speed)

    def synthesize_phones(self, phones: Sequence[str], voice: str, seed: int, *, speed: float = 1.0) -> np.ndarray:
        """A word of these phones, through the lexicon: its syllables, durations and melody are made as any word's."""
        return self._say(_WORD, voice, speed, f'"{_WORD}" 0 : {to_flite(phones)}\n')

    def _say(self, text: str, voice: str, speed: float, lexicon: str = "") -> np.ndarray:
        if voice not in self.voices:
            raise MostError("flite.voice", voice, nearest(voice, self.voices))
        with tempfile.TemporaryDirectory(prefix="most-flite-") as folder:
            out = Path(folder) / "speech.wav"
            command = [self._program, "-voice", voice, "--setf", f"duration_stretch={1 / speed:.4f}", "-t", text]
            if lexicon:
                (Path(folder) / "lexicon.txt").write_text(lexicon, encoding="ascii")
                command += ["-add_lex", str(Path(folder) / "lexicon.txt")]
            done = subprocess.run(
                [*command, "-o", str(out)], capture_output=True, text=True, errors="replace", timeout=_SECONDS
            )
            if done.returncode or not out.is_file():
                raise VoiceFailed(f"flite ended with {done.returncode}: {done.stderr.strip()[:200]}")
            wav, rate = soundfile.read(out, dtype="float32")
        if rate != self.sample_rate:
            raise MostError("flite.voice", voice, f"speaks at {rate} Hz here, not {self.sample_rate}; choose another")
        return wav
