"""Every recipe in the repository is read by the code that runs it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from most.convert.backbone import BackboneRecipe
from most.settings import load_recipe
from most.train.recipe import TrainRecipe

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


OURS = sorted(p for p in RECIPES.rglob("*.yaml") if p.parent.name != "cluster")
"""Those for clusters are other programs'; test_check_parallel.py and test_cluster.py read them."""


@pytest.mark.parametrize("path", OURS, ids=lambda p: str(p.relative_to(RECIPES)))
def test_recipe(path, tmp_path):
    if path.name == "backbone.yaml":
        load_recipe(BackboneRecipe, path)
    elif path.name == "shape.yaml":
        from most.plan.shape import ModelShape

        assert load_recipe(ModelShape, path).most_config()
    elif path.name == "dialogues.yaml":
        from most.data.dialogue.voice.recipe import SpeakRecipe

        load_recipe(SpeakRecipe, path)
    elif path.name.startswith("data") or path.name == "sets.yaml":
        from most.data.build.recipe import BuildRecipe, resolve

        recipe = load_recipe(BuildRecipe, path)
        named = {name: value or str(tmp_path) for name, value in recipe.variables.items()}
        steps = resolve(dataclasses.replace(recipe, variables=named))
        assert all(not step.left_out for step in steps)
    elif path.name.startswith("codec"):
        from most.speech.settings import UnitSettings, VocoderSettings, read_settings

        if path.name == "codec.yaml":
            read_settings(UnitSettings, path, "units")
        read_settings(VocoderSettings, path, "vocoder")
    elif path.name == "card.yaml":
        from most.evaluate.recipe import EvalRecipe
        from most.report.model_card import CardRecipe

        measured = load_recipe(EvalRecipe, RECIPES / "eval" / "release.yaml").tasks
        assert {aim.task for aim in load_recipe(CardRecipe, path).aims} <= set(measured)
    elif path.parent.name == "ablate":
        from most.ablate.recipe import AblateRecipe

        load_recipe(AblateRecipe, path)
    elif path.parent.name == "eval":
        from most.evaluate.recipe import EvalRecipe

        recipe = load_recipe(EvalRecipe, path)
        named = {name: value or str(tmp_path) for name, value in recipe.variables.items()}
        assert all(not task.left_out for task in dataclasses.replace(recipe, variables=named).resolved())
    else:
        load_recipe(TrainRecipe, path)
