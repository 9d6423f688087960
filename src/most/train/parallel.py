"""How a run is spread over processes: data parallelism by accelerate, the rest by transformers' own plans.

No engine of ours: `ddp` and `fsdp` (FSDP2) are what the Trainer makes of its arguments; with `experts` or `tensor`
above 1, or `shards`, `from_pretrained` shards the model by a `DistributedConfig`. Checkpoints: `sharded.py`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import torch
import transformers
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.distributed.configuration_utils import DistributedConfig

from most.convert.placement import experts_by_rank
from most.errors import MostError
from most.model.configuration import MostConfig
from most.model.families import family_of


@dataclass(frozen=True, kw_only=True)
class ParallelSettings:
    """Section `parallel` of a training recipe; how many processes there are is torchrun's to say.

    Args:
        data: every rank reads its own share of a step. `ddp`: each holds the whole model; `fsdp`: weights, gradients
            and optimizer state are sharded over the ranks; `none`: all ranks read the same batch (`tensor` alone).
        shards: ranks that share one copy of the weights under `fsdp` (such as the GPUs of one node); each group of
            them is a replica. All ranks when absent.
        experts: ranks that divide the routed experts of a layer among them.
        tensor: ranks that divide every matrix; they read the same batch.
        reshard_after_forward: under `fsdp`, free gathered weights between forward and backward: less memory, more
            traffic. Always so with `experts` or `tensor` above 1, or `shards`.
        cpu_offload: under `fsdp`, keep weights and optimizer state in CPU memory.
        timeout_seconds: how long a rank waits for the others, at the start and in any exchange, before it fails.
    """

    data: Literal["ddp", "fsdp", "none"] = "ddp"
    shards: int | None = None
    experts: int = 1
    tensor: int = 1
    reshard_after_forward: bool = True
    cpu_offload: bool = False
    timeout_seconds: int = 1800

    def __post_init__(self) -> None:
        for name in ("shards", "experts", "tensor", "timeout_seconds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise MostError(f"parallel.{name}", value, "must be at least 1")
        if self.data not in ("ddp", "fsdp", "none"):
            raise MostError("parallel.data", self.data, "known: ddp, fsdp, none")
        if self.shards is not None and self.data != "fsdp":
            raise MostError("parallel.shards", self.shards, "shards are of `data: fsdp`; leave it out or choose that")
        if self.cpu_offload and self.data != "fsdp":
            raise MostError("parallel.cpu_offload", True, "only `data: fsdp` keeps weights in CPU memory")
        if self.sharded_at_load and self.data == "ddp":
            raise MostError("parallel.data", "ddp", "with experts or tensor above 1 choose fsdp, or none")

    @property
    def sharded_at_load(self) -> bool:
        """Whether `from_pretrained` shards the model, by `distributed_config`."""
        return self.experts > 1 or self.tensor > 1 or self.shards is not None

    @property
    def sharded(self) -> bool:
        """Whether checkpoints hold the optimizer's state by weight name, so that any number of ranks may read them."""
        return self.sharded_at_load or self.data == "fsdp"

    def data_ranks(self, world_size: int) -> int:
        """Ranks, or groups of `tensor` ranks, that read batches of their own."""
        return world_size // self.tensor


def check_parallel(
    settings: ParallelSettings,
    world_size: int,
    config: MostConfig,
    *,
    batch_size: int,
    micro_batch_size: int,
) -> None:
    """Find what does not fit before anything is loaded.

    Args:
        world_size: processes of the run.
        config: of the model that is trained.
        batch_size: examples per optimizer step; micro_batch_size: at once on one rank.

    Raises:
        MostError: that names the setting.
    """
    tensor, data = settings.tensor, settings.data
    if world_size % tensor:
        raise MostError("parallel.tensor", tensor, f"must divide the {world_size} processes of the run")
    n = settings.data_ranks(world_size)
    if data == "none" and n > 1:
        remedy = f"{n} ranks would do the same work; choose ddp or fsdp"
        raise MostError("parallel.data", "none", remedy)
    if settings.shards is not None and n % settings.shards:
        raise MostError("parallel.shards", settings.shards, f"must divide the {n} ranks that read batches")
    if settings.sharded_at_load and not hasattr(DistributedConfig(), "ep_size"):
        remedy = "shards otherwise; install transformers>=5.24, or leave experts and tensor at 1 and shards out"
        raise MostError("transformers", transformers.__version__, remedy)
    _check_experts(settings, world_size, config)
    _check_tensor(tensor, config)
    if micro_batch_size * n > batch_size or batch_size % (micro_batch_size * n):
        remedy = f"must be a multiple of {micro_batch_size * n}: micro_batch_size {micro_batch_size} on {n} ranks"
        raise MostError("batch_size", batch_size, remedy)


def _check_experts(settings: ParallelSettings, world_size: int, config: MostConfig) -> None:
    experts, tensor = settings.experts, settings.tensor
    if experts == 1:
        return
    text: Any = config.text_config
    total = family_of(text).num_experts(text)
    if experts > total:
        raise MostError("parallel.experts", experts, f"is more ranks than the {total} experts of a layer")
    if total % experts:
        raise MostError("parallel.experts", experts, f"must divide the {total} experts of a layer")
    if experts % tensor:
        raise MostError("parallel.experts", experts, f"must be a multiple of tensor {tensor}: experts stay whole")
    copy = tensor * (settings.shards or settings.data_ranks(world_size))
    if copy % experts:
        remedy = f"must divide the {copy} ranks that hold one copy of the weights; start more processes or lower it"
        raise MostError("parallel.experts", experts, remedy)
    if not getattr(text, "base_model_ep_plan", None):
        raise MostError("parallel.experts", experts, f"{text.model_type} has no expert plan; set it to 1")
    if config.modality_routing:
        for layer, ranks in enumerate(experts_by_rank(config, experts)):
            for rank, (n_text, n_audio) in enumerate(ranks):
                if not n_text or not n_audio:
                    only = "text" if n_text else "audio"
                    remedy = f"rank {rank} would hold {only} experts alone (MoE layer {layer}) and idle for the rest"
                    raise MostError("parallel.experts", experts, f"{remedy}; train a copy made by `most place`")


def _check_tensor(tensor: int, config: MostConfig) -> None:
    if tensor == 1:
        return
    text: Any = config.text_config
    if not getattr(text, "base_model_tp_plan", None):
        raise MostError("parallel.tensor", tensor, f"{text.model_type} has no tensor plan; set it to 1")
    sizes = ("num_attention_heads", "num_key_value_heads", "intermediate_size", "moe_intermediate_size", "vocab_size")
    for name in sizes:
        size = getattr(text, name, None)
        if isinstance(size, int) and size % tensor:
            raise MostError("parallel.tensor", tensor, f"must divide the backbone's {name} {size}")


def join_processes(settings: ParallelSettings) -> int:
    """Meet the other processes that torchrun started, before anything else does, and return how many there are.

    Left to others, the time-out would be theirs: 30 minutes on CPU whatever the Trainer is told, 2 hours where
    transformers shards.

    Raises:
        torch.distributed.DistError: not all came within `timeout_seconds`.
    """
    world_size = int(os.environ.get("WORLD_SIZE", 1))
    if world_size > 1 and not torch.distributed.is_initialized():
        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
            backend = "cpu:gloo,cuda:nccl"  # offloaded weights and checkpoints are gathered on the CPU
        torch.distributed.init_process_group(backend, timeout=timedelta(seconds=settings.timeout_seconds))
    return world_size


def parallel_arguments(settings: ParallelSettings, world_size: int, config: MostConfig) -> dict[str, Any]:
    """What `TrainingArguments` take for these settings."""
    arguments: dict[str, Any] = {
        "ddp_find_unused_parameters": False,  # every weight is in the graph of every batch, see `_embed`
        "average_tokens_across_devices": True,
    }
    if settings.data != "fsdp" or settings.sharded_at_load or world_size == 1:
        return arguments
    models: Any = MODEL_FOR_CAUSAL_LM_MAPPING
    layers = models[type(config.text_config)]._no_split_modules
    arguments["fsdp"] = True
    arguments["fsdp_config"] = {
        "version": 2,
        # The backbone's layers alone. By default the audio encoder's would be gathered one by one too, by the ranks
        # that hear something: they would wait for ever for those that do not.
        "transformer_layer_cls_to_wrap": sorted(layers),
        "reshard_after_forward": settings.reshard_after_forward,
        "cpu_offload": settings.cpu_offload,
        "state_dict_type": "FULL_STATE_DICT",
    }
    return arguments


def distributed_config(settings: ParallelSettings, world_size: int) -> DistributedConfig | None:
    """What `from_pretrained` takes, after `join_processes`; None where the model is loaded whole."""
    if not settings.sharded_at_load:
        return None
    n = settings.data_ranks(world_size)
    shards = settings.shards or n
    return DistributedConfig(
        tp_size=settings.tensor,
        ep_size=settings.experts,
        fsdp_size=shards,
        dp_replicate_size=n // shards,
        fsdp_cpu_offload=settings.cpu_offload,
    )


def accumulation_steps(settings: ParallelSettings, world_size: int, batch_size: int, micro_batch_size: int) -> int:
    """Micro-batches of a rank in a step; with any number of ranks a step is the same `batch_size` examples."""
    return batch_size // (micro_batch_size * settings.data_ranks(world_size))
