"""Which experts of a pretrained mixture serve text and which serve audio: by index, at random, or by measured use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from most.errors import MostError
from most.model.install import moe_routers
from most.model.partition import ExpertPartition
from most.model.router import in_order


def by_index(n_experts: int, n_layers: int, text_experts: int | None = None) -> list[ExpertPartition]:
    """The paper's: the first half for text."""
    return [ExpertPartition.split_by_index(n_experts, text_experts)] * n_layers


def at_random(n_experts: int, n_layers: int, seed: int, text_experts: int | None = None) -> list[ExpertPartition]:
    """A control: each layer split anew."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n_experts).tolist() for _ in range(n_layers)]
    return [ExpertPartition.split_in_order(order, "random", text_experts) for order in orders]


def by_use(counts: np.ndarray, text_experts: int | None = None) -> list[ExpertPartition]:
    """The experts that text uses most stay text experts, so that conversion costs it least.

    Args:
        counts: (layers, experts), how often calibration text picked each expert.
    """
    orders = [np.argsort(-row, kind="stable").tolist() for row in counts]
    return [ExpertPartition.split_in_order(order, "usage", text_experts) for order in orders]


def expanded(n_experts: int, n_audio: int, n_layers: int) -> list[ExpertPartition]:
    """All experts stay text experts; `n_audio` more follow them."""
    total = n_experts + n_audio
    partition = ExpertPartition(
        num_experts=total, text=tuple(range(n_experts)), audio=tuple(range(n_experts, total)), method="expand"
    )
    return [partition] * n_layers


def copies(n_experts: int, n_audio: int) -> list[int]:
    """Which text expert each added audio expert starts from: each in turn, or evenly spaced where they are fewer."""
    if n_audio >= n_experts:
        return [i % n_experts for i in range(n_audio)]
    return [i * n_experts // n_audio for i in range(n_audio)]


def read_texts(path: Path) -> list[str]:
    """Calibration text: a JSONL with a `text` field, or plain text in paragraphs.

    Raises:
        MostError: no such file, a row without text, or nothing in it.
    """
    if not path.is_file():
        raise MostError("calibration", path, "is no file; give plain text or JSONL rows with a `text`")
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        texts = []
        for number, line in enumerate(filter(str.strip, content.splitlines()), start=1):
            row = json.loads(line)
            if not isinstance(row.get("text"), str):
                raise MostError("calibration", f"{path}:{number}", "has no `text`")
            texts.append(row["text"])
    else:
        texts = content.split("\n\n")
    texts = [t.strip() for t in texts if t.strip()]
    if not texts:
        raise MostError("calibration", path, "holds no text")
    return texts


@torch.inference_mode()
def measure_use(model: Any, tokenizer: Any, texts: Sequence[str], n_tokens: int, progress: bool = True) -> np.ndarray:
    """How often each expert of each MoE layer is picked by the backbone's own router: (layers, experts) int64.

    Args:
        n_tokens: how many tokens of `texts` are read; fewer texts than that are read whole.
    """
    found = [getattr(holder, name) for holder, name in moe_routers(model)]
    counts = torch.zeros(len(found), found[0].weight.shape[0], dtype=torch.long)

    def counting(layer: int) -> Any:
        def hook(_module: Any, _args: Any, output: tuple[torch.Tensor, ...]) -> None:
            counts[layer] += torch.bincount(in_order(output)[2].flatten().cpu(), minlength=counts.shape[1])

        return hook

    hooks = [router.register_forward_hook(counting(i)) for i, router in enumerate(found)]
    length = min(1024, getattr(model.config, "max_position_embeddings", 1024))
    try:
        for ids in tqdm(_chunks(tokenizer, texts, n_tokens, length), desc="calibration", disable=not progress):
            model(input_ids=ids[None].to(model.device), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return counts.numpy()


def _chunks(tokenizer: Any, texts: Sequence[str], n_tokens: int, length: int) -> list[torch.Tensor]:
    out, left = [], n_tokens
    for text in texts:
        if left <= 0:
            break
        ids = tokenizer(text, truncation=True, max_length=min(length, left), return_tensors="pt")["input_ids"][0]
        left -= len(ids)
        if len(ids):
            out.append(ids)
    return out
