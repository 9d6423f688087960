"""Run by `test_distributed.py` under torchrun: two CPU processes, one hearing speech, one reading text.

Arguments: a folder that holds a saved tiny model and `inputs.pt`, and where the results go.
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from transformers.distributed import DistributedConfig

from most.model import MostForConditionalGeneration


def train(model: torch.nn.Module, wrapped: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> list[float]:
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    losses = []
    for _ in range(3):
        loss = wrapped(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    torch.set_num_threads(1)
    rank = dist.get_rank()
    batches = torch.load(folder / "inputs.pt", weights_only=True)
    results: dict[str, object] = {}
    for kind in ("ddp", "fsdp"):
        model = MostForConditionalGeneration.from_pretrained(folder).train()
        model.gradient_checkpointing_enable()
        if kind == "ddp":
            wrapped: torch.nn.Module = DistributedDataParallel(model)
        else:
            for layer in model.get_decoder().layers:
                fully_shard(layer)
            wrapped = fully_shard(model)  # type: ignore[assignment]
        results[kind] = train(model, wrapped, batches[rank])
    plain = MostForConditionalGeneration.from_pretrained(folder).eval()
    inputs = {k: v for k, v in batches[1].items() if k != "labels"}
    with torch.no_grad():
        expected = plain(**inputs).logits
        if hasattr(DistributedConfig(tp_size=2), "ep_size"):
            for name, config in (
                ("tensor", DistributedConfig(tp_size=2)),
                ("expert all-reduce", DistributedConfig(tp_size=2, ep_size=2)),
                ("expert all-to-all", DistributedConfig(fsdp_size=2, ep_size=2)),
            ):
                model = MostForConditionalGeneration.from_pretrained(folder, distributed_config=config).eval()
                results[name] = (model(**inputs).logits - expected).abs().max().item()
    (folder / f"rank{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
