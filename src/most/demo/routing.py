"""Which experts tokens are sent to, counted over batches, and the picture of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from most.generate.engine import Engine
from most.model.balance import routing_stats
from most.model.install import routers
from most.report.figures import routing_heatmap
from most.report.page import Figure, Table


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Picks `(layers, 2, experts)` of text and audio tokens, each expert's group `(layers, experts)`: 0 text, 1 audio,
    2 both; and the number of the first layer that has experts."""

    counts: np.ndarray
    groups: np.ndarray
    first_layer: int

    def heatmap(self, caption: str) -> Figure:
        names = [str(self.first_layer + k) for k in range(len(self.counts))]
        return routing_heatmap(self.counts, self.groups, layer_names=names, caption=caption)

    def table(self) -> Table:
        return Table(
            columns=["layer", "text tokens: busiest expert", "audio tokens: busiest expert", "unused experts"],
            rows=[_use(self.first_layer + k, c) for k, c in enumerate(self.counts)],
            note="Share of a modality's picks that its busiest expert takes; even use would be "
            f"{1 / int((self.groups[0] == 0).sum()):.0%}.",
        )


@torch.inference_mode()
def routing_of(engine: Engine, batches: Iterable[Mapping[str, Any]]) -> Routing:
    """Run batches (`input_ids`, `attention_mask`, audio) through the model and count what its routers pick."""
    installed = routers(engine.model.language_model)
    partitions = [r.partition if r.routing else None for r in installed]
    biases = [r.selection_bias for r in installed]
    total = np.zeros((len(installed), 2, installed[0].partition.num_experts), dtype=np.int64)
    for batch in batches:
        logits = engine.model(**batch, output_router_logits=True).router_logits
        modality = engine.processor.vocab.modality_of(batch["input_ids"])
        stats = routing_stats(logits, modality, batch["attention_mask"].bool(), partitions, installed[0].rule, biases)
        total += np.stack([s.counts.numpy() for s in stats])
    groups = np.stack(
        [r.partition.membership()[1].long().numpy() if r.routing else np.full(total.shape[2], 2) for r in installed]
    )
    first = engine.model.config.text_config.num_hidden_layers - len(installed)
    return Routing(counts=total, groups=groups, first_layer=first)


def _use(layer: int, counts: np.ndarray) -> list[object]:
    shares = [f"{c.max() / max(c.sum(), 1):.0%}" for c in counts]
    return [str(layer), *shares, int((counts.sum(axis=0) == 0).sum())]
