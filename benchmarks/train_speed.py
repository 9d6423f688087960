"""Whole training at nano size: our way against the release's, on the same examples and weights, in one run.

    python benchmarks/train_speed.py --out runs/train-speed

Ours: examples packed into rows, experts by `sorted_mm`. The release's (arXiv 2601.10272): every sample padded to 2048,
a loop with boolean masks over all experts. Each is a whole optimizer step (loading, forward, backward, clipping,
AdamW), in turn on the same examples; figures are medians of `--rounds` steps. Between the two it also times our packing
with transformers' `grouped_mm`. Then the share of our steps spent waiting for the loader (which works in the same
process here), and our peak of memory against what must be there: weights, gradients, Adam's two moments, and the
activations that autograd keeps, which are counted.

Makes its data first, connected digits as in the demo with the shipped codec's arrays; takes about a minute, once.
"""

from __future__ import annotations

import os

# Before torch loads, as in moe_layer.py.
os.environ.setdefault("OMP_PROC_BIND", "true")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import argparse
import copy
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from moe_layer import LoopExperts, busy_elsewhere, device_name

from most.convert.backbone import BackboneRecipe, init_backbone
from most.convert.convert import convert
from most.convert.settings import ConvertSettings
from most.data.dataset import Collator, StepOrder
from most.data.digits import build_digits
from most.data.encode import encode_manifests
from most.model.experts import SORTED_EXPERTS
from most.model.load import load_most
from most.settings import load_recipe
from most.speech.codec import Codec, default_codec_dir
from most.train.recipe import DataSettings, TrainRecipe
from most.train.run import build_dataset

RECIPES = Path(__file__).parents[1] / "recipes" / "demo"
RELEASE_LENGTH = 2048


def prepare(out: Path, backbone: Path, utterances: int) -> Path:
    """Data, arrays and an untrained MoST in `out`; returns the model's folder."""
    model = out / "most"
    if not model.exists():
        corpus = build_digits(out / "data", n_train=utterances, n_test=25, n_text=utterances // 2)
        encode_manifests([corpus.train], out / "arrays", Codec.load(default_codec_dir()))
        settings = [f"output={out / 'backbone'}", f"manifests=[{corpus.train}]"]
        recipe = load_recipe(BackboneRecipe, backbone, settings)
        if not recipe.output.exists():
            init_backbone(recipe)
        convert(recipe.output, model, settings=ConvertSettings(new_row_noise=1.0))
    return model


class Way:
    """A model, its optimizer, and how it lays out a batch."""

    def __init__(self, model: Any, collate: Callable[[Any], dict[str, Any]]) -> None:
        self.model, self.collate = model, collate
        trained = [p for p in model.parameters() if p.requires_grad]
        self.trained, self.optimizer = trained, torch.optim.AdamW(trained, lr=1e-4)
        self.seconds: list[float] = []
        self.loading: list[float] = []
        self.positions: list[int] = []

    def step(self, dataset: Any, indices: list[int], micro: int, *, record: bool = True) -> float:
        """One optimizer step; the loss."""
        begin, loading, positions, total = time.perf_counter(), 0.0, 0, 0.0
        n_micro = -(-len(indices) // micro)
        for k in range(0, len(indices), micro):
            ask = time.perf_counter()
            batch = self.collate([dataset[i] for i in indices[k : k + micro]])
            loading += time.perf_counter() - ask
            positions += batch["input_ids"].numel()
            loss = self.model(**batch).loss / n_micro
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if record:
            self.seconds.append(time.perf_counter() - begin)
            self.loading.append(loading)
            self.positions.append(positions)
        return total


def padded(pad_id: int, length: int) -> Callable[[Any], dict[str, Any]]:
    """The release's layout: a row for each sample, as wide as the longest it could be."""

    def collate(items: Any) -> dict[str, Any]:
        batch = Collator(pad_id)(items)
        extra = length - batch["input_ids"].shape[1]
        for name, fill in (("input_ids", pad_id), ("labels", -100), ("attention_mask", 0)):
            batch[name] = torch.nn.functional.pad(batch[name], (0, extra), value=fill)
        return batch

    return collate


def looped(model: Any) -> Any:
    """A copy whose experts are the release's."""
    model = copy.deepcopy(model)
    for layer in model.get_decoder().layers:
        if hasattr(layer.mlp, "experts"):
            layer.mlp.experts = LoopExperts(layer.mlp.experts.config, layer.mlp.experts)
    return model


def with_experts(model: Any, implementation: str) -> Any:
    model = copy.deepcopy(model)
    model.set_experts_implementation(implementation)
    return model


def memory(name: str) -> int:
    """`VmRSS` or `VmHWM` of this process, in bytes; 0 where nothing tells."""
    status = Path("/proc/self/status")
    found = re.search(rf"{name}:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found[1]) << 10 if found else 0


def kept_bytes(way: Way, dataset: Any, indices: list[int]) -> int:
    """Activations that autograd keeps of one micro-batch, each storage once, weights and inputs not counted."""
    own = {p.untyped_storage().data_ptr() for p in way.model.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = way.model(**way.collate([dataset[i] for i in indices])).loss
    total = sum(kept.values())
    del loss
    return total


def report_memory(way: Way, dataset: Any, indices: list[int], micro: int, before: int) -> None:
    """Peak of resident memory over two steps, above `before`, and its floor."""
    way.step(dataset, indices, micro, record=False)
    kept = kept_bytes(way, dataset, indices[-micro:])
    Path("/proc/self/clear_refs").write_text("5")  # starts VmHWM anew
    way.step(dataset, indices, micro, record=False)
    peak = memory("VmHWM") - before
    weights = sum(p.nbytes for p in way.model.parameters())
    trained = sum(p.nbytes for p in way.trained)
    floor = weights + 3 * trained + kept
    print(f"\nmemory: peak {peak / 1e6:.0f} MB, {peak / floor:.2f} of the floor of {floor / 1e6:.0f} MB: weights "
          f"{weights / 1e6:.0f}, gradients and Adam {3 * trained / 1e6:.0f}, activations {kept / 1e6:.0f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/train-speed"))
    parser.add_argument("--backbone", type=Path, default=RECIPES / "backbone.yaml")
    parser.add_argument("--utterances", type=int, default=200, help="of the data to make")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--micro-batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--length", type=int, default=RELEASE_LENGTH, help="that the release pads to")
    args = parser.parse_args()
    folder = prepare(args.out, args.backbone, args.utterances)
    before = memory("VmRSS")
    model, processor = load_most(folder)
    model.train()
    recipe = TrainRecipe(
        model=folder, output=args.out / "unused", steps=args.rounds + 2, batch_size=args.batch_size, learning_rate=1e-4,
        data=DataSettings(manifests=(args.out / "data/train.jsonl",), arrays=args.out / "arrays"),
    )  # fmt: skip
    dataset = build_dataset(recipe, processor)
    order = list(StepOrder(dataset, args.batch_size))
    steps = [order[k : k + args.batch_size] for k in range(0, len(order), args.batch_size)]
    pad_id, micro = processor.tokenizer.pad_token_id, args.micro_batch_size
    lengths = [len(dataset[i].encoded) for i in order]
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f"{device_name(torch.device('cpu'))}, torch {torch.__version__}")
    print(f"{trained / 1e6:.1f} M trained parameters; steps of {args.batch_size} examples of {min(lengths)} to "
          f"{max(lengths)} positions, {statistics.mean(lengths):.0f} on average")  # fmt: skip
    packed = Collator(pad_id, packing=True)
    # The modules' memory: one model at a time.
    report_memory(Way(copy.deepcopy(model), packed), dataset, steps[0], micro, before)
    ways = {
        f"packed, {SORTED_EXPERTS}": Way(model, packed),
        "packed, grouped_mm": Way(with_experts(model, "grouped_mm"), packed),
        f"padded to {args.length}, loop": Way(looped(model), padded(pad_id, args.length)),
    }
    elsewhere, began = busy_elsewhere(), time.perf_counter()
    for k, indices in enumerate(steps[1:]):
        losses = [way.step(dataset, indices, micro, record=k > 0) for way in ways.values()]
        if k == 0:  # the same weights still: the same loss, but for rounding
            assert max(losses) - min(losses) < 1e-2 * abs(losses[0]), losses
    real = sum(lengths[2 * args.batch_size :]) / args.rounds
    print(f"\n{'':24} {'s a step':>9} {'tokens/s':>9}  padding  loader")
    for name, way in ways.items():
        s = statistics.median(way.seconds)
        waste = 1 - real * args.rounds / sum(way.positions)
        print(f"{name:24} {s:9.2f} {real / s:9.0f}  {waste:6.1%}  {sum(way.loading) / sum(way.seconds):6.1%}")
    ours, *_, release = (statistics.median(way.seconds) for way in ways.values())
    print(f"\nours / the release's: {release / ours:.1f} times the speed")
    spent = time.perf_counter() - began
    print(f"others had {(busy_elsewhere() - elsewhere) / spent:.2f} cores of the machine meanwhile")


if __name__ == "__main__":
    main()
