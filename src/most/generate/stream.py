"""What a reader and a listener get of a running request: text as it is written, sound as it is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from most.generate.request import Token

if TYPE_CHECKING:
    from most.generate.engine import Engine
    from most.speech.vocoder.stream import StreamSettings


@dataclass(frozen=True)
class Written:
    """New text, behind what came before."""

    text: str


@dataclass(frozen=True)
class Said:
    """New sound: float32 (T,) in [-1, 1] at `sample_rate` Hz."""

    waveform: np.ndarray
    sample_rate: int


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The end of a request.

    Args:
        text: all that was written.
        units: all that was said.
        truncated: what reached its limit: "text", "speech".
        n_tokens: made in all, the ends of parts among them.
    """

    text: str
    units: np.ndarray
    truncated: tuple[str, ...]
    n_tokens: int


@dataclass
class Assembler:
    """The tokens of one request as events, each as soon as it can be.

    Args:
        speaker: voice of the codec; its main one when left out.
        settings: of the vocoder's chunks.
    """

    engine: Engine
    speaker: str | None = None
    settings: StreamSettings | None = None
    _written: list[int] = field(default_factory=list)
    _units: list[int] = field(default_factory=list)
    _text: str = ""
    _truncated: list[str] = field(default_factory=list)
    _n_tokens: int = 0

    def __post_init__(self) -> None:
        codec = self.engine.codec
        self._sound = codec.stream(self.speaker, self.settings) if codec is not None and codec.speakers else None

    def feed(self, token: Token) -> list[Written | Said | Ended]:
        """What a token of the request makes ready; at its last one also what was held back, and the end."""
        vocab, events = self.engine.processor.vocab, list[Written | Said | Ended]()
        self._n_tokens += 1
        is_unit = vocab.is_unit(token.id)
        if is_unit:
            self._units.append(token.id - vocab.unit_start)
            events += self._said([self._units[-1]])
        elif token.id < vocab.text_size:
            self._written.append(token.id)
            events += self._read(whole=bool(token.ended))
        if token.ended == "length":
            self._truncated.append("speech" if is_unit else "text")
        if token.last:
            events += self._rest()
            text = self.engine.processor.decode_text(self._written)
            units = np.array(self._units, dtype=np.int64)
            events.append(Ended(text=text, units=units, truncated=tuple(self._truncated), n_tokens=self._n_tokens))
        return events

    @property
    def seconds(self) -> float:
        """Of sound handed out so far."""
        return 0.0 if self._sound is None else self._sound.n_samples / self._sound.sample_rate

    def _read(self, whole: bool) -> list[Written]:
        text = self.engine.processor.decode_text(self._written)
        if not whole and text.endswith("\ufffd"):  # a character of which bytes are still to come
            return []
        new, self._text = text[len(self._text) :], text
        return [Written(new)] if new else []

    def _said(self, units: list[int]) -> list[Said]:
        return [] if self._sound is None else self._heard(self._sound.push(units))

    def _rest(self) -> list[Said]:
        return [] if self._sound is None else self._heard(self._sound.finish())

    def _heard(self, wav: np.ndarray) -> list[Said]:
        assert self._sound is not None
        return [Said(wav, self._sound.sample_rate)] if len(wav) else []
