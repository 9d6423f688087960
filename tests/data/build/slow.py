"""`most data build` with the stand-in voice in the table, to be killed: python slow.py TONES.py RECIPE [overrides]."""

from __future__ import annotations

import importlib.util
import sys

from most.data.build.recipe import BuildRecipe
from most.data.build.run import build_data
from most.settings import load_recipe

spec = importlib.util.spec_from_file_location("voice_tones", sys.argv[1])
assert spec is not None
assert spec.loader is not None
spec.loader.exec_module(importlib.util.module_from_spec(spec))
if __name__ == "__main__":  # worker processes import this file too
    build_data(load_recipe(BuildRecipe, sys.argv[2], sys.argv[3:]), progress=False)
