"""What is evaluated: a MoST with its codec, or a plain language model; one interface says what it can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np

from most.evaluate.likelihood import Likelihood
from most.generate.engine import Audio, Conversation, Speech

Capability = Literal["text", "hear", "speak"]
Asked = Audio | str | list[dict[str, Any]]
"""A spoken question, a written one (a `str`; a file is given as a `Path`), or a conversation that ends with either."""


def message(role: str, said: Audio | str) -> dict[str, Any]:
    """A turn of a conversation; a `str` is written."""
    part = {"type": "text", "text": said} if isinstance(said, str) else {"type": "audio", "audio": said}
    return {"role": role, "content": [part]}


def conversation(asked: Asked) -> Conversation:
    """Whatever is asked, as turns."""
    return asked if isinstance(asked, list) else [message("user", asked)]


class Subject(Protocol):
    """A model under test. Answers do not depend on what shares a batch."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    def transcribe(self, audios: Sequence[Audio], *, max_new_tokens: int = 256) -> list[str]:
        """What is said in each audio."""
        ...

    def speak(self, texts: Sequence[str], *, seeds: Sequence[int], max_seconds: float = 20.0) -> list[Speech]:
        """Each text said; a seed a text fixes the draw."""
        ...

    def answer_text(self, questions: Sequence[Asked], *, max_new_tokens: int = 64) -> list[str]:
        """The written answer to each question, which may stand behind other turns."""
        ...

    def answer_speech(
        self, questions: Sequence[Asked], *, seeds: Sequence[int], max_seconds: float = 20.0
    ) -> list[Speech]:
        """The spoken answer to each question, which may stand behind other turns."""
        ...

    def text_likelihoods(self, texts: Sequence[tuple[str, str]]) -> list[Likelihood]:
        """Of (context, continuation): how likely the continuation is; the context may be empty."""
        ...

    def unit_likelihoods(self, units: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[Likelihood]:
        """Of (context, continuation) as unit ids `(T,)`: how likely the continuation is; the context may be empty."""
        ...

    def units_of(self, wav: np.ndarray, rate: int) -> np.ndarray:
        """The units `(T,)` of mono float audio."""
        ...
