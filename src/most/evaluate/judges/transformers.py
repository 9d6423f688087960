"""Any recogniser of transformers: Whisper and other sequence-to-sequence models, CTC ones such as HuBERT and wav2vec2.

The paper judges with a fine-tuned HuBERT-large; `facebook/hubert-large-ls960-ft` is the published one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from most.errors import MostError
from most.evaluate.judges.base import at_rate, is_silent
from most.evaluate.judges.whisper import most_tokens


class TransformersJudge:
    """A speech recogniser through transformers' pipeline, greedy.

    Args:
        model: a folder, or a name that the hub knows; its processor must lie with it.
        language: what is spoken, for models of several languages.
        device: where it runs.
    """

    def __init__(self, model: str | os.PathLike[str], *, language: str | None = None, device: str = "cpu") -> None:
        from transformers import pipeline

        try:
            self._recognise: Any = pipeline("automatic-speech-recognition", model=os.fspath(model), device=device)
        except Exception as e:
            raise MostError("judge.model", model, f"could not be loaded as a recogniser of transformers ({e})") from e
        self.sample_rate = int(self._recognise.feature_extractor.sampling_rate)
        self.name = f"transformers:{os.path.basename(os.path.normpath(model))}"
        self._language = language

    def transcribe(self, wav: np.ndarray, rate: int) -> str:
        wav = at_rate(wav, rate, self.sample_rate)
        if is_silent(wav):
            return ""
        with _quiet():
            heard = self._recognise({"raw": wav, "sampling_rate": self.sample_rate}, **self._how(wav))
        return str(heard["text"]).strip()

    def _how(self, wav: np.ndarray) -> dict[str, Any]:
        if not self._recognise.type.startswith("seq2seq"):
            return {}
        seconds = len(wav) / self.sample_rate
        room = getattr(self._recognise.model.config, "max_target_positions", 448) - 8  # the prompt takes a few
        kwargs: dict[str, Any] = {"do_sample": False, "num_beams": 1, "max_new_tokens": min(most_tokens(seconds), room)}
        if self._language:
            kwargs |= {"language": self._language, "task": "transcribe"}
        how: dict[str, Any] = {"generate_kwargs": kwargs}
        if self._recognise.type == "seq2seq_whisper" and seconds > 30:
            how["return_timestamps"] = True  # it hears 30 s at once, and by timestamps it goes on from there
        return how


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that Whisper gives at every call where a bound is set, whatever it is."""
    from transformers import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
