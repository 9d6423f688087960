"""The report of a run: finished, under way, and of something that is none."""

from __future__ import annotations

import json
import xml.dom.minidom

import pytest

from most.errors import MostError
from most.train.watch.report import REPORT, write_run_report
from most.train.watch.settings import WatchSettings

pytest.importorskip("matplotlib")


@pytest.fixture
def run(recipe, quietly):
    made = recipe(watch=WatchSettings(routing_every=2, report=False))
    quietly(made)
    return made.output


def figures(html):
    return [part[: part.index("</svg>") + 6] for part in html.split("<svg")[1:]]


def test_a_finished_run(run):
    html = write_run_report(run).read_text(encoding="utf-8")
    for title in (
        "Loss by modality", "Loss by task", "Learning rate", "Gradient norm by part", "Throughput", "Who goes to which",
        "Use of experts over time", "Evenness of load", "Estimate and measured", "Parameters", "The recipe", "finished",
    ):  # fmt: skip
        assert title in html
    assert "None: every step was taken" in html
    assert "src=" not in html.replace("img-src", "").replace("media-src", "").replace("style-src", "")
    for svg in figures(html):
        xml.dom.minidom.parseString("<svg" + svg)


def test_a_run_under_way_with_incidents(run):
    (run / "final").rename(run / "elsewhere")
    lines = (run / "history.jsonl").read_text().splitlines(keepends=True)
    (run / "history.jsonl").write_text("".join(lines[:3]) + lines[3][:20])
    incident = {
        "step": 3, "kind": "bad step", "action": "skip", "reason": "loss is <nan>", "loss": "nan", "grad_norm": 1.0,
        "worst": [{"id": "asr3", "loss": "nan"}], "ids": ["asr3", "tts1"],
    }  # fmt: skip
    (run / "incidents.jsonl").write_text(json.dumps(incident) + "\n")
    html = write_run_report(run).read_text(encoding="utf-8")
    assert "3 of 6 steps so far" in html
    assert "loss is &lt;nan&gt;" in html
    assert "asr3" in html


def test_a_run_without_routing_or_plan_or_speed(tmp_path, run):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "recipe.json").write_text((run / "recipe.json").read_text())
    (bare / "history.jsonl").write_text(json.dumps({"step": 1, "loss": 2.0, "text_loss": float("nan")}) + "\n")
    html = write_run_report(bare).read_text(encoding="utf-8")
    assert "Routing" not in html
    assert (bare / REPORT).is_file()


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(MostError, match="no recipe"):
        write_run_report(tmp_path)
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(MostError, match="no line"):
        write_run_report(tmp_path)
