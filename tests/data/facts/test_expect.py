"""What right replies hold: all of the generator's own, no reply to anything else, not the user's turn said again."""

from __future__ import annotations

from collections import Counter

import pytest

from most.data.dialogue.dialogue import Turn
from most.data.facts.expect import Exchange, expected
from most.data.facts.manners import dialogues, write_manners
from most.data.facts.settings import SCENES, MannersStep
from most.data.facts.talk import talk
from most.evaluate.answers import contained

STEP = MannersStep(test_limit=300, seed=5)


@pytest.fixture(scope="module")
def held_out():
    return dialogues(STEP, "held_out", STEP.test_limit)


@pytest.fixture(scope="module")
def checked(held_out):
    return [d for d in held_out if "expect" in d.meta]


def exchange(user, assistant, *right, **more):
    turns = {"user": Turn(role="user", text=user), "assistant": Turn(role="assistant", text=assistant)}
    return Exchange(**turns, right=right, **more)


def test_keys_tell_the_replies_of_a_kind_from_all_others():
    kinds = {**talk().kinds, "stop": talk().stop}
    said = {name: p.assistant for name, p in kinds.items() if "{" not in "".join(p.assistant)}
    assert said.keys() == {"greeting", "who", "ability", "thanks", "goodbye", "unknown", "stop"}
    for name in said:
        for other, replies in said.items():
            assert {contained(reply, kinds[name].keys) for reply in replies} == {other == name}, (name, other)


def test_only_dialogues_to_test_on_say_what_is_expected(tmp_path):
    step = MannersStep(limit=60, test_limit=60)
    write_manners(step, tmp_path)
    assert {key for d in dialogues(step, "train", 60) for key in d.meta} == {"scene"}
    assert '"expect"' not in (tmp_path / "train" / "dialogues.jsonl").read_text()
    n = (tmp_path / "test" / "dialogues.jsonl").read_text().count('"expect"')
    assert f"{n} of 60 have `meta.expect`" in (tmp_path / "README.md").read_text()


def test_own_replies_are_right_and_saying_the_turn_again_is_not(checked, held_out):
    assert Counter(d.meta["scene"] for d in checked).keys() == SCENES.keys()
    assert 0.9 < len(checked) / len(held_out) < 1
    for d in checked:
        assert contained(d.turns[-1].text, d.meta["expect"])
        assert not contained(d.turns[-2].text, d.meta["expect"]), d.turns[-2].text


def test_replies_to_something_else_are_mostly_wrong(checked):
    """Each dialogue is given the reply of the one seven places on."""
    others = [*checked[7:], *checked[:7]]
    right = sum(contained(o.turns[-1].text, d.meta["expect"]) for d, o in zip(checked, others, strict=True))
    assert right / len(checked) < 0.25


def test_the_thread_is_what_was_not_yet_said(checked):
    threads = [d for d in checked if "thread" in d.meta]
    assert len(threads) > 10
    for d in threads:
        cut = d.turns[-3]
        assert contained(d.turns[-1].text, [d.meta["thread"]])
        assert contained(cut.text, [d.meta["thread"]])
        assert not contained(cut.said, [d.meta["thread"]])
    taken_up = [d for d in checked if d.meta["scene"] == "breaking in" and len(d.turns[-1].text.split()) > 15]
    assert all("thread" in d.meta for d in taken_up)


def test_phrases_of_the_user_do_not_count():
    assert expected(exchange("Hello, hello.", "Hi! I'm listening.", "hello", "hi")) == {"expect": ["hi"]}
    both = exchange("Okay, enough.", "Sure, I'll stop.", "okay", "I'll stop", thread="on we go")
    assert expected(both) == {"expect": ["I'll stop"], "thread": "on we go"}


def test_nothing_is_expected_where_a_right_reply_would_be_wrong():
    assert expected(exchange("Okay, enough.", "Sure, I'll stop.", "okay", "I'll stop", replies=("okay.",))) == {}
    assert expected(exchange("In one or two words, please.", "Two.", "two", "2")) == {}
    assert expected(exchange("Hello.", "Hm.")) == {}
