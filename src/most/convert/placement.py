"""The order of a MoST's experts, for expert parallelism: every rank shall hold experts of both modalities.

transformers gives each rank a run of neighbouring experts. After the paper's split by index those are all of one
modality, and a batch of text leaves half of the ranks idle. Here text and audio experts take turns instead. It is the
same model: weights, router rows and partitions move together.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from most.convert.convert import PREFIX, REPORT
from most.convert.export import read_config
from most.convert.layout import MoeView, layout_of, split_name
from most.convert.plan import Plan
from most.convert.source import read_tensors
from most.convert.write import finish, write_plan
from most.errors import MostError
from most.model.configuration import MostConfig
from most.model.families import family_of
from most.model.partition import ExpertPartition, resolve
from most.model.rule import RoutingRule


def interleaved(partition: ExpertPartition, rule: RoutingRule) -> list[int]:
    """Which old expert each place gets: neighbours share the modalities as the layer does.

    Experts of one modality keep their order. With device-limited routing over all experts, the routing groups stay
    whole: they take turns, and so do the experts inside each.
    """
    is_audio = [e in set(partition.audio) for e in range(partition.num_experts)]
    if rule.n_groups == 1 or partition.scores_over == "own":
        return _take_turns(list(range(partition.num_experts)), is_audio)
    size = partition.num_experts // rule.n_groups
    groups = [list(range(i, i + size)) for i in range(0, partition.num_experts, size)]
    kinds = [sum(is_audio[e] for e in group) for group in groups]
    order = _take_turns(list(range(len(groups))), kinds)
    return [e for g in order for e in _take_turns(groups[g], [is_audio[e] for e in groups[g]])]


def _take_turns(items: Sequence[int], kinds: Sequence[int]) -> list[int]:
    """Items in an order in which each kind is spread evenly; a kind's own items keep their order."""
    count = {kind: kinds.count(kind) for kind in kinds}
    seen = dict.fromkeys(count, 0)
    places = []
    for item, kind in zip(items, kinds, strict=True):
        places.append(((2 * seen[kind] + 1) / (2 * count[kind]), kind, item))
        seen[kind] += 1
    return [item for _, _, item in sorted(places)]


def placed(partition: ExpertPartition, order: Sequence[int]) -> ExpertPartition:
    """The partition of a layer whose place i has old expert `order[i]`."""
    place = {old: new for new, old in enumerate(order)}
    return replace(
        partition, text=tuple(place[e] for e in partition.text), audio=tuple(place[e] for e in partition.audio)
    )


def experts_by_rank(config: MostConfig, n_ranks: int) -> list[list[tuple[int, int]]]:
    """For each partition of the config, the text and audio experts that each of `n_ranks` holds."""
    out = []
    for partition in partitions_of(config):
        size = partition.num_experts // n_ranks
        text = [sum(r * size <= e < (r + 1) * size for e in partition.text) for r in range(n_ranks)]
        out.append([(n, size - n) for n in text])
    return out


def partitions_of(config: MostConfig) -> list[ExpertPartition]:
    """As many as the config names, or the one that all layers have by default."""
    text: Any = config.text_config
    n_layers = len(config.partitions or [None])
    return resolve(config.partitions, num_experts=family_of(text).num_experts(text), top_k=None, n_layers=n_layers)


def place_experts(
    model: Path,
    out: Path,
    *,
    max_shard_bytes: int = 4_000_000_000,
    progress: bool = True,
    echo: Callable[[str], Any] = print,
) -> Path:
    """Write a MoST folder again with its experts in the order of `interleaved`, which suits any number of ranks.

    Bytes are moved, not computed. Outputs are the same, but for the order in which floating-point numbers are added.

    Raises:
        MostError: no MoST, an existing output, or as in `write_plan`.
    """
    if out.exists():
        raise MostError("out", out, "exists; choose another folder or delete it")
    config = read_config(model)
    rule = family_of(config.text_config).rule(config.text_config)
    chosen = partitions_of(config)
    orders = [interleaved(p, rule) for p in chosen]
    tensors = read_tensors(model)
    view = MoeView(tensors, layout_of(config.text_config.model_type), PREFIX)  # type: ignore[union-attr]
    names = [n.removeprefix(PREFIX) for n in tensors]
    layers = sorted({split_name(n)[0] for n in names if view.is_experts(n)}, key=lambda name: int(name.split(".")[2]))
    order_of = dict(zip(layers, orders * len(layers) if len(orders) == 1 else orders, strict=False))
    plan = Plan()
    for full, name in zip(tensors, names, strict=True):
        inside = full.startswith(PREFIX)
        if inside and view.is_experts(name):
            tensor = view.fused(name, order_of[split_name(name)[0]])
        elif inside and view.is_per_expert(name):
            tensor = view.per_expert(name, order_of[split_name(name)[0]])
        else:
            tensor = MoeView(tensors, view.layout).stored(full)
        plan.tensors.append(replace(tensor, name=full))
    echo(f"place: {model} -> {out}: text and audio experts take turns; writes {plan.n_bytes / 1e9:.2f} GB")
    part = out.with_name(out.name + ".part")
    checksums = write_plan(plan, part, max_shard_bytes=max_shard_bytes, progress=progress)
    weights = {t.file.name for t in tensors.values()} | {"model.safetensors.index.json"}
    for file in model.iterdir():
        if file.is_file() and file.name not in weights:
            shutil.copyfile(file, part / file.name)
    config.partitions = [placed(p, order).to_json() for p, order in zip(chosen, orders, strict=True)]
    config.save_pretrained(part)
    if (part / REPORT).is_file():
        report = json.loads((part / REPORT).read_text(encoding="utf-8"))
        report |= {"partitions": config.partitions, "sha256": checksums, "expert_order": orders}
        (part / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    finish(part, out)
    return out
