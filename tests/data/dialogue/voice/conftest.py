"""Dialogues and recipes over a stand-in voice."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from most.data.dialogue.dialogue import Dialogue, Turn, write_dialogues
from most.data.dialogue.voice.recipe import SpeakRecipe
from most.settings import build

TONES = Path(__file__).with_name("tones.py")


def said(role: str, *chunks: str, **more) -> Turn:
    return Turn(role=role, text=" ".join(chunks), spoken=chunks, **more)  # type: ignore[arg-type]


def plain_dialogue(id: str, n_pairs: int = 2) -> Dialogue:
    turns = []
    for k in range(n_pairs):
        turns.append(said("user", f"What is number {k} called in the language of {id}?"))
        turns.append(
            said("assistant", "It has a name that takes a while to say.", "Nobody uses it any more these days.")
        )
    return Dialogue(id=id, turns=tuple(turns), source="tests", licence="CC0-1.0", topic="numbers")


def interrupted_dialogue(id: str) -> Dialogue:
    text = "The river rises in the hills and then it runs a long way through"
    return Dialogue(
        id=id, source="tests", licence="CC0-1.0",
        turns=(
            said("user", "Tell me about the river."),
            Turn(role="assistant", text=text + " the plain to the sea.", spoken=(text,), interrupted_at=len(text)),
            said("user", "Wait, which hills do you mean?", interrupts=True),
            said("assistant", "The northern ones."),
        ),
    )  # fmt: skip


@pytest.fixture
def make_recipe(tmp_path, tones):
    """A recipe over the stand-in voice; keyword arguments are its keys. `written` also puts it on disk."""

    def make(dialogues, written: Path | None = None, **keys):
        write_dialogues(tmp_path / "dialogues.jsonl", dialogues)
        tree = {
            "dialogues": str(tmp_path / "dialogues.jsonl"), "output": str(tmp_path / "out"),
            "voices": [{"kind": "tones"}], "gate": {"judge": "none"}, "retry_seconds": 0.0,
            "barge_ins": {"share": 0.0}, "back_channels": {"share": 0.0}, **keys,
        }  # fmt: skip
        if written is not None:
            written.write_text(yaml.safe_dump(tree))
        return build(SpeakRecipe, tree, "recipe")

    return make
