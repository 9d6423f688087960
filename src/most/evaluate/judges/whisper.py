"""Whisper through faster-whisper (CTranslate2): the judge for any English that needs no transformers."""

from __future__ import annotations

import os

import numpy as np

from most.errors import MostError
from most.evaluate.judges.base import Heard, at_rate, is_silent

DIGIT_CONTEXT = "Digits: three one four, nine zero two seven, five six eight."


def most_tokens(seconds: float) -> int:
    """A bound on what Whisper may write, for it falls into loops on short or odd speech; people say 3 to 5 a second."""
    return 20 + round(8 * seconds)


class FasterWhisperJudge:
    """Whisper, greedy, int8 on a CPU.

    Args:
        model: a folder in CTranslate2 format, or a name that the hub knows (`base.en`, `large-v3`).
        context: words put before the transcript, as if just said; `DIGIT_CONTEXT` keeps it to digit words.
        language: what is spoken.
        threads: CPU threads.
    """

    sample_rate = 16000

    def __init__(
        self, model: str | os.PathLike[str], *, context: str | None = None, language: str = "en", threads: int = 1
    ) -> None:
        try:
            from faster_whisper import WhisperModel
        except ImportError as e:
            raise MostError("judge", "faster-whisper", "install the extra: pip install 'most-speech[eval]'") from e
        try:
            self._model = WhisperModel(os.fspath(model), device="cpu", compute_type="int8", cpu_threads=threads)
        except Exception as e:
            raise MostError("judge.model", model, f"could not be loaded as a CTranslate2 Whisper ({e})") from e
        self._context, self._language = context, language
        self.name = f"faster-whisper:{os.path.basename(os.path.normpath(model))}"

    def transcribe(self, wav: np.ndarray, rate: int) -> str:
        return self.hear(wav, rate).text

    def hear(self, wav: np.ndarray, rate: int) -> Heard:
        wav = at_rate(wav, rate, self.sample_rate)
        if is_silent(wav):
            return Heard(text="", no_speech=1.0)
        found, _ = self._model.transcribe(
            wav, language=self._language, beam_size=1, temperature=0.0, condition_on_previous_text=False,
            without_timestamps=True, initial_prompt=self._context,
            max_new_tokens=most_tokens(len(wav) / self.sample_rate),
        )  # fmt: skip
        segments = list(found)
        return Heard(
            text=" ".join(s.text.strip() for s in segments),
            logprob=min((s.avg_logprob for s in segments), default=0.0),
            no_speech=max((s.no_speech_prob for s in segments), default=1.0),
            compression=max((s.compression_ratio for s in segments), default=0.0),
        )
