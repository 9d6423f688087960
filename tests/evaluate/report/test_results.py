"""Reading a run: rows worst first, others spread over the log, audio found where a row names it."""

import json

import pytest

from most.errors import MostError
from most.evaluate.report.results import load_results


def tasks_of(folder):
    return {t.name: t for t in load_results(folder).tasks}


def test_failed_items_are_the_worst(folder):
    webq = tasks_of(folder)["webq"]
    assert [r["id"] for r in webq.worst(4)] == ["q6", "q3", "q7", "q2"]


def test_typical_items_are_spread_and_not_shown_twice(folder):
    webq = tasks_of(folder)["webq"]
    assert [r["id"] for r in webq.typical(2)] == ["q2", "q6"]
    assert not [r for r in webq.typical(3, leave_out=webq.worst(4)) if r in webq.worst(4)]
    assert len(webq.typical(20)) == 8
    assert webq.typical(2, leave_out=webq.rows) == []


def test_a_models_own_audio_comes_first(folder):
    webq = tasks_of(folder)["webq"]
    assert [key for key, _ in webq.audio(webq.rows[0])] == ["wav", "question_audio"]
    assert [key for key, _ in webq.audio(webq.rows[7])] == ["question_audio"]
    assert webq.audio(webq.rows[6]) == []
    clean = tasks_of(folder)["clean"]
    assert [key for key, _ in clean.audio(clean.rows[0])] == ["audio"]


def test_a_task_left_out_has_no_set(folder):
    llama = tasks_of(folder)["llama"]
    assert (llama.left_out, llama.rows, llama.scores) == ("the model cannot hear", (), ())


@pytest.mark.parametrize("content", [None, "{}", "[]", '{"model": "m", "tasks": [{"name": "x"}]}', "torn {"])
def test_what_is_no_run(tmp_path, content):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(MostError, match="output"):
        load_results(tmp_path)


def test_an_older_log_without_badness_keeps_its_order(folder):
    rows = [json.loads(line) for line in (folder / "webq" / "items.jsonl").read_text().splitlines()]
    lines = [json.dumps({k: v for k, v in r.items() if k != "badness"}) + "\n" for r in rows]
    (folder / "webq" / "items.jsonl").write_text("".join(lines))
    assert [r["id"] for r in tasks_of(folder)["webq"].worst(3)] == ["q6", "q0", "q1"]
