"""The seam: what writes one interruption into a dialogue, and the table of writers by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from numpy.random import Generator

from most.data.dialogue.collected import Rejection
from most.data.dialogue.dialogue import Dialogue, Turn
from most.errors import MostError, nearest

CUT_BETWEEN = (0.4, 0.8)
"""Shares of an assistant's turn, in words, between which it is cut. Source: the paper's interruptions."""
MIN_WORDS = 12
"""Of a turn that is interrupted: a shorter one is over before anybody breaks in."""


class InterruptionWriter(Protocol):
    """Writes ONE interruption into a dialogue. `parallel` is how many dialogues it may be given at once.

    `write` is deterministic in the dialogue and `rng` where the writer has no model behind it. It returns a `Rejection`
    for what ends with this dialogue, and raises MostError for what would fail with every one.
    """

    @property
    def name(self) -> str: ...
    @property
    def parallel(self) -> int: ...
    def settings(self) -> dict[str, Any]:
        """What decides the result, as JSON values; a run that goes on must have the same."""
        ...

    def write(self, dialogue: Dialogue, rng: Generator) -> Dialogue | Rejection: ...


def interrupted(
    dialogue: Dialogue, turn: int, cut: int, interruption: str, answer: str, resumed: str, **meta: Any
) -> Dialogue:
    """The dialogue with an interruption of assistant's turn `turn` behind `cut` characters.

    The interrupted turn keeps its text; a user's turn breaks in; the assistant's next turn is `answer` and `resumed`.
    """
    before, old, after = dialogue.turns[:turn], dialogue.turns[turn], dialogue.turns[turn + 1 :]
    new = (
        replace(old, interrupted_at=cut, spoken=()),
        Turn(role="user", text=interruption.strip(), interrupts=True),
        Turn(role="assistant", text=f"{answer.strip()} {resumed.strip()}"),
    )
    return replace(
        dialogue, turns=(*before, *new, *after), meta={**dialogue.meta, "interruption": {"turn": turn, **meta}}
    )


def interruptible(dialogue: Dialogue) -> list[int]:
    """Assistant's turns long enough to be interrupted, by index."""
    return [k for k, t in enumerate(dialogue.turns) if t.role == "assistant" and len(t.text.split()) >= MIN_WORDS]


def make_writer(name: str, **settings: Any) -> InterruptionWriter:
    """The writer of this name.

    Raises:
        MostError: an unknown name, or settings that do not fit.
    """
    if name not in WRITERS:
        raise MostError("writer", name, nearest(name, WRITERS))
    return WRITERS[name](**settings)


def _rules(**settings: Any) -> InterruptionWriter:
    from most.data.dialogue.interruptions.rules import RuleWriter

    return RuleWriter(**settings)


def _endpoint(**settings: Any) -> InterruptionWriter:
    from most.data.dialogue.interruptions.chat import EndpointChat, EndpointSettings
    from most.data.dialogue.interruptions.llm import LlmWriter

    return LlmWriter(EndpointChat(EndpointSettings(**settings)))


def _local(**settings: Any) -> InterruptionWriter:
    from most.data.dialogue.interruptions.chat import LocalChat, LocalSettings
    from most.data.dialogue.interruptions.llm import LlmWriter

    return LlmWriter(LocalChat(LocalSettings(**settings)))


WRITERS: dict[str, Callable[..., InterruptionWriter]] = {"rules": _rules, "endpoint": _endpoint, "local": _local}
