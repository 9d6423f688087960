"""The step `facts`: the same bytes again, tests apart from training, and files that the other steps read."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from most.data.build.recipe import BuildRecipe
from most.data.build.run import build_data
from most.data.dialogue.dialogue import read_dialogues
from most.data.dialogue.voice.recipe import VoiceSettings
from most.data.facts.build import held_out_questions, training_dialogues, write_facts
from most.data.facts.settings import FactsStep
from most.data.facts.table import relations
from most.data.facts.talk import talk
from most.data.read_aloud.sentences import normal
from most.data.stand_ins.questions import choose
from most.data.stand_ins.recipe import SpokenQaRecipe
from most.errors import MostError
from most.evaluate.answers import contained

FEW = FactsStep(relations=("capitals", "sums", "months in order", "young"), wordings=3, multi_turn=0.5)


def rows(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("facts")
    return out, write_facts(FactsStep(), out)


def test_the_same_again(tmp_path):
    for name in ("a", "b"):
        write_facts(FEW, tmp_path / name)
    write_facts(FactsStep(**{**vars(FEW), "seed": 1}), tmp_path / "c")
    for file in ("train/dialogues.jsonl", "test/questions.jsonl", "table.jsonl", "README.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    changed = [(tmp_path / name / "train" / "dialogues.jsonl").read_bytes() for name in "ac"]
    assert changed[0] != changed[1]


def test_every_fact_is_asked_in_as_many_wordings(made):
    """Questions that lean on the one before come on top."""
    out, counts = made
    asked = Counter(fact for d in read_dialogues(out / "train" / "dialogues.jsonl") for fact in d.meta["facts"])
    ids = [row["fact"] for row in rows(out / "table.jsonl")]
    assert set(asked) == set(ids)
    assert min(asked.values()) == 6
    assert counts["questions"] == sum(asked.values())


def test_no_test_wording_is_in_training(made):
    """Not the question, and not its wording about anything else."""
    out, _ = made
    said = {normal(t.text) for d in read_dialogues(out / "train" / "dialogues.jsonl") for t in d.turns}
    frames = [normal(f.replace("{question}", "")) for f in talk().frames.held_out]
    for row in rows(out / "test" / "questions.jsonl"):
        assert normal(row["question"]) not in said
    assert not [text for text in said for f in frames if len(f.split()) > 1 and text.startswith(f"{f} ")]


def test_no_test_question_names_its_answer(made):
    out, counts = made
    found = rows(out / "test" / "questions.jsonl")
    assert len(found) == counts["test questions"] > 0.95 * counts["facts"]
    assert not [row for row in found if contained(row["question"], row["answers"])]
    assert len({normal(row["question"]) for row in found}) == len(found)
    assert {row["relation"] for row in found} == relations().keys() - {"months in order"}


def test_spoken_qa_reads_all_of_them(made, tmp_path):
    out, counts = made
    voice = VoiceSettings(kind="flite", names=("slt",))
    recipe = SpokenQaRecipe(output=tmp_path, voices=(voice,), source=out / "test" / "questions.jsonl")
    chosen = choose(recipe)
    assert len(chosen.items) == counts["test questions"]
    assert [i.row["answers"] for i in chosen.items] == [r["answers"] for r in rows(recipe.source)]


def test_dialogues_can_be_spoken(made):
    pytest.importorskip("num2words")
    from most.data.dialogue.speakable import speakable

    out, _ = made
    for k, dialogue in enumerate(read_dialogues(out / "train" / "dialogues.jsonl")):
        if k % 50 == 0:
            spoken = speakable(dialogue)
            assert [" ".join(t.spoken) for t in spoken.turns] == [t.text for t in dialogue.turns]


def test_one_and_several_questions(made):
    out, _ = made
    n = Counter(len(d.meta["facts"]) for d in read_dialogues(out / "train" / "dialogues.jsonl"))
    assert set(n) == {1, 2, 3}
    assert 0.27 < (n[2] + n[3]) / n.total() < 0.33


def test_a_larger_limit_only_adds():
    table = [relations()[name] for name in FEW.relations]
    everything = list(training_dialogues(FEW, table))
    counts = {}
    for n in (5, 9):
        step = FactsStep(**{**vars(FEW), "limit": n, "test_limit": n})
        counts[n] = {row["id"] for row in held_out_questions(step, table)}
        assert len(counts[n]) == n
    assert counts[5] < counts[9]
    assert len({d.id for d in everything}) == len(everything)


def test_more_or_fewer_wordings_of_a_relation():
    table = [relations()[name] for name in FEW.relations]
    step = FactsStep(**{**vars(FEW), "wordings_of": {"sums": 1, "young": 0}, "multi_turn": 0.0})
    asked = Counter(d.meta["facts"][0].split("-")[0] for d in training_dialogues(step, table))
    assert asked == {"capitals": 3 * 66, "sums": 100, "months": 30}


def test_sums_are_asked_in_either_order():
    table = [relations()["sums"]]
    step = FactsStep(relations=("sums",), wordings=8, multi_turn=0.0)
    asked = [d.turns[0].text.lower() for d in training_dialogues(step, table) if d.meta["facts"] == ["sums-two-nine"]]
    orders = Counter(text.index("two") < text.index("nine") for text in asked)
    assert orders == {True: 4, False: 4}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"relations": ("capital",)}, "relations"), ({"wordings": 0}, "wordings"), ({"multi_turn": 2}, "multi_turn"),
        ({"wordings_of": {"sum": 1}}, "wordings_of"), ({"limit": 0}, "limit"), ({"test_limit": 0}, "test_limit"),
        ({"wordings_of": {"sums": -1}}, "wordings_of.sums"), ({"test_wordings": 0}, "test_wordings"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(settings, field):
    with pytest.raises(MostError) as e:
        FactsStep(**settings)
    assert e.value.field == field


def test_as_steps_of_a_build(tmp_path):
    steps = {
        "facts": {"verb": "facts", "relations": ["capitals", "planets"], "wordings": 4},
        "manners": {"verb": "manners", "limit": 20, "test_limit": 5},
        "text": {"verb": "text-dialogues", "dialogues": "@facts/train/dialogues.jsonl"},
    }
    said: list[str] = []
    recipe = BuildRecipe(output=tmp_path / "data", steps=steps)
    build_data(recipe, dry_run=True, echo=said.append)
    estimate = int(next(line for line in said if " text (" in line).split("about ")[1].split()[0])
    summary = build_data(recipe, echo=said.append)
    n = summary["steps"]["text"]["examples"]["train.jsonl"]["tasks"]["dialogue"]
    assert 0.85 < estimate / n < 1.15
    assert len(rows(tmp_path / "data" / "manners" / "train" / "dialogues.jsonl")) == 20
    again = build_data(recipe, echo=said.append)
    assert again == summary
