"""Small dialogues written by hand."""

from __future__ import annotations

import pytest

from most.data.dialogue.dialogue import Dialogue, Turn
from most.data.dialogue.sources import read_shipped

LONG = "The old lighthouse on the northern coast was built by two brothers and it still guides ships every night."
"""An assistant's turn of 19 words that can be interrupted."""


def dialogue(id: str, *texts: str, **fields) -> Dialogue:
    """Turns of user and assistant alternately."""
    texts = texts or ("Tell me about the lighthouse.", LONG, "Thank you.", "You're welcome.")
    roles = ("user", "assistant")
    turns = tuple(Turn(role=roles[k % 2], text=t) for k, t in enumerate(texts))
    return Dialogue(id=id, turns=turns, **{"source": "tests", "licence": "CC0-1.0", "topic": "sights", **fields})


@pytest.fixture(scope="session")
def shipped():
    return list(read_shipped())


@pytest.fixture(scope="session")
def make():
    """A dialogue of these texts by turns, or of four turns whose second can be interrupted."""
    return dialogue
