"""The step `manners`: scenes are what they say, interruptions are as `most data dialogues interrupt` makes them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from most.data.dialogue.dialogue import Dialogue, Turn, read_dialogues
from most.data.dialogue.interruptions.validate import faults
from most.data.facts.breaking_in import cuts
from most.data.facts.english import sentence
from most.data.facts.manners import dialogues, unknown_questions, write_manners
from most.data.facts.settings import SCENES, MannersStep
from most.data.facts.table import relations
from most.data.facts.talk import talk
from most.data.read_aloud.sentences import normal
from most.errors import MostError
from most.evaluate.answers import contained

STEP = MannersStep(limit=400, test_limit=150)
NOT_KNOWN = talk().kinds["unknown"].keys


@pytest.fixture(scope="module")
def made():
    return {part: dialogues(STEP, part, n) for part, n in (("train", STEP.limit), ("held_out", STEP.test_limit))}


def of(made, scene):
    return [d for part in made.values() for d in part if d.meta["scene"] == scene]


def users(dialogue):
    return [t.text for t in dialogue.turns if t.role == "user"]


def phrases():
    """Every list of what users say, as (name, phrases)."""
    out = [(name, p) for name, p in talk().kinds.items()]
    out += [("frames", talk().frames), ("break in", talk().break_in), ("stop", talk().stop), ("beyond", talk().beyond)]
    out += [(listing.say, listing.ask) for listing in talk().lists]
    return out + [(f"unknown {name}", p) for name, p in talk().unknown_fillings.items()]


def test_the_same_again(tmp_path):
    for name in ("a", "b"):
        write_manners(MannersStep(limit=40, test_limit=10), tmp_path / name)
    files = ("train/dialogues.jsonl", "test/dialogues.jsonl", "test/questions.jsonl", "README.md")
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert len(list(read_dialogues(tmp_path / "a" / "train" / "dialogues.jsonl"))) == 40
    assert len(list(read_dialogues(tmp_path / "a" / "test" / "dialogues.jsonl"))) == 10


def test_all_scenes_come_and_none_twice(made):
    for part in made.values():
        assert Counter(d.meta["scene"] for d in part).keys() == SCENES.keys()
        assert len({tuple((t.text, t.interrupted_at) for t in d.turns) for d in part}) == len(part)


def test_phrases_to_test_on_are_not_those_to_train_on():
    for name, p in phrases():
        train, test = ({normal(text.replace("{question}", "")) for text in t} for t in (p.train, p.held_out))
        assert train, name
        assert test, name
        assert not train & test, name


def test_what_users_say_to_test_on_is_never_said_in_training(made):
    train, test = ({normal(text) for d in made[part] for text in users(d)} for part in ("train", "held_out"))
    assert not train & test
    assert not train & {normal(row["question"]) for row in unknown_questions()}


def test_every_turn_is_a_sentence(made):
    for part in made.values():
        for turn in (t for d in part for t in d.turns):
            assert turn.text[0].isupper(), turn.text
            assert turn.text[-1] in ".?!", turn.text
            assert not {*"{}_/0123456789"} & {*turn.text}, turn.text


def test_dialogues_can_be_spoken(made):
    pytest.importorskip("num2words")
    from most.data.dialogue.speakable import speakable

    for dialogue in made["train"][::4] + made["held_out"][::4]:
        spoken = speakable(dialogue)
        assert [" ".join(t.spoken) for t in spoken.turns] == [t.said for t in dialogue.turns]


def test_interruptions_are_those_of_the_writers(made):
    """One that is taken up again passes the checks on every writer's work; the others stop for good."""
    resumed = ended = 0
    for d in of(made, "breaking in"):
        (k,) = [k for k, t in enumerate(d.turns) if t.interrupted_at is not None]
        cut = d.turns[k]
        whole = replace(d, turns=(d.turns[0], Turn(role="assistant", text=cut.text)))
        if d.turns[-1].text.endswith(cut.text.split()[-1]):
            assert faults(whole, d) == []
            resumed += 1
        else:
            assert len(d.turns[-1].text.split()) <= 15
            ended += 1
        assert d.turns[k + 1].interrupts
        assert 0.35 < len(cut.said.split()) / len(cut.text.split()) < 0.85
    assert resumed > 10
    assert ended > 10


def test_every_list_can_be_cut_and_taken_up_again():
    for listing in talk().lists:
        text = sentence(listing.say)
        assert [c for c in cuts(text) if text[c:].startswith(", ") and not text[c:].startswith(", and ")], text
        for c in cuts(text):
            assert text[:c][-1].isalnum()


def test_what_is_said_again_is_what_was_said(made):
    shorter = 0
    for d in of(made, "again"):
        first, second = d.turns[1].text, d.turns[3].text
        if second.endswith(first):
            continue
        shorter += 1
        assert contained(first, [second])
        assert len(second) < len(first)
    assert shorter


def test_what_is_not_in_the_table_is_not_answered(made):
    for phrase in talk().kinds["unknown"].assistant:
        assert contained(phrase, NOT_KNOWN)
    for name, p in talk().unknown_fillings.items():
        assert not {*p.train, *p.held_out} & {f.subject for f in relations()[name].facts}
    for d in of(made, "unknown"):
        assert sum(contained(t.text, NOT_KNOWN) for t in d.turns if t.role == "assistant") == 1


def test_no_scene_that_was_not_asked_for():
    step = MannersStep(scenes={"social": 1.0, "again": 0.0})
    assert {d.meta["scene"] for d in dialogues(step, "train", 20)} == {"social"}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"scenes": {"socials": 1.0}}, "scenes"), ({"scenes": {"social": -1.0}}, "scenes.social"),
        ({"scenes": {"social": 0.0}}, "scenes"), ({"limit": 0}, "limit"), ({"resumed": 1.5}, "resumed"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(settings, field):
    with pytest.raises(MostError) as e:
        MannersStep(**settings)
    assert e.value.field == field


def test_the_turns_read_back(made, tmp_path):
    from most.data.dialogue.dialogue import write_dialogues

    write_dialogues(tmp_path / "d.jsonl", made["train"])
    assert list(read_dialogues(tmp_path / "d.jsonl")) == made["train"]
    assert all(isinstance(d, Dialogue) for d in made["train"])
