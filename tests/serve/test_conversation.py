"""What a talk keeps: turns as the model reads them, what was heard of an answer, and no more than it may."""

from __future__ import annotations

import numpy as np
import pytest

from most.serve.errors import Refused
from most.serve.realtime import conversation
from most.serve.realtime.conversation import Conversation, Item


def test_items_become_turns():
    talk = Conversation()
    wav = np.zeros(10, np.float32)
    for k, (role, text, sound) in enumerate(
        [("system", "Be brief.", None), ("user", "", wav), ("user", "and this", None), ("assistant", "", None),
         ("assistant", "Yes.", None), ("user", "Why?", None), ("user", "How?", None)]
    ):  # fmt: skip
        talk.add(Item(id=str(k), role=role, text=text, wav=sound))
    system, first, answer, last = talk.turns("You are kind.")
    assert system["content"][0]["text"] == "You are kind.\nBe brief."
    assert [p["type"] for p in first["content"]] == ["audio", "text", "text"], "what was said in two items is one turn"
    assert answer["content"] == [{"type": "text", "text": "Yes."}], "an answer of which nothing was heard is none"
    assert "".join(p["text"] for p in last["content"]) == "Why? How?"
    talk.delete("5")
    talk.delete("6")
    with pytest.raises(Refused, match="nothing that is not answered"):
        talk.turns("")


@pytest.mark.parametrize(("whole", "left"), [(True, "one two three four"), (False, "one two three")])
def test_an_answer_is_cut_to_what_was_heard(whole, left):
    """Of an answer that was made whole its length is known; of another it is taken from its text."""
    text = "one two three four five six"
    item = Item(id="a", role="assistant", text=text, aloud=True, seconds=1.2, whole=whole)
    item.cut(1.0)
    assert (item.text, item.status) == (left, "incomplete")
    again = Item(id="a", role="assistant", text=text, aloud=True, seconds=3.2)
    again.cut(3.2)
    assert (again.text, again.status) == (text, "completed")
    again.cut(0.0)
    assert (again.text, again.status) == ("", "incomplete")


def test_the_oldest_items_go_when_there_is_too_much(monkeypatch):
    monkeypatch.setattr(conversation, "MAX_ITEMS", 4)
    monkeypatch.setattr(conversation, "MAX_SAMPLES", 250)
    talk = Conversation()
    gone = [talk.add(Item(id=str(k), role="user", text="x")) for k in range(6)]
    assert gone == [[], [], [], [], ["0"], ["1"]]
    gone = [talk.add(Item(id=f"w{k}", role="user", wav=np.zeros(100, np.float32))) for k in range(3)]
    assert gone == [["2"], ["3"], ["4", "5", "w0"]]
    assert talk.n_samples == 200
    assert talk.add(Item(id="long", role="user", wav=np.zeros(900, np.float32))) == ["w1", "w2"]
