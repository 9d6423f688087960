"""The whole demo at a size that shows it runs, not what it can learn; its own figures come from `make demo`."""

from __future__ import annotations

import json

import pytest

from most.demo.pipeline import DemoSizes, run_demo
from most.errors import MostError
from most.generate.engine import Engine

SETTINGS = ("steps=2", "batch_size=10", "micro_batch_size=10", "warmup_steps=0", "log_every=1")


SIZES = DemoSizes(train=10, tts=6, text=5, test=5)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "run"
    said: list[str] = []
    result = run_demo(out, sizes=SIZES, settings=SETTINGS, echo=said.append)
    return out, result, said


def test_it_measures_every_item_and_says_where_things_are(demo):
    out, result, said = demo
    figures = json.loads((out / "results.json").read_text())
    for name, log in (
        ("asr_unheard", "test_asr_unheard.jsonl"), ("asr_heard", "test_asr_heard.jsonl"), ("tts", "test_tts.jsonl"),
    ):  # fmt: skip
        rows = [json.loads(line) for line in (out / log).read_text().splitlines()]
        assert figures[name]["n_items"] == len(rows) == 5
        assert figures[name]["reference_words"] == sum(len(r["reference"].split()) for r in rows)
    assert figures["tts_originals"]["n_items"] == 5
    assert any(str(out / "report.html") in line for line in said)
    assert {e.turns[0].speaker for e in result.unheard.examples} == {"lucas"}


def test_the_report_holds_sound_and_pictures(demo):
    page = (demo[0] / "report.html").read_text()
    assert page.count("<audio") >= 4
    assert page.count("<svg") == 4  # two loss curves, spectrograms, routing
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_it_goes_on_where_it_stopped(demo):
    out, result, _ = demo
    (out / "report.html").unlink()
    said: list[str] = []
    again = run_demo(out, sizes=SIZES, settings=SETTINGS, echo=said.append)
    assert (out / "report.html").is_file()
    assert again.unheard.hypotheses == result.unheard.hypotheses
    assert not any(line.startswith("train:") for line in said)


def test_its_model_loads_anywhere(demo, tmp_path):
    engine = Engine.load(demo[0] / "stage1" / "final")
    with pytest.raises(MostError, match="speaker"):
        engine.speak(["one"], speaker="nobody")
