"""Documents and multiple-choice questions in their published forms; a wrong line is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from most.errors import MostError
from most.evaluate.sets.base import SetSettings
from most.evaluate.sets.text import Choices, Document, read_choices, read_documents
from most.manifest import Example, Turn, write_jsonl


def lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def settings(kind: str, path: Path, **options: object) -> SetSettings:
    return SetSettings(kind=kind, path=str(path), options=options)


def test_documents(tmp_path):
    path = lines(tmp_path / "held.jsonl", [{"text": "one two"}, {"text": "Beyoncé", "more": 1}])
    documents, info = read_documents(settings("perplexity", path, licence="CC0"))
    assert documents == [Document(id="1", text="one two"), Document(id="2", text="Beyoncé")]
    assert documents[1].n_bytes == 8
    assert (info.name, info.licence) == ("held", "CC0")


def test_documents_of_a_manifest(tmp_path):
    ask = Turn(role="user", text="Say: one")
    examples = [
        Example(id="a", task="text", turns=(Turn(role="document", text="one two"),)),
        Example(id="b", task="dialogue", turns=(ask, Turn(role="assistant", text="one"))),
        Example(id="c", task="text", turns=(Turn(role="document", text="three"),)),
    ]
    write_jsonl(tmp_path / "m.jsonl", examples)
    documents, _ = read_documents(settings("perplexity", tmp_path / "m.jsonl"))
    assert documents == [Document(id="a", text="one two"), Document(id="c", text="three")]
    write_jsonl(tmp_path / "none.jsonl", examples[1:2])
    with pytest.raises(MostError, match="no text document"):
        read_documents(settings("perplexity", tmp_path / "none.jsonl"))


@pytest.mark.parametrize("row", [{"body": "x"}, {"text": " "}, {"text": 3}])
def test_a_line_without_text_is_named(tmp_path, row):
    path = lines(tmp_path / "held.jsonl", [{"text": "one"}, row])
    with pytest.raises(MostError, match=r"held\.jsonl:2"):
        read_documents(settings("perplexity", path))


def test_own_questions(tmp_path):
    rows = [
        {"id": "q1", "question": "one two", "choices": ["three", "four"], "answer": 0},
        {"question": "five", "choices": ["one", "six", "two"], "answer": "six"},
    ]
    path = lines(tmp_path / "q.jsonl", rows)
    items, info = read_choices(settings("choices", path, name="counting", prompt="{question}"))
    assert items == [
        Choices(id="q1", context="one two", choices=("three", "four"), answer=0),
        Choices(id="1", context="five", choices=("one", "six", "two"), answer=1),
    ]
    assert info.name == "counting"
    assert read_choices(settings("choices", path))[0][0].context == "Question: one two\nAnswer:"


ARC_HUB = {
    "id": "Mercury_7220990", "question": "Which factor will most likely cause a fever?", "answerKey": "B",
    "choices": {"text": ["a leg muscle", "a bacterial population"], "label": ["A", "B"]},
}  # fmt: skip
ARC_FILE = {
    "id": "Mercury_7220990", "answerKey": "B",
    "question": {"stem": ARC_HUB["question"], "choices": [
        {"text": "a leg muscle", "label": "A"}, {"text": "a bacterial population", "label": "B"}]},
}  # fmt: skip


@pytest.mark.parametrize("row", [ARC_HUB, ARC_FILE])
def test_arc_as_the_hub_and_as_its_authors_have_it(tmp_path, row):
    items, info = read_choices(settings("choices", lines(tmp_path / "arc.jsonl", [row]), layout="arc"))
    context = "Question: Which factor will most likely cause a fever?\nAnswer:"
    choices = ("a leg muscle", "a bacterial population")
    assert items == [Choices(id="Mercury_7220990", context=context, choices=choices, answer=1)]
    assert info.name == "ARC-Easy"


def test_piqa_with_labels_beside_it(tmp_path):
    rows = [{"goal": "open a jar", "sol1": "turn the lid", "sol2": "shake it"}] * 2
    path = lines(tmp_path / "valid.jsonl", rows)
    (tmp_path / "valid-labels.lst").write_text("0\n1\n")
    items, _ = read_choices(settings("choices", path, layout="piqa"))
    assert [(x.context, x.choices, x.answer) for x in items] == [
        ("Question: open a jar\nAnswer:", ("turn the lid", "shake it"), k) for k in (0, 1)
    ]
    (tmp_path / "valid-labels.lst").write_text("0\n")
    with pytest.raises(MostError, match="1 labels for 2 questions"):
        read_choices(settings("choices", path, layout="piqa"))
    lines(path, [rows[0] | {"label": 1}])
    (tmp_path / "valid-labels.lst").unlink()
    assert read_choices(settings("choices", path, layout="piqa"))[0][0].answer == 1


def test_hellaswag_loses_wikihows_markup(tmp_path):
    row = {
        "ind": 24, "activity_label": "Roof shingle removal", "ctx_a": "A man is sitting on a roof.", "ctx_b": "he",
        "endings": ["is using wrap.", "is ripping [substeps] tiles off.", "[title] Stop  now.", "holds a cube."],
        "label": "3",
    }  # fmt: skip
    items, _ = read_choices(settings("choices", lines(tmp_path / "h.jsonl", [row]), layout="hellaswag"))
    assert items[0].context == "Roof shingle removal: A man is sitting on a roof. He"
    # What lm-evaluation-harness makes of the same rows, a leading space where an ending begins with [title] included.
    assert items[0].choices == ("is using wrap.", "is ripping tiles off.", " Stop now.", "holds a cube.")
    assert (items[0].id, items[0].answer) == ("24", 3)


def test_a_dataset_by_folder(tmp_path):
    datasets = pytest.importorskip("datasets")
    splits = {"train": datasets.Dataset.from_list([ARC_HUB]), "test": datasets.Dataset.from_list([ARC_HUB] * 2)}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "arc")
    items, _ = read_choices(settings("choices", tmp_path / "arc", layout="arc"))
    assert [(x.id, x.answer) for x in items] == [("0-Mercury_7220990", 1), ("1-Mercury_7220990", 1)]
    assert len(read_choices(settings("choices", tmp_path / "arc", layout="arc", split="train"))[0]) == 1
    with pytest.raises(MostError, match="test"):
        read_choices(settings("choices", tmp_path / "arc", layout="arc", split="tests"))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "one", "choices": ["a", "b"]}, r"q\.jsonl:1.*answer"),
        ({"question": "one", "choices": ["a", "b"], "answer": 2}, r"q\.jsonl:1.*not 2"),
        ({"question": "one", "choices": ["a", "b"], "answer": "c"}, r"q\.jsonl:1"),
        ({"question": "one", "choices": ["a"], "answer": 0}, r"q\.jsonl:1.*two choices"),
        ({"question": "one", "choices": ["a", ""], "answer": 0}, r"q\.jsonl:1.*two choices"),
    ],
)
def test_a_question_of_another_form_is_named(tmp_path, row, message):
    with pytest.raises(MostError, match=message):
        read_choices(settings("choices", lines(tmp_path / "q.jsonl", [row])))


def test_refusals(tmp_path):
    with pytest.raises(MostError, match="no such file"):
        read_documents(settings("perplexity", tmp_path / "none.jsonl"))
    with pytest.raises(MostError, match="no such file"):
        read_choices(settings("choices", tmp_path / "none.jsonl"))
    with pytest.raises(MostError, match="layout"):
        read_choices(settings("choices", tmp_path, layout="arq"))
    with pytest.raises(MostError, match="question"):
        read_choices(settings("choices", tmp_path, prompt="Answer:"))
    empty = lines(tmp_path / "empty.jsonl", [])
    with pytest.raises(MostError, match="no question"):
        read_choices(settings("choices", empty))
