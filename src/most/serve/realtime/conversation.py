"""What was said in a talk: its items in order, and the turns that a model is asked to answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from most.generate.chat import heard_text, spoken_seconds
from most.serve.errors import Refused

Role = Literal["system", "user", "assistant"]
MAX_ITEMS, MAX_SAMPLES = 400, 600 * 16000
"""Of one talk: what a client may make a server keep."""


@dataclass
class Item:
    """One message.

    Args:
        text, wav: what it holds; of a spoken turn (T,) float32 at the model's rate.
        transcript: of `wav`.
        seconds: of an answer's sound, as far as it was heard; `sent_seconds` of all that was sent.
        whole: whether all of an answer's sound was made.
    """

    id: str
    role: Role
    text: str = ""
    wav: np.ndarray | None = None
    transcript: str = ""
    seconds: float = 0.0
    sent_seconds: float = 0.0
    whole: bool = True
    aloud: bool = False
    status: Literal["in_progress", "completed", "incomplete"] = "completed"

    def content(self) -> list[dict[str, Any]]:
        """As clients read it."""
        if self.role == "assistant":
            return [
                {"type": "output_audio", "transcript": self.text} if self.aloud else _text("output_text", self.text)
            ]
        if self.wav is not None:
            return [{"type": "input_audio", "transcript": self.transcript or None}]
        return [_text("input_text", self.text)]

    def row(self) -> dict[str, Any]:
        return {
            "id": self.id, "object": "realtime.item", "type": "message", "role": self.role, "status": self.status,
            "content": self.content(),
        }  # fmt: skip

    def parts(self) -> list[dict[str, Any]]:
        """As the model reads it."""
        if self.wav is not None:
            return [{"type": "audio", "audio": self.wav}]
        return [{"type": "text", "text": self.text}]

    def cut(self, heard_seconds: float) -> None:
        """Leave of an answer what was heard of it; one of which nothing was heard is no turn."""
        if heard_seconds <= 0:
            self.text, self.status, self.seconds, self.whole = "", "incomplete", 0.0, True
            return
        made = spoken_seconds(self.text, self.seconds, whole=self.whole)
        if self.text and heard_seconds < made:
            self.text, self.status = heard_text(self.text, heard_seconds / made), "incomplete"
            self.seconds, self.whole = heard_seconds, True


@dataclass
class Conversation:
    """Items, oldest first."""

    items: list[Item] = field(default_factory=list)

    def add(self, item: Item, after: str | None = None) -> list[str]:
        """Put an item at the end, or behind another. Returns the ids of the oldest ones, which had to go."""
        if any(i.id == item.id for i in self.items):
            raise Refused(400, f"item.id: {item.id!r}: is taken", param="item.id")
        at = len(self.items) if after is None else 0 if after == "root" else self.items.index(self.find(after)) + 1
        self.items.insert(at, item)
        gone = []
        while len(self.items) > 1 and (len(self.items) > MAX_ITEMS or self.n_samples > MAX_SAMPLES):
            gone.append(self.items.pop(0).id)
        return gone

    @property
    def n_samples(self) -> int:
        """Of all spoken turns."""
        return sum(len(i.wav) for i in self.items if i.wav is not None)

    def find(self, item_id: str) -> Item:
        """Raises Refused where there is none."""
        for item in self.items:
            if item.id == item_id:
                return item
        raise Refused(400, f"item_id: {item_id!r}: no such item in this conversation", param="item_id")

    def delete(self, item_id: str) -> None:
        self.items.remove(self.find(item_id))

    def turns(self, instructions: str) -> list[dict[str, Any]]:
        """Turns up to the user's last, as the model reads them: what one side said in several items is one turn.

        Raises:
            Refused: there is nothing to answer.
        """
        turns: list[dict[str, Any]] = []
        system = [instructions] if instructions else []
        for item in self.items:
            if item.role == "system":
                system.append(item.text)
            elif item.role == "assistant" and not item.text:
                continue
            elif turns and turns[-1]["role"] == item.role:
                apart = [{"type": "text", "text": " "}] if item.wav is None else []
                turns[-1]["content"] += apart + item.parts()
            else:
                turns.append({"role": item.role, "content": item.parts()})
        if not turns or turns[-1]["role"] != "user":
            raise Refused(400, "response: the user has said nothing that is not answered", code="nothing_to_answer")
        head = [{"role": "system", "content": [{"type": "text", "text": "\n".join(system)}]}] if system else []
        return head + turns


def _text(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": text}
