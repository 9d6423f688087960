"""Questions with answers in the published layouts."""

from __future__ import annotations

import json

from most.data.stand_ins.files import read_rows
from most.data.stand_ins.questions import choose
from most.data.stand_ins.recipe import ASSETS


def test_every_layout_says_the_same(recipe, tmp_path):
    triviaqa = {
        "Data": [
            {"Question": "Who was it?", "QuestionId": "q1", "Answer": {"Value": "Ann", "Aliases": ["Ann", "Anna B."]}}
        ]
    }
    layouts = {
        "lines.jsonl": json.dumps({"id": "q1", "question": "Who was it?", "answers": ["Ann", "Anna B."]}),
        "nq.jsonl": json.dumps({"question": "Who was it?", "answer": ["Ann", "Anna B."]}),
        "webquestions.json": json.dumps([{
            "utterance": "Who was it?", "targetValue": '(list (description Ann) (description "Anna B."))',
            "url": "http://x",
        }]),
        "factoid.json": json.dumps([{"qId": "q1", "qText": "Who was it?", "answers": ["Ann", "Anna B."]}], indent=1),
        "triviaqa.json": json.dumps(triviaqa, indent=4),
    }  # fmt: skip
    for name, text in layouts.items():
        (tmp_path / name).write_text(text + "\n")
        (item,) = choose(recipe("spoken-qa", source=str(tmp_path / name))).items
        both = (
            {"answers": ["Ann", "Anna B."]} if name != "triviaqa.json" else {"answers": ["Ann"], "aliases": ["Anna B."]}
        )
        assert item.row == {"question": "Who was it?", **both}, name
        assert item.id in ("q1", "000001")


def test_the_package_has_short_answers():
    rows = [row for _, row in read_rows(ASSETS / "webquestions-sample.jsonl")]
    assert len(rows) == len({row["id"] for row in rows if row}) == 200
    assert all(row and 1 <= len(row["answers"]) <= 4 for row in rows)


def test_what_is_left_out_and_what_is_said(recipe, run, written):
    rows = [
        {"id": "a/1", "question": "when was it in 1999?", "answers": ["May"]},
        {"id": "b", "question": "When was it in 1999?", "answers": ["June"]},
        {"id": "c", "question": "why?", "answers": []},
        {"id": "d", "question": "what for", "answers": ["for a very long reason"]},
        {"id": "e", "question": "?!", "answers": ["x"]},
    ]  # fmt: skip
    one = recipe("spoken-qa", source=written(rows), max_answer_words=2, max_rejected_share=0.5)
    found, _ = run("spoken-qa", one)
    assert found == [
        {"id": "a-1", "question": "when was it in 1999?", "answers": ["May"], "voice": found[0]["voice"],
         "audio": "audio/a-1.flac"}
    ]  # fmt: skip
    rejected = [json.loads(line) for line in (one.output / "rejected.jsonl").read_text().splitlines()]
    assert sorted(r["reason"] for r in rejected) == [
        "answers too long", "cannot be said", "no question with answers", "seen already",
    ]  # fmt: skip


def test_larger_limits_only_add(recipe):
    few, more = ({i.id for i in choose(recipe("spoken-qa", limit=n)).items} for n in (10, 30))
    assert len(few) == 10
    assert few < more
