"""The writer that needs no model: deterministic, always valid, and fluent where it takes the thread up again."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from most.data.dialogue.collected import Rejection
from most.data.dialogue.interruptions.base import CUT_BETWEEN, interrupted, make_writer
from most.data.dialogue.interruptions.phrases import BRIDGES, KINDS
from most.data.dialogue.interruptions.rules import RuleWriter, cuts_of
from most.data.dialogue.interruptions.validate import MAX_ANSWER_WORDS, MAX_INTERRUPTION_WORDS, faults, words_of
from most.errors import MostError


def write(dialogue, seed=0):
    return make_writer("rules").write(dialogue, np.random.default_rng(seed))


def test_the_seed_decides(shipped):
    first = [write(d, 1) for d in shipped[:30]]
    assert first == [write(d, 1) for d in shipped[:30]]
    assert first != [write(d, 2) for d in shipped[:30]]


def test_every_result_on_the_shipped_set_is_valid(shipped):
    results = [write(d, seed) for seed, d in enumerate(shipped * 2)]
    done = [(d, r) for d, r in zip(shipped * 2, results, strict=True) if not isinstance(r, Rejection)]
    assert len(done) >= 0.85 * len(results)
    for before, after in done:
        assert faults(before, after) == []
        assert after.meta["interruption"]["writer"] == "rules"
    assert {after.meta["interruption"]["kind"] for _, after in done} == set(KINDS)


_WORDS = """
    I we the a my film actor music plays sings and but because that is really loved in with of it. Yes, well, end. why?
    "Jaws" 1999 U.S. don't NASA — (or not)
"""
WORDS = st.lists(st.sampled_from(_WORDS.split()), min_size=12, max_size=60).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(WORDS, st.integers(0, 99))
def test_any_result_is_valid(make, text, seed):
    before = make("d", "Well?", text, "Right.", "Yes.")
    after = write(before, seed)
    if isinstance(after, Rejection):
        assert after.reasons
    else:
        assert faults(before, after) == []


@pytest.mark.parametrize(
    ("text", "said", "again"),
    [
        # a clause behind a comma or a conjunction stands alone
        ("Honestly the first one was great, but I think the special effects will be better.",
         "Honestly the first one was great, but I think the special effects", "I think the special effects"),
        # what ties a sentence to the one before is not said again
        ("That is a fine idea of yours. But I've been meaning to see the new film.",
         "That is a fine idea of yours. But I've been meaning", "I've been meaning"),
        # a sentence's beginning loses its capital only if it is an ordinary word
        ("It surely must be said. The way they play music in there is lovely to me.",
         "It surely must be said. The way they play music", "the way they play music"),
    ],
)  # fmt: skip
def test_where_the_thread_is_taken_up(text, said, again):
    assert (said, again) in [(text[: cut.at], cut.again) for cut in cuts_of(text, 1, CUT_BETWEEN)]


def test_fragments_are_not_taken_up():
    for text in (
        "Ovechkin is so mad that they lost in the second round again last year.",
        "She focuses on the vocals, instead of the beats with this one here.",
    ):
        for cut in cuts_of(text, 1, (0, 1)):
            assert not cut.again.startswith(("mad", "that they lost", "instead"))


def test_no_cut_inside_a_quotation_or_behind_a_small_word():
    text = 'My favorite film is "Get Him To The Greek" and it was always very funny to watch.'
    for cut in cuts_of(text, 1, (0, 1)):
        said = text[: cut.at]
        assert said.count('"') % 2 == 0
        assert said.split()[-1].lower() not in {"the", "is", "it", "was", "very", "to", "and"}


def test_what_was_named_is_turned_round(make):
    text = "It is hard to say so early but we should ask my brother if he wants to come along too."
    named = {cut.named for cut in cuts_of(text, 1, (0, 1)) if cut.named}
    assert named == {"my brother"}
    before = make("d", "Well?", text, "Right.", "Yes.")
    for seed in range(60):
        after = write(before, seed)
        if after.meta["interruption"]["kind"] == "clarify":
            assert "your brother" in after.turns[2].text.lower()
            assert "your brother" not in after.turns[3].text.lower()


def test_remarks_do_not_answer_questions(make):
    text = "Did you ever go back to that old lighthouse and see the brothers who had built it for the town?"
    before = make("d", "Well?", text, "Right.", "Yes.")
    kinds = {write(before, seed).meta["interruption"]["kind"] for seed in range(40)}
    assert "react" not in kinds
    assert len(kinds) > 1


def test_reasons(make):
    assert write(make("d", "Hi.", "Hello.")).reasons == ("no assistant's turn is long enough",)
    assert write(make("d", "Hi.", "so " * 14)).reasons == ("no good place to cut",)
    before = make("d")
    again = interrupted(before, 1, 50, "Wait.", "Sure.", before.turns[1].text[50:])
    assert write(again).reasons == ("is interrupted already",)


def test_phrases_are_short_and_complete():
    assert len({asked for pairs in KINDS.values() for asked, _ in pairs}) == sum(map(len, KINDS.values())) >= 40
    longest_bridge = max(len(words_of(b)) for b in BRIDGES)
    for pairs in KINDS.values():
        for asked, answer in pairs:
            assert set(re.findall(r"\{(\w+)\}", asked + answer)) <= {"np", "your", "Your"}
            assert len(words_of(asked)) + 3 <= MAX_INTERRUPTION_WORDS
            assert len(words_of(answer)) + 3 + longest_bridge + 12 <= MAX_ANSWER_WORDS, "a clause of 12 is said again"


def test_settings_change_with_the_table(monkeypatch):
    before = RuleWriter().settings()
    monkeypatch.setitem(KINDS, "pause", KINDS["pause"][1:])
    assert RuleWriter().settings() != before


def test_an_unknown_writer():
    with pytest.raises(MostError, match="did you mean 'rules'"):
        make_writer("rule")
