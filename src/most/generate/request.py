"""What a `Batch` is asked for, and what it hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from most.errors import MostError
from most.generate.hearing import Hearing
from most.sequence import Encoded


@dataclass(frozen=True, kw_only=True)
class Part:
    """A stretch of an answer that follows one rule.

    Args:
        mode: which tokens may come, see `LegalTokens`.
        until: tokens that end it.
        max_new_tokens: that it takes at most, its end among them.
        temperature: 0 takes the most likely token each time.
        top_p: the share of probability drawn from.
        seed: of the draw, as `numpy.random.default_rng` takes it.
        begin: a token put in front of it, in place of the one that ended the part before.
        guided: speech in which each word stands in front of its units (`MostProcessor.guided_speech`): those of this
            text, or, where it is empty, of what the part before has written. The words are not handed out.
        hearing: it is the transcript of the prompt's last clip, searched for in this way; a request's only part.
    """

    mode: Literal["text", "speech", "any"]
    until: tuple[int, ...]
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | tuple[int, ...] = 0
    begin: int | None = None
    guided: str | None = None
    hearing: Hearing | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise MostError("max_new_tokens", self.max_new_tokens, "must be >= 1")
        if not self.temperature >= 0:
            raise MostError("temperature", self.temperature, "must be >= 0; 0 takes the most likely token")
        if self.hearing is not None and (self.mode, self.temperature) != ("text", 0.0):
            raise MostError("hearing", self.hearing, "is for text, and draws nothing")


@dataclass(frozen=True, kw_only=True)
class Request:
    """A prompt, as `SequenceBuilder.prompt` lays it out with its waveforms, and the parts of its answer in order.

    Args:
        routing: whether its tokens say which experts they went to.
    """

    prompt: Encoded
    parts: tuple[Part, ...]
    routing: bool = False

    def __post_init__(self) -> None:
        if any(p.hearing is not None for p in self.parts) and (len(self.parts) > 1 or self.routing):
            raise MostError("hearing", len(self.parts), "is for a request of one part, without routing")


@dataclass(frozen=True, kw_only=True)
class Token:
    """A new token of a request.

    Args:
        request: the number that `Batch.add` gave it.
        part: which of the request's parts it belongs to, from 0.
        ended: why the part ended with it: `stop` where it is one of `Part.until`, `length` at the limit.
        last: whether the request ended with it.
        before: of a request with `routing`, the token that was read to choose this one, and the experts that it went
            to, those of each MoE layer; None behind the prompt.
    """

    request: int
    part: int
    id: int
    ended: Literal["", "stop", "length"] = ""
    last: bool = False
    before: tuple[int, list[list[int]]] | None = None
