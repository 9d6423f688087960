"""The check on writers' work: what is right has no fault, and each fault has its case."""

from dataclasses import replace

import pytest

from most.data.dialogue.dialogue import Turn
from most.data.dialogue.interruptions.base import interrupted
from most.data.dialogue.interruptions.validate import faults

CUT = len("The old lighthouse on the northern coast was built by two brothers")


@pytest.fixture
def before(make):
    return make("d1")


def write(before, *, cut=CUT, interruption="Wait, who?", answer="Two brothers.", resumed=None):
    text = before.turns[1].text
    return interrupted(before, 1, cut, interruption, answer, f"Anyway, {text[cut:]}" if resumed is None else resumed)


def test_a_good_interruption_has_no_fault(before):
    assert faults(before, write(before)) == []


def test_case_and_commas_at_the_joint_do_not_count(before):
    assert faults(before, write(before, resumed="And it still guides ships, every night.")) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"cut": len("The old lighthouse")}, "cut too early or too late"),
        ({"cut": CUT + len(" and it still guides ships every")}, "cut too early or too late"),
        ({"resumed": "And it still shines."}, "the turn is not resumed word for word"),
        ({"answer": "", "resumed": "and it still guides ships every night."}, "no answer to the interruption"),
        ({"answer": "word " * 46}, "the answer is not brief"),
        ({"interruption": "?!"}, "the interruption says nothing"),
        ({"interruption": "word " * 26}, "the interruption is too long"),
        ({"interruption": "Here is the rewritten dialogue, go on."}, "talks about the task"),
        ({"interruption": "User: wait!"}, "talks about the task"),
        ({"answer": "As an AI language model, I stop."}, "talks about the task"),
        ({"answer": "[interrupted] Sure."}, "talks about the task"),
        ({"answer": "(pauses) Sure."}, "talks about the task"),
        ({"answer": "The user interrupts me."}, "talks about the task"),
    ],
)
def test_faults_of_the_words(before, change, fault):
    assert faults(before, write(before, **change)) == [fault]


def test_a_turn_cut_at_its_end_of_sentence(make):
    text = "The lighthouse was built by two brothers. It guides the ships home."
    before = make("d1", "Tell me.", text, "Ok.", "Yes.")
    cut = len("The lighthouse was built by two brothers.")
    assert faults(before, write(before, cut=cut)) == ["not mid-sentence"]


def test_a_turn_cut_at_its_end(before):
    after = write(before, cut=len(before.turns[1].text), resumed="That is all.")
    assert "what was said is not the beginning of the turn" in faults(before, after)


def change_turn(dialogue, k, **fields):
    turns = list(dialogue.turns)
    turns[k] = replace(turns[k], **fields)
    return replace(dialogue, turns=tuple(turns))


def test_other_turns_may_not_change(before):
    after = write(before)
    assert faults(before, change_turn(after, 0, text="Tell me.")) == ["other turns were changed"]
    assert faults(before, change_turn(after, 4, text="Thanks.")) == ["other turns were changed"]


def test_the_interrupted_turn_may_not_change(before):
    text = before.turns[1].text.replace("old", "new")
    found = faults(before, change_turn(write(before), 1, text=text))
    assert found == ["what was said is not the beginning of the turn"]


def test_turns_may_not_be_added_or_lost(before):
    after = write(before)
    longer = replace(after, turns=(*after.turns, Turn(role="user", text="More?"), Turn(role="assistant", text="No.")))
    assert faults(before, longer) == ["turns were added or lost"]
    assert faults(before, replace(after, turns=after.turns[:-2])) == ["turns were added or lost"]


def test_exactly_one_interruption(before):
    assert faults(before, before) == ["0 interruptions instead of one"]
    turns = list(write(before).turns)
    turns[3:5] = replace(turns[3], interrupted_at=5), replace(turns[4], interrupts=True)
    assert faults(before, replace(before, turns=tuple(turns))) == ["2 interruptions instead of one"]


@pytest.mark.parametrize("field", ["id", "source", "licence", "topic"])
def test_whose_it_is_may_not_change(before, field):
    assert faults(before, replace(write(before), **{field: "x"})) == ["id, source, licence or topic was changed"]


def test_words_about_the_task_that_were_there_already_are_let_pass(make):
    text = "A language model reads many books about old lighthouses and then it writes one of its own about them."
    before = make("d1", "What does it do?", text, "Thank you.", "You're welcome.")
    cut = len("A language model reads many books about old lighthouses")
    assert faults(before, write(before, cut=cut, resumed=f"So, a language model reads many books {text[cut:]}")) == []
