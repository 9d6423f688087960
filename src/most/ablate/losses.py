"""The loss of each held-out example under a trained model: the finest thing two models can be compared by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from most.ablate.recipe import AblateRecipe
from most.data.dataset import Collator
from most.errors import MostError
from most.files import read_lines, write_text
from most.model.load import load_most
from most.settings import to_plain
from most.train.heldout import IGNORE, read_held_out

LOSSES = "losses.jsonl"
BATCH = 16


def measure_losses(recipe: AblateRecipe, model_folder: Path, out: Path) -> list[dict[str, Any]]:
    """A row an example: `measure`, `id`, `total` loss in nats and `n` tokens it is over. Kept in `out`/losses.jsonl.

    Raises:
        MostError: a measure whose manifests hold examples of several tasks.
    """
    settings = json.dumps(to_plain(recipe.losses))
    path, stamp = out / LOSSES, out / "losses.settings.json"
    if path.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == settings:
        return read_lines(path)
    model, processor = load_most(model_folder)
    model.eval()
    collate, rows = Collator(processor.tokenizer.pad_token_id), []
    for name, held_out in recipe.losses.items():
        by_task = read_held_out(held_out, processor, recipe.training("", Path(), Path(), 0).data.max_length)
        if len(by_task) > 1:
            raise MostError(f"losses.{name}", sorted(by_task), "are several tasks; name a measure for each")
        items = next(iter(by_task.values()))
        for k in range(0, len(items), BATCH):
            batch = items[k : k + BATCH]
            inputs = collate(batch)
            with torch.inference_mode():
                losses = model(**inputs).token_losses
            counts = (inputs["labels"][:, 1:] != IGNORE).sum(dim=1)
            for item, loss, n in zip(batch, losses.sum(dim=1).tolist(), counts.tolist(), strict=True):
                rows.append({"measure": name, "id": item.id, "total": loss, "n": n})
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
    write_text(stamp, settings)
    return rows
