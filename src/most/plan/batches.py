"""The shapes of a recipe's micro-batches: from its own examples where they are there, else from its maximum length."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from most.data.mixture import Mixture, TokenMixture
from most.data.packing import pack
from most.errors import MostError
from most.train.recipe import TrainRecipe

STEPS = 16
"""Optimizer steps, the first ones, whose micro-batches are laid out."""
SAMPLE = 200
"""Examples of each key whose length is measured where a run has not measured all."""


@dataclass(frozen=True, kw_only=True)
class Batches:
    """Micro-batches of one device.

    Args:
        rows, width: of a usual one; positions: how many a usual one really has, for rows are whole numbers.
        largest: rows and width of the largest seen, which memory must hold.
        tokens: without padding, of a usual one.
        source: where this is known from.
    """

    rows: int
    width: int
    positions: float
    largest: tuple[int, int]
    tokens: float
    source: str


def assumed(recipe: TrainRecipe, tokens: int | None = None) -> Batches:
    """Without data: every example has `tokens`, or `max_length`; short ones share rows of `max_length`."""
    limit = recipe.data.max_length
    length = min(tokens or limit, limit)
    if recipe.data.packing:
        width = max(1, min(limit // length, recipe.micro)) * length
        rows = -(-recipe.micro * length // width)
    else:
        width, rows = length, recipe.micro
    said = f"examples of {length} tokens assumed" + ("" if tokens else " (max_length)")
    real = float(recipe.micro * length)
    return Batches(
        rows=rows, width=width, positions=float(rows * width), largest=(rows, width), tokens=real, source=said
    )


def of_lengths(recipe: TrainRecipe, lengths: Mapping[str, np.ndarray], source: str) -> Batches:
    """From the lengths of all examples of each key of the mixture, in the order in which the run reads them."""
    limit = recipe.data.max_length
    fitting = {key: rows[rows <= limit] for key, rows in lengths.items()}
    if recipe.data.mixture_unit == "tokens":
        mixture: Mixture | TokenMixture = TokenMixture(
            {key: rows.tolist() for key, rows in fitting.items()}, recipe.data.mixture, recipe.seed
        )
    else:
        mixture = Mixture({key: len(rows) for key, rows in fitting.items()}, recipe.data.mixture, recipe.seed)
    shapes, tokens = [], 0
    for step in range(min(STEPS, recipe.steps)):
        first = step * recipe.batch_size
        of_step = [mixture[i] for i in range(first, first + recipe.batch_size)]
        in_order = sorted(int(fitting[key][n]) for key, n in of_step)
        for k in range(0, len(in_order), recipe.micro):
            micro = in_order[k : k + recipe.micro]
            rows = pack(micro) if recipe.data.packing else [[i] for i in range(len(micro))]
            shapes.append((len(rows), max(sum(micro[i] for i in row) for row in rows)))
            tokens += sum(micro)
    positions = float(np.mean([r * w for r, w in shapes]))
    # Attention costs the square of the width, so the usual width is one by which positions are weighted.
    width = round(sum(r * w * w for r, w in shapes) / sum(r * w for r, w in shapes))
    return Batches(
        rows=max(1, round(positions / width)),
        width=width,
        positions=positions,
        largest=max(shapes, key=lambda s: s[0] * s[1]),
        tokens=tokens / len(shapes),
        source=source,
    )


def measured(recipe: TrainRecipe) -> Batches | None:
    """From the recipe's data; None where data or processor are not there yet."""
    from most.train.corpus import LENGTHS

    path = recipe.output / LENGTHS
    keys = [key for key, share in recipe.data.mixture.items() if share]
    if path.is_file():
        with np.load(path, allow_pickle=False) as kept:
            if all(f"of {key}" in kept for key in keys):
                return of_lengths(recipe, {key: kept[f"of {key}"] for key in keys}, "lengths of the run's examples")
    try:
        sampled = _sample(recipe, keys)
    except (MostError, OSError):
        return None
    return of_lengths(recipe, sampled, f"lengths of up to {SAMPLE} examples of each task")


def _sample(recipe: TrainRecipe, keys: list[str]) -> dict[str, np.ndarray]:
    from transformers import AutoProcessor

    from most.train.corpus import read_sources, sources_of

    if not recipe.model.is_dir():
        raise MostError("model", recipe.model, "is not there")
    processor: Any = AutoProcessor.from_pretrained(str(recipe.model))
    if recipe.data.words is not None:
        processor.guided_speech = True
    examples = read_sources(sources_of(recipe.data), processor, keys, None)
    return {
        key: np.array([len(encode(e).encoded) for encode, e in examples.get(key, [])[:SAMPLE]], dtype=np.int64)
        for key in keys
    }
