"""A whole evaluation of a tiny real model: logs, resumption, batches, processes, failures, scores from the logs."""

from __future__ import annotations

import json
from dataclasses import replace

import jiwer
import pytest

import most.evaluate.run as running
from most.errors import MostError
from most.evaluate.recipe import EvalRecipe
from most.evaluate.run import evaluate, open_tasks, scores_of
from most.evaluate.subjects import capabilities_of
from most.evaluate.tasks.asr import Asr
from most.evaluate.text import normalize
from most.manifest import read_examples, write_jsonl

QUIET = {"echo": lambda _: None, "progress": False}


@pytest.fixture
def recipe(tiny_codec, tiny_corpus, tmp_path):
    for task in ("asr", "text"):
        write_jsonl(
            tiny_corpus / f"eval_{task}.jsonl",
            [e for e in read_examples(tiny_corpus / "train.jsonl") if e.task == task],
        )
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    (pairs / "set.json").write_text(
        json.dumps({"name": "words", "source": "a test", "licence": "", "stand_in_for": "sWUGGY"})
    )
    (pairs / "pairs.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "id": f"p{k}", "pair": f"p{k}", "voice": "v", "group": "", "prompt": None,
                    "good": {"audio": None, "text": "one two"}, "bad": {"audio": None, "text": f"five {k}"},
                }
            ) + "\n"
            for k in range(4)
        )
    )  # fmt: skip
    return EvalRecipe(
        output=tmp_path / "out",
        codec=tiny_codec,
        variables={"corpus": None},
        tasks={
            "hear": {
                "family": "asr", "set": {"kind": "manifest", "path": str(tiny_corpus / "eval_asr.jsonl")},
                "max_new_tokens": 6,
            },
            "text": {"family": "text", "set": {"kind": "perplexity", "path": str(tiny_corpus / "eval_text.jsonl")}},
            "words": {"family": "audio_lm", "set": {"kind": "built", "path": str(pairs)}, "form": "text"},
            "corpus": {"family": "asr", "set": {"kind": "librispeech", "path": "${corpus}"}, "optional": True},
        },
    )  # fmt: skip


def _results(out):
    return json.loads((out / "results.json").read_text())


def _scores(out):
    return {t["name"]: t["scores"] for t in _results(out)["tasks"]}


def _rows(out, task="hear"):
    return [json.loads(line) for line in (out / task / "items.jsonl").read_text().splitlines()]


def test_scores_come_from_the_log_and_equal_jiwer(recipe, tiny_most):
    out = evaluate(recipe, tiny_most, **QUIET)
    rows = _rows(out)
    refs, hyps = [normalize(r["reference"]) for r in rows], [normalize(r["hypothesis"]) for r in rows]
    wer, cer = _scores(out)["hear"][:2]
    assert (wer["metric"], wer["n_items"]) == ("wer", 6)
    assert wer["value"] == pytest.approx(jiwer.wer(refs, hyps))
    assert cer["value"] == pytest.approx(jiwer.cer(refs, hyps))
    tasks, _ = open_tasks(recipe, capabilities_of(tiny_most))
    again = {name: [s.value for s in scores_of(task, out)] for name, task in tasks.items()}
    assert again == {name: [s["value"] for s in _scores(out)[name]] for name in tasks}
    results = _results(out)
    assert results["tasks"][2]["set"]["stand_in_for"] == "sWUGGY"
    assert "variables.corpus is not set" in results["tasks"][3]["left_out"]
    assert "stand-in" in (out / "report.md").read_text()


@pytest.mark.parametrize("change", [{"batch_size": 1}, {"batch_size": 5}, {"workers": 2, "threads": 1}])
def test_scores_are_the_same_whatever_the_batches_and_processes(recipe, tiny_most, tmp_path, change):
    first = _scores(evaluate(recipe, tiny_most, reports=False, **QUIET))
    other = replace(recipe, output=tmp_path / "other", **change)
    second = _scores(evaluate(other, tiny_most, reports=False, **QUIET))
    for name, scores in first.items():
        assert [s["value"] for s in scores] == pytest.approx([s["value"] for s in second[name]], rel=1e-5)


def test_a_run_that_was_stopped_goes_on(recipe, tiny_most, monkeypatch):
    whole = evaluate(recipe, tiny_most, reports=False, **QUIET)
    expected, log = _scores(whole), whole / "hear" / "items.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:2]) + lines[2][:20])  # killed while it wrote the third
    asked: list[str] = []
    answer = Asr.answer

    def counting(self, subject, items, folder):
        asked.extend(i.id for i in items)
        return answer(self, subject, items, folder)

    monkeypatch.setattr(Asr, "answer", counting)
    evaluate(recipe, tiny_most, reports=False, **QUIET)
    assert asked == ["asr2", "asr3", "asr4", "asr5"]
    assert _scores(whole) == expected


def test_a_failed_item_stays_in_the_denominator_and_is_asked_again(recipe, tiny_most, monkeypatch):
    answer = Asr.answer

    def failing(self, subject, items, folder):
        if any(i.id == "asr3" for i in items):
            raise RuntimeError("out of luck")
        return answer(self, subject, items, folder)

    monkeypatch.setattr(Asr, "answer", failing)
    out = evaluate(recipe, tiny_most, reports=False, **QUIET)
    wer = _scores(out)["hear"][0]
    assert (wer["n_items"], wer["n_failed"]) == (6, 1)
    rows = {r["id"]: r for r in _rows(out)}
    assert rows["asr3"]["error"] == "RuntimeError: out of luck"
    refs = [normalize(r) for r in ("one", "two", "three", "four", "five", "six")]
    hyps = [normalize(rows[f"asr{k}"].get("hypothesis") or "") for k in range(6)]
    assert wer["value"] == pytest.approx(jiwer.wer(refs, hyps))
    monkeypatch.undo()
    evaluate(recipe, tiny_most, reports=False, **QUIET)
    assert _scores(out)["hear"][0]["n_failed"] == 0


def test_a_task_that_cannot_work_stops_the_run(recipe, tiny_most, monkeypatch):
    def failing(self, subject, items, folder):
        raise MostError("judge", "x", "is not installed")

    monkeypatch.setattr(Asr, "answer", failing)
    with pytest.raises(MostError, match=r"is not installed.*first items failed"):
        evaluate(recipe, tiny_most, reports=False, **QUIET)
    assert not (recipe.output / "hear" / "items.jsonl").exists()


def test_answers_of_another_model_are_refused(recipe, tiny_most, monkeypatch):
    evaluate(recipe, tiny_most, reports=False, **QUIET)
    with pytest.raises(MostError, match="other settings"):
        evaluate(replace(recipe, temperature=0.5), tiny_most, reports=False, **QUIET)
    monkeypatch.setattr(running, "fingerprint", lambda _: "another")
    with pytest.raises(MostError, match="another model"):
        evaluate(recipe, tiny_most, reports=False, **QUIET)


def test_a_plain_language_model_gets_what_applies(recipe, tiny_most):
    backbone = tiny_most.parent / "backbone"
    out = evaluate(replace(recipe, output=recipe.output.with_name("plain")), backbone, **QUIET)
    left_out = {t["name"]: t["left_out"] for t in _results(out)["tasks"]}
    assert left_out["hear"] == "the model cannot hear"
    assert left_out["text"] is None
    assert _scores(out)["text"][0]["metric"] == "perplexity"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {}}, "at least one task"),
        ({"tasks": {"a/b": {"family": "asr"}}}, "cannot name a folder"),
        ({"tasks": {"a": {"family": "asrr"}}, "variables": {}}, "did you mean 'asr'"),
        ({"tasks": {"a": {"family": "asr", "set": {"kind": "x", "path": "${where}"}}}, "variables": {}}, "no such"),
        ({"variables": {"corpse": None}}, "no task uses it"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_mistakes(recipe, changes, message):
    with pytest.raises(MostError, match=message):
        replace(recipe, **changes)
