"""Pairs scored by a real tiny model at several batch sizes; accuracy against pandas, as the challenge computes it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from most.errors import MostError
from most.evaluate.most_subject import MostSubject
from most.evaluate.sets.base import SetInfo, SetSettings, write_info
from most.evaluate.tasks.audio_lm import Settings, make
from most.evaluate.text_subject import TextSubject
from most.speech.audio import write_audio

WORDS = ["one", "two", "three", "four", "five", "six"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pairs in two voices and one with a prompt in one, of noises of unlike length."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    write_info(folder, SetInfo(name="noises", source="made up", stand_in_for="sWUGGY"))

    def said(name: str, text: str, n: int) -> dict[str, str]:
        write_audio(folder / f"{name}.wav", (0.3 * rng.normal(size=n)).clip(-1, 1).astype(np.float32), 16000)
        return {"audio": f"{name}.wav", "text": text}

    rows = []
    for k, group in enumerate(["oov", "1-5", "6-20"]):
        for voice in "ab":
            good = said(f"g{k}{voice}", WORDS[k], 4000 + 900 * k)
            rows.append({"id": f"{k}{voice}", "pair": str(k), "voice": voice, "group": group, "prompt": None,
                         "good": good, "bad": said(f"b{k}{voice}", WORDS[k + 1], 7000 - 700 * k)})  # fmt: skip
    rows.append({"id": "story", "pair": "story", "voice": "a", "group": "", "prompt": said("p", "after one", 6000),
                 "good": said("gp", "comes two", 5000), "bad": said("bp", "comes six", 3000)})  # fmt: skip
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def task_of(folder, **settings):
    return make(Settings(set=SetSettings(kind="built", path=str(folder)), **settings), "pairs")


@pytest.fixture(scope="module")
def answered(folder, tiny_most, tiny_codec):
    task = task_of(folder)
    return {
        n: task.answer(MostSubject.load(tiny_most, codec=tiny_codec, batch_size=n), task.items, folder)
        for n in (1, 3, 8)
    }


def test_speech_does_not_depend_on_the_batch(folder, answered):
    task = task_of(folder)
    for n in (3, 8):
        for row, other in zip(answered[1], answered[n], strict=True):
            assert row == other | {"good": row["good"], "bad": row["bad"]}
            assert (row["good"], row["bad"]) == pytest.approx((other["good"], other["bad"]), abs=1e-3)
        assert task.score(answered[n]) == task.score(answered[1])


def test_speech_is_the_likelihood_of_the_recordings_units(folder, answered, tiny_most, tiny_codec):
    subject = MostSubject.load(tiny_most, codec=tiny_codec)
    task = task_of(folder)
    by_id = {row["id"]: row for row in answered[3]}

    def units(said):
        wav, rate = soundfile.read(said.audio, dtype="float32")
        assert rate == subject.codec.sample_rate
        return subject.codec.encode(wav)

    for item in task.items:
        context = units(item.prompt) if item.prompt else np.zeros(0, dtype=int)
        for name, said in (("good", item.good), ("bad", item.bad)):
            (expected,) = subject.unit_likelihoods([(context, units(said))])
            assert by_id[item.id][name] == pytest.approx(expected.total, abs=1e-3)
            assert by_id[item.id][f"{name}_tokens"] == expected.n_tokens == len(units(said))


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_the_same_pairs_as_text(folder, tiny_most, tiny_codec, batch_size):
    task = task_of(folder, form="text")
    assert task.needs == {"text"}
    assert [item.id for item in task.items] == ["0a", "1a", "2a", "story"]  # voices say the same
    most = MostSubject.load(tiny_most, codec=tiny_codec, batch_size=batch_size)
    plain = TextSubject.load(tiny_most.parent / "backbone", batch_size=batch_size)
    for subject in (most, plain):
        rows = task.answer(subject, task.items, folder)
        asked = [("", "one"), ("", "two"), ("", "two"), ("", "three"), ("", "three"), ("", "four")]
        asked += [("after one", " comes two"), ("after one", " comes six")]
        expected = subject.text_likelihoods(asked)
        found = [row[name] for row in rows for name in ("good", "bad")]
        assert found == pytest.approx([x.total for x in expected], abs=1e-4)
        assert [s.metric for s in task.score(rows)][:2] == ["accuracy", "accuracy_total"]


def made_up_rows(seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    rows = []
    for pair in range(40):
        group = ("oov", "1-5", "6-20", "")[pair % 4]
        for voice in "abcd"[: 1 + pair % 3]:
            good, bad = (float(x) for x in rng.integers(-5, 0, size=2))  # few values, so that some tie
            n = int(rng.integers(1, 4))
            rows.append({"id": f"{pair}{voice}", "pair": str(pair), "voice": voice, "group": group,
                         "good": good * n, "good_tokens": n, "bad": bad * 2, "bad_tokens": 2})  # fmt: skip
    return rows


def test_accuracy_is_the_challenges(folder):
    pandas = pytest.importorskip("pandas")
    rows = made_up_rows(0)
    frame = pandas.DataFrame(rows)
    good, bad = frame.good / frame.good_tokens, frame.bad / frame.bad_tokens
    frame["score"] = 0.5 * (good == bad) + (good > bad)
    frame["sum"] = 0.5 * (frame.good == frame.bad) + (frame.good > frame.bad)
    by_pair = frame.groupby("pair").agg(score=("score", "mean"), sum=("sum", "mean"), group=("group", "first"))
    scores = {s.metric: s for s in task_of(folder).score(rows)}
    assert scores["accuracy"].value == pytest.approx(by_pair.score.mean())
    assert scores["accuracy_total"].value == pytest.approx(by_pair["sum"].mean())
    for group, value in by_pair.score.groupby(by_pair.group).mean().items():
        assert not group or scores[f"accuracy/{group}"].value == pytest.approx(value)
    known = by_pair[by_pair.group.isin(["1-5", "6-20"])]
    assert scores["accuracy/in vocabulary"].value == pytest.approx(known.score.mean())
    assert scores["accuracy"].n_items == len(rows)
    assert scores["accuracy"].low < scores["accuracy"].value < scores["accuracy"].high
    assert len(scores) == 6


def test_failed_items_stay_in_the_count_and_are_wrong(folder):
    task = task_of(folder)
    rows = [
        {"id": item.id, "pair": item.pair, "voice": item.voice, "group": item.group, "good": -1.0, "good_tokens": 1,
         "bad": -2.0, "bad_tokens": 1}
        for item in task.items
    ]  # fmt: skip
    assert task.score(rows)[0].value == 1
    rows[0] = {"id": "0a", "error": "MostError: too short"}  # all that the runner knows of it
    scores = {s.metric: s for s in task.score(rows)}
    assert scores["accuracy"].value == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    assert scores["accuracy/oov"].value == 0.5
    assert (scores["accuracy"].n_items, scores["accuracy"].n_failed) == (7, 1)
    assert scores["accuracy/in vocabulary"].n_failed == 0


def test_the_worst_come_first(folder):
    task = task_of(folder)
    row = {"good": -4.0, "good_tokens": 2, "bad": -3.0, "bad_tokens": 3}
    assert task.badness(row) == 1.0
    assert task.badness(row | {"bad": -9.0}) == -1.0
    assert task.badness({"id": "x", "error": "no"}) == float("inf")


def test_facts_and_label(folder):
    task = task_of(folder, limit=2)
    assert task.info.stand_in_for == "sWUGGY"
    assert task.family == "audio_lm"
    assert task.needs == {"speak"}
    assert task.facts["pairs"] == "2, 4 comparisons, 2 voice(s)"
    assert "mean per unit" in task.facts["accuracy"]
    assert "audio_end not scored" in task.facts["scored tokens"]
    json.dumps(dict(task.facts))


def test_settings(folder):
    with pytest.raises(MostError, match="zerospeech"):
        Settings(set=SetSettings(kind="zerospeach", path="x"))
    with pytest.raises(MostError, match="limit"):
        Settings(set=SetSettings(kind="built", path="x"), limit=0)
