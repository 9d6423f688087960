"""A card's figures are those of the files it names, and nothing is left unfilled."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict

import pytest

from most.errors import MostError
from most.evaluate.score import Score
from most.report.model_card import CardRecipe, write_card
from most.settings import build

TEMPLATE = """# A model, {{size}}
{{shape}}
{{aims}}
{{scores}}
{{training}}
{{curves}}
{{data}}
"""


def _results(folder, wer, perplexity):
    def score(metric, value, **more):
        return asdict(Score(metric=metric, value=value, low=value, high=value, n_items=8, better="lower", **more))

    def task(name, family, *scores):
        info = {"name": name, "source": "made up", "licence": "CC0-1.0"}
        return {"name": name, "family": family, "set": info, "facts": {}, "scores": scores, "left_out": None}

    folder.mkdir()
    tasks = [task("hear", "asr", score("wer", wer)), task("read", "text", score("perplexity", perplexity, unit=""))]
    (folder / "results.json").write_text(json.dumps({"model": "m", "tasks": tasks}), encoding="utf-8")
    return folder


@pytest.fixture
def recipe(tmp_path, tiny_most):
    model = tmp_path / "model"
    shutil.copytree(tiny_most, model)
    stage = tmp_path / "stage1"
    stage.mkdir()
    rows = [
        {"step": 10, "tokens": 1000, "tokens_per_second": 10.0, "text_loss": 3.0, "audio_loss": 5.0},
        {"step": 20, "tokens": 300000, "tokens_per_second": 3000.0, "text_loss": 2.0, "audio_loss": 4.0},
        {"step": 20, "note": "no step of training"},
    ]
    (stage / "history.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    settings = {"batch_size": 4, "data": {"mixture": {"asr": 0.75, "text": 0.25}}}
    (stage / "recipe.json").write_text(json.dumps(settings), encoding="utf-8")
    data = tmp_path / "data"
    data.mkdir()
    found = {"tasks": {"asr": 1500, "tts": 20}, "hours": 1.25, "speakers": ["a", "b"]}
    steps = {"voices": {"examples": {"train.jsonl": found}}, "text": {"rows": {"train.jsonl": 3}}}
    (data / "build.json").write_text(json.dumps({"steps": steps}), encoding="utf-8")
    more = tmp_path / "more"
    shutil.copytree(data, more)
    template = tmp_path / "card.md"
    template.write_text(TEMPLATE, encoding="utf-8")
    aims = [
        {"title": "hears", "task": "hear", "metric": "wer", "at_most": 0.1},
        {"title": "keeps text", "task": "read", "metric": "perplexity", "at_most": 1.1, "of_baseline": True},
        {"title": "hears very badly", "task": "hear", "metric": "wer", "at_least": 0.5},
    ]
    return {
        "model": model, "template": template, "evaluation": _results(tmp_path / "run", 0.2, 33.0),
        "baseline": _results(tmp_path / "base", 0.9, 30.0), "stages": [stage], "data": [data, more],
        "hardware": "two cores", "aims": aims,
    }  # fmt: skip


def _card(recipe):
    return build(CardRecipe, recipe, "card")


def test_every_figure_is_from_its_file(recipe):
    path = write_card(_card(recipe), echo=lambda _: None)
    text = path.read_text(encoding="utf-8")
    assert "{{" not in text
    weights = sum(p.stat().st_size for p in recipe["model"].glob("*.safetensors"))
    assert f"{weights / 1e6:.1f} MB" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert "| hears | ≤ 10% | **20.0 %** | missed |" in rows
    assert "| keeps text | ≤ 1.10 x | **1.10 x** | met |" in rows
    assert "| hears very badly | ≥ 50% | **20.0 %** | missed |" in rows
    # 1000 tokens at 10 a second, then 300,000 at 3000.
    assert "On two cores, 3 min 20 s in all." in text
    assert "| stage1 | 20 | 80 | 0.3 M | 3 min 20 s | asr 0.75 text 0.25 |" in rows
    assert "| voices | 1,500 asr, 20 tts | 1.25 | 2 |" in rows
    assert "| more/voices | 1,500 asr, 20 tts | 1.25 | 2 |" in rows
    assert any(row.startswith("| **all** |") for row in rows)
    assert "](curves.svg)" in text
    assert (recipe["model"] / "curves.svg").read_text(encoding="utf-8").lstrip().startswith("<svg")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aims": [{"title": "x", "task": "hera", "metric": "wer", "at_most": 1}]}, "'hear'"),
        ({"aims": [{"title": "x", "task": "hear", "metric": "wre", "at_most": 1}]}, "'wer'"),
        ({"baseline": None}, "name its evaluation"),
    ],
)
def test_figures_that_are_not_there_are_named(recipe, change, message):
    with pytest.raises(MostError, match=message):
        write_card(_card(recipe | change), echo=lambda _: None)


def test_what_cannot_be_filled_is_refused(recipe):
    recipe["template"].write_text("{{scoers}}", encoding="utf-8")
    with pytest.raises(MostError, match="scores"):
        write_card(_card(recipe), echo=lambda _: None)
    with pytest.raises(MostError, match="at_most or at_least"):
        _card(recipe | {"aims": [{"title": "x", "task": "hear", "metric": "wer"}]})
