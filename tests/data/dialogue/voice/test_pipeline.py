from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import soundfile

from most.data.arrays import ArrayStore
from most.data.dataset import ExampleEncoder
from most.data.dialogue.dialogue import Dialogue
from most.data.dialogue.voice import pipeline
from most.data.dialogue.voice.record import folder_of
from most.data.encode import encode_manifests
from most.errors import MostError
from most.evaluate.sets.base import SetSettings
from most.evaluate.sets.questions import load_questions
from most.manifest import read_examples
from most.speech.audio import read_audio
from most.speech.codec import Codec

from .conftest import TONES, interrupted_dialogue, plain_dialogue, said  # isort: skip


def run(recipe, **more):
    lines: list[str] = []
    return pipeline.speak(recipe, echo=lines.append, progress=False, **more), "\n".join(lines)


def record(recipe, id):
    return json.loads((folder_of(recipe.output, id) / "dialogue.json").read_text())


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_audio_record_manifest_and_card(make_recipe):
    recipe = make_recipe([plain_dialogue("a"), interrupted_dialogue("b")])
    counts, echoed = run(recipe)
    assert counts["spoken"] == 2
    assert counts["rejected"] == 0
    assert "2 dialogues, 8 turns" in echoed
    assert "s of work a second of speech" in echoed

    row = record(recipe, "b")
    folder = folder_of(recipe.output, "b")
    cut, breaks_in = row["turns"][1], row["turns"][2]
    assert breaks_in["start"] == cut["interrupted_at_seconds"] == pytest.approx(cut["end"] - 0.1, abs=1e-3)
    assert [(o["kind"], o["turn"]) for o in row["overlaps"]] == [("barge-in", 1)]
    both, rate = soundfile.read(folder / row["two_channels"])
    assert rate == row["sample_rate"] == 16000
    assert len(both) / rate == pytest.approx(row["seconds"], abs=1e-3)
    for turn in row["turns"]:
        wav, _ = soundfile.read(folder / turn["audio"])
        start = round(turn["start"] * rate)
        channel = both[start : start + len(wav), int(turn["role"] == "assistant")]
        assert abs(channel[: len(wav)] - wav[: len(channel)]).max() < 1e-3
    mixed, _ = soundfile.read(folder / row["mixed"])
    assert abs(mixed - both.sum(axis=1)).max() < 1e-3

    examples = read_examples(recipe.output / "train.jsonl")
    user, assistant = examples[1].turns[:2]
    assert (user.text, user.speaker) == (None, row["turns"][0]["speaker"])
    assert assistant.text == interrupted_dialogue("b").turns[1].said
    assert user.audio is not None
    assert assistant.audio is not None
    assert len(read_audio(assistant.audio)) / 16000 == pytest.approx(cut["end"] - cut["start"], abs=1e-3)
    card = (recipe.output / "README.md").read_text()
    assert "1 barge-ins" in card
    assert "CC0-1.0" in card


def test_order_limit_and_workers_change_nothing(make_recipe, tmp_path):
    dialogues = [plain_dialogue(f"d{k}") for k in range(3)]
    keys = {
        "back_channels": {"share": 1.0, "min_seconds": 0.5, "texts": ["Mm."]},
        "augment": {"noise": {"share": 0.5}, "room": {"share": 0.5}, "speed": {"share": 0.5}},
    }
    one = make_recipe(dialogues, output=str(tmp_path / "one"), **keys)
    run(one)
    other = make_recipe(dialogues[:1] + dialogues[:0:-1], output=str(tmp_path / "other"), limit=2, **keys)
    run(other)
    first, second = contents(one.output / "dialogues"), contents(other.output / "dialogues")
    assert second
    assert all(first[name] == data for name, data in second.items())
    signs = record(one, "d1")["back_channels"]
    assert signs
    assert any(t["augmentation"] for k in range(3) for t in record(one, f"d{k}")["turns"])


def test_killed_in_the_middle_it_ends_with_the_same_bytes(make_recipe, tmp_path):
    dialogues = [plain_dialogue(f"d{k}", 1) for k in range(8)]
    recipe = make_recipe(dialogues, written=tmp_path / "recipe.yaml")
    whole = make_recipe(dialogues, output=str(tmp_path / "whole"))
    run(whole)
    command = [sys.executable, str(TONES), str(tmp_path / "recipe.yaml"), "workers=2"]
    environment = {**os.environ, "TONES_SLOW_SECONDS": "0.3"}
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, env=environment)
    deadline = time.monotonic() + 60
    while len(list(recipe.output.rglob("dialogue.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (recipe.output / "train.jsonl").exists()
    time.sleep(0.3)  # the workers see that their parent is gone
    done = len(list(recipe.output.rglob("dialogue.json")))
    assert 2 <= done < 8
    counts, _ = run(recipe)
    assert counts["kept"] >= 2
    assert contents(recipe.output) == contents(whole.output)
    again, _ = run(recipe)
    assert again["kept"] == 8


def test_a_failing_voice_is_retried_then_counted(make_recipe, monkeypatch, tones):
    made = tones.Tones(fails=2)
    monkeypatch.setitem(pipeline.make_voices.__globals__, "make_synthesizer", lambda kind, settings: made)
    recipe = make_recipe([plain_dialogue("a", 1)], attempts=3)
    counts, _ = run(recipe)
    assert (counts["spoken"], counts["retried"]) == (1, 2)

    made.fails = 3
    recipe = make_recipe([plain_dialogue("b", 1), plain_dialogue("c", 1)], attempts=3, max_rejected_share=0.5)
    counts, echoed = run(recipe)
    assert counts["rejected"] == 1
    assert "1 voice" in echoed
    (row,) = [json.loads(line) for line in (recipe.output / "rejected.jsonl").read_text().splitlines()]
    assert row["id"] == "b"
    assert "the voice is away" in row["reason"]
    # Such a failure may pass: the next run tries again.
    counts, _ = run(recipe)
    assert counts["rejected"] == 0


def test_too_many_left_out_is_an_error_and_a_text_nobody_can_say_is_not_retried(make_recipe):
    odd = Dialogue(
        id="odd", turns=(said("user", "an unspeakable word"), said("assistant", "Yes.")), source="t", licence="CC0-1.0"
    )
    recipe = make_recipe([odd, plain_dialogue("a")], max_rejected_share=0.1)
    with pytest.raises(MostError, match="1 of 2"):
        run(recipe)
    assert (recipe.output / "train.jsonl").exists()
    assert json.loads((recipe.output / "rejected.jsonl").read_text())["kind"] == "text"
    assert not list(folder_of(recipe.output, "odd").glob("*.flac"))


def test_a_changed_dialogue_is_made_again_and_another_recipe_is_refused(make_recipe):
    recipe = make_recipe([plain_dialogue("a", 1)])
    run(recipe)
    recipe = make_recipe([plain_dialogue("a", 2)])
    counts, _ = run(recipe)
    assert (counts["kept"], counts["made"]) == (0, 1)
    assert len(record(recipe, "a")["turns"]) == 4
    with pytest.raises(MostError, match="another seed"):
        run(make_recipe([plain_dialogue("a", 2)], seed=1))


def test_the_assistant_may_stay_text(make_recipe):
    recipe = make_recipe([plain_dialogue("a")], assistant="text")
    run(recipe)
    turns = read_examples(recipe.output / "train.jsonl")[0].turns
    assert [(t.role, t.audio is None, t.text is None) for t in turns[:2]] == [
        ("user", False, True),
        ("assistant", True, False),
    ]
    row = record(recipe, "a")
    assert row["mixed"] is None
    assert row["turns"][1]["start"] is None


def test_a_system_prompt_is_kept(make_recipe):
    dialogue = Dialogue(**{**vars(plain_dialogue("a")), "meta": {"system": "Be brief."}})
    recipe = make_recipe([dialogue])
    run(recipe)
    assert read_examples(recipe.output / "train.jsonl")[0].turns[0].text == "Be brief."


def test_what_is_written_can_be_trained_on(make_recipe, tiny_codec, builder):
    recipe = make_recipe([plain_dialogue("a"), interrupted_dialogue("b")])
    run(recipe)
    manifest, arrays = recipe.output / "train.jsonl", recipe.output / "arrays"
    encode_manifests([manifest], arrays, Codec.load(tiny_codec), echo=lambda _: None, progress=False)
    encode = ExampleEncoder(
        builder, recipe.output, frames=ArrayStore(arrays / "frames"), units=ArrayStore(arrays / "units"), stack=2,
        max_length=4096,
    )  # fmt: skip
    for example in read_examples(manifest):
        item = encode(example)
        assert len(item.frames) == 2
        assert (item.encoded.labels >= 0).sum() > 20


def test_a_dry_run_writes_nothing(make_recipe):
    recipe = make_recipe([plain_dialogue("a")])
    run(recipe, dry_run=True)
    assert not recipe.output.exists()


def test_recipes_are_checked(make_recipe):
    one = [plain_dialogue("a")]
    for keys, text in (
        ({"voices": [{"kind": "kokorro"}]}, "did you mean 'kokoro'"),
        ({"gate": {"judge": "whisper"}}, "gate.judge"),
        ({"barge_ins": {"between": [0.9, 0.2]}}, "barge_ins.between"),
        ({"workers": 0}, "workers"),
        ({"audio": {"sample_rate": 10}}, "audio.sample_rate"),
    ):
        with pytest.raises(MostError, match=text):
            make_recipe(one, **keys)
    with pytest.raises(MostError, match="did you mean 'low'"):
        run(make_recipe(one, voices=[{"kind": "tones", "names": ["lo"]}]))
    with pytest.raises(MostError, match="settings do not fit"):
        run(make_recipe(one, voices=[{"kind": "tones", "settings": {"colour": 1}}]))


def test_a_dialogue_whose_reply_is_checked_says_so_in_the_manifest(make_recipe):
    """Evaluation reads it; examples to train on stay as they were."""
    meta = {"scene": "again", "expect": ["name"], "thread": "to the sea", "other": 1}
    asked, plain = replace(plain_dialogue("a"), meta=meta), replace(plain_dialogue("b"), meta={"scene": "again"})
    recipe = make_recipe([asked, plain], assistant="text")
    run(recipe)
    manifest = recipe.output / "train.jsonl"
    written = [t.text for t in asked.turns if t.role == "user"]
    known = {"scene": "again", "expect": ["name"], "thread": "to the sea", "written": written}
    assert [e.meta for e in read_examples(manifest)] == [{"topic": "numbers", **known}, {"topic": "numbers"}]
    (question,) = load_questions(SetSettings(kind="dialogues", path=str(manifest))).questions
    assert [question.question, question.history[0].text] == written[::-1]
    assert question.history[1].text == asked.turns[1].text
