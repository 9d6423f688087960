"""The folder of a made-up run: a family with everything, a stand-in, a task left out, families without a task."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from most.evaluate.score import Score
from most.speech.audio import write_audio

HOSTILE = '<script>alert(1)</script> | & "quotes"'


def score(metric, value, **more):
    return asdict(Score(metric=metric, value=value, low=value - 0.05, high=value + 0.05, n_items=8, **more))


def task(name, family, title, scores, **more):
    info = {"name": title, "source": f"source of {name}", "licence": "CC0", "stand_in_for": more.pop("stand_in", None)}
    return {
        "name": name, "family": family, "set": info, "facts": {"prompt": f"prompt of {name}", **more.pop("facts", {})},
        "scores": scores, "left_out": None, **more,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    tasks = [
        task(
            "clean", "asr", "LibriSpeech test-clean",
            [score("wer", 0.1234, better="lower", n_failed=2, n_empty=1), score("cer", 0.06, better="lower")],
            seconds=75.0,
        ),
        task(
            "swuggy", "audio_lm", "made words", [score("accuracy", 0.581), score("accuracy/af", 0.6)], stand_in="sWUGGY"
        ),
        {"name": "llama", "family": "spoken_qa", "left_out": "the model cannot hear", "scores": [], "facts": {}},
        task(
            "webq", "spoken_qa", "WebQuestions", [score("contained", 0.25), score("exact", 0.1)],
            facts={"direction": "S→S", "items": "the first 8 of the set"},
        ),
        task("wiki", "text", "wikitext", [score("perplexity", 32.417, unit="", better="lower")]),
    ]  # fmt: skip
    audio = np.sin(np.arange(16000 * 14) / 30).astype(np.float32) * 0.1
    write_audio(tmp_path / "question.wav", audio[:8000], 16000)
    rows = [
        {"id": f"q{k}", "question": HOSTILE, "answers": ["Paris", "Rome"], "aliases": [], "response": f"said {k}",
         "wav": f"audio/{k}.wav", "question_audio": "../question.wav", "badness": float(k % 4)}
        for k in range(8)
    ]  # fmt: skip
    for k in range(8):
        write_audio(tmp_path / "webq" / "audio" / f"{k}.wav", audio if k == 3 else audio[: 1600 * (k + 1)], 16000)
    rows[6] = {"id": "q6", "error": "RuntimeError: boom"}
    rows[7] |= {"wav": "", "response": ""}
    logs = {
        "webq": rows,
        "swuggy": [{"id": f"p{k}", "good_text": "brick", "bad_text": "blick", "badness": -k} for k in range(4)],
        "clean": [{"id": "u0", "reference": "one", "hypothesis": "two", "audio": {"path": "../question.wav"}}],
    }  # fmt: skip
    for name, log in logs.items():
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "items.jsonl").write_text("".join(json.dumps(r) + "\n" for r in log))
    tree = {
        "model": "runs/<model>", "time_seconds": 3725.0, "versions": {"torch": "2.13.0"}, "normalizer": "Whisper's",
        "command": "most eval runs/model --recipe x.yaml", "tasks": tasks,
    }  # fmt: skip
    (tmp_path / "results.json").write_text(json.dumps(tree))
    return tmp_path
