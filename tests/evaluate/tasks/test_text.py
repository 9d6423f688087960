"""Perplexity and multiple choice on real tiny models: against transformers' own loss, at several batch sizes."""

from __future__ import annotations

import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from most.errors import MostError
from most.evaluate.most_subject import MostSubject
from most.evaluate.sets.base import SetSettings
from most.evaluate.tasks.text import Settings, make
from most.evaluate.text_subject import TextSubject

DOCUMENTS = ["one two three", "after three comes four", "Say: four five six", "café"]
QUESTIONS = [
    {"id": "a", "question": "one two", "choices": ["three", "four five six"], "answer": 0},
    {"id": "b", "question": "after three comes", "choices": ["four", "six", "one two"], "answer": 2},
    {"id": "c", "question": "four five", "choices": ["six", "café"], "answer": 1},
]


def task_of(tmp_path, kind, **settings):
    rows = [{"text": t} for t in DOCUMENTS] if kind == "perplexity" else QUESTIONS
    path = tmp_path / f"{kind}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return make(Settings(set=SetSettings(kind=kind, path=str(path)), **settings), kind)


@pytest.fixture(scope="module")
def subjects(tiny_most, tiny_codec):
    backbone = tiny_most.parent / "backbone"
    return {
        n: (TextSubject.load(backbone, batch_size=n), MostSubject.load(tiny_most, codec=tiny_codec, batch_size=n))
        for n in (1, 3, 8)
    }


def test_perplexity_is_exp_of_transformers_loss(tmp_path, subjects, tiny_most):
    backbone = tiny_most.parent / "backbone"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(backbone).eval(), AutoTokenizer.from_pretrained(backbone)
    loss, tokens = 0.0, 0
    for text in DOCUMENTS:
        ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]])
        with torch.no_grad():
            loss += float(model(ids, labels=ids).loss) * (ids.shape[1] - 1)
        tokens += ids.shape[1] - 1
    task = task_of(tmp_path, "perplexity")
    per_token, per_byte = task.score(task.answer(subjects[3][0], task.items, tmp_path))
    assert (per_token.metric, per_byte.metric) == ("perplexity", "bits_per_byte")
    assert per_token.value == pytest.approx(math.exp(loss / tokens), rel=1e-4)
    assert per_byte.value == pytest.approx(loss / math.log(2) / sum(len(t.encode()) for t in DOCUMENTS), rel=1e-4)
    assert per_token.low < per_token.value < per_token.high
    assert per_token.better == per_byte.better == "lower"


@pytest.mark.parametrize("kind", ["perplexity", "choices"])
@pytest.mark.parametrize("which", [0, 1])
def test_nothing_depends_on_the_batch(tmp_path, subjects, kind, which):
    task = task_of(tmp_path, kind)
    rows = {n: task.answer(subjects[n][which], task.items, tmp_path) for n in (1, 3, 8)}
    name = "total" if kind == "perplexity" else "totals"
    for n in (3, 8):
        for row, other in zip(rows[1], rows[n], strict=True):
            assert row == other | {name: row[name]}
            assert row[name] == pytest.approx(other[name], abs=1e-4)
        for score, other in zip(task.score(rows[1]), task.score(rows[n]), strict=True):
            assert (score.value, score.low, score.high) == pytest.approx((other.value, other.low, other.high), rel=1e-5)


def test_choices_are_scored_behind_their_prompt(tmp_path, subjects):
    subject = subjects[8][0]
    task = task_of(tmp_path, "choices")
    rows = task.answer(subject, task.items, tmp_path)
    for question, row in zip(QUESTIONS, rows, strict=True):
        prompt = f"Question: {question['question']}\nAnswer:"
        expected = subject.text_likelihoods([(prompt, f" {c}") for c in question["choices"]])
        assert row["totals"] == pytest.approx([x.total for x in expected], abs=1e-4)
    assert rows[2]["n_bytes"] == [3, 5]


def test_accuracy_by_total_and_by_byte(tmp_path):
    task = task_of(tmp_path, "choices")
    rows = [
        {"id": "a", "answer": 0, "totals": [-2.0, -3.0], "n_bytes": [1, 3]},  # right by total, wrong by length
        {"id": "b", "answer": 2, "totals": [-1.0, -1.0, -1.0], "n_bytes": [1, 2, 2]},  # three tie; two by length
        {"id": "c", "error": "out of memory"},
    ]
    total, norm = task.score(rows)
    assert (total.metric, norm.metric) == ("accuracy", "accuracy_norm")
    assert total.value == pytest.approx((1 + 1 / 3) / 3)
    assert norm.value == pytest.approx((0 + 1 / 2) / 3)
    assert (total.n_items, total.n_failed) == (3, 1)
    assert task.badness(rows[0]) == pytest.approx(1.0)
    assert task.badness(rows[2]) == float("inf")


def test_a_failed_document_costs_eight_bits_a_byte(tmp_path):
    task = task_of(tmp_path, "perplexity")
    good = {"id": "1", "total": -4.0, "n_tokens": 2, "n_bytes": 13}
    per_token, per_byte = task.score([good, {"id": "4", "error": "x"}])
    n = len("café".encode())
    assert per_byte.value == pytest.approx((4 / math.log(2) + 8 * n) / (13 + n))
    assert per_token.value == pytest.approx(math.exp((4 + n * math.log(256)) / (2 + n)))
    assert (per_byte.n_items, per_byte.n_failed) == (2, 1)
    assert task.badness(good) == pytest.approx(4 / 13)


def test_facts_limit_and_settings(tmp_path):
    task = task_of(tmp_path, "choices", limit=2)
    assert len(task.items) == 2
    assert task.needs == {"text"}
    assert task.family == "text"
    assert "41.7 %" in task.facts["questions"]
    assert "Question: one two\\nAnswer:" in task.facts["prompt"]
    assert task_of(tmp_path, "perplexity", limit=1).facts["documents"] == "1, 13 bytes"
    with pytest.raises(MostError, match="perplexity"):
        Settings(set=SetSettings(kind="perplexities", path="x"))
    with pytest.raises(MostError, match="limit"):
        Settings(set=SetSettings(kind="choices", path="x"), limit=0)
