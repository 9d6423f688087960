"""Every recipe in the repository is read by the code that runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from most.convert.backbone import BackboneRecipe
from most.settings import load_recipe
from most.train.recipe import TrainRecipe

RECIPES = Path(__file__).resolve().parents[1] / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.rglob("*.yaml")), ids=lambda p: str(p.relative_to(RECIPES)))
def test_recipe(path):
    if path.name == "backbone.yaml":
        load_recipe(BackboneRecipe, path)
    elif path.name.startswith("codec"):
        from most.speech.settings import UnitSettings, VocoderSettings, read_settings

        if path.name == "codec.yaml":
            read_settings(UnitSettings, path, "units")
        read_settings(VocoderSettings, path, "vocoder")
    else:
        load_recipe(TrainRecipe, path)
