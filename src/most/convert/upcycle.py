"""Dense to mixture of experts: every expert starts as a copy of the dense MLP ("sparse upcycling", arXiv 2212.05055).

Experts are equal at first and the router's weights sum to one for each token, so the outputs are the dense model's
whatever the router picks. Where there is a shared expert, it and the routed ones carry half the output each.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoConfig

from most.convert.layout import MoeView, layout_of, split_name
from most.convert.plan import DTYPES, Made, Piece, PlannedTensor, made, read, whole
from most.convert.source import StoredTensor
from most.errors import MostError

_COMMON = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "num_key_value_heads", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps", "use_cache",
    "tie_word_embeddings", "attention_dropout", "bos_token_id", "eos_token_id", "pad_token_id", "rope_parameters",
)  # fmt: skip


def _mixtral(config: Any, n_experts: int, top_k: int) -> dict[str, Any]:
    return {
        "model_type": "mixtral", "num_local_experts": n_experts, "num_experts_per_tok": top_k, "sliding_window": None,
        "head_dim": config.head_dim, "router_jitter_noise": 0.0,
    }  # fmt: skip


def _qwen2_moe(config: Any, n_experts: int, top_k: int) -> dict[str, Any]:
    return {
        "model_type": "qwen2_moe", "num_experts": n_experts, "num_experts_per_tok": top_k, "norm_topk_prob": True,
        "moe_intermediate_size": config.intermediate_size, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "shared_expert_intermediate_size": config.intermediate_size, "qkv_bias": config.model_type == "qwen2",
        **_window(config),
    }  # fmt: skip


def _qwen3_moe(config: Any, n_experts: int, top_k: int) -> dict[str, Any]:
    return {
        "model_type": "qwen3_moe", "num_experts": n_experts, "num_experts_per_tok": top_k, "norm_topk_prob": True,
        "moe_intermediate_size": config.intermediate_size, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "head_dim": config.head_dim, "attention_bias": config.attention_bias, **_window(config),
    }  # fmt: skip


def _window(config: Any) -> dict[str, Any]:
    if getattr(config, "use_sliding_window", False):
        raise MostError("use_sliding_window", True, "layers with sliding windows cannot be upcycled; turn it off")
    return {"use_sliding_window": False, "sliding_window": None}


@dataclass(frozen=True)
class Dense:
    """Which mixture architectures hold a dense one: without and with a shared expert (None: there is none)."""

    plain: Callable[[Any, int, int], dict[str, Any]] | None
    shared: Callable[[Any, int, int], dict[str, Any]] | None


DENSE: dict[str, Dense] = {
    "llama": Dense(_mixtral, _qwen2_moe),
    "qwen2": Dense(None, _qwen2_moe),
    "qwen3": Dense(_qwen3_moe, None),
}
"""transformers' `model_type` of a dense model -> mixtures it becomes."""


def upcycled_config(config: Any, *, n_experts: int, top_k: int, shared: bool | None) -> Any:
    """The mixture's config.

    Args:
        config: of the dense model.
        n_experts: routed experts a layer, over both groups.
        shared: with a shared expert; None for what the architecture has.

    Raises:
        MostError: an architecture that is not covered, or a shared expert where there is none.
    """
    dense = DENSE[config.model_type]
    if shared is None:
        shared = dense.plain is None
    build = dense.shared if shared else dense.plain
    if build is None:
        have = "always has" if shared is False else "has no mixture with"
        raise MostError("shared_expert", shared, f"{config.model_type} {have} a shared expert; change or leave it out")
    for name in ("attention_bias", "mlp_bias"):
        if getattr(config, name, False) and not (name == "attention_bias" and config.model_type == "qwen3"):
            raise MostError(name, True, f"{config.model_type} with {name} has no mixture architecture to become")
    if config.model_type == "llama" and shared and config.head_dim * config.num_attention_heads != config.hidden_size:
        raise MostError("head_dim", config.head_dim, "does not divide hidden_size into heads; use no shared expert")
    common = {name: getattr(config, name) for name in _COMMON if hasattr(config, name)}
    return AutoConfig.for_model(**common, **build(config, n_experts, top_k))


class DenseView(MoeView):
    """A dense checkpoint seen as the mixture it becomes: the same methods as any MoE source."""

    def __init__(self, tensors: dict[str, StoredTensor], config: Any, *, seed: int) -> None:
        super().__init__(tensors, layout_of(config.model_type))
        self.config, self.seed = config, seed
        self.shared = config.model_type == "qwen2_moe"

    def dtype(self, name: str) -> str:
        return self.get("model.embed_tokens.weight").dtype

    def n_experts(self, block: str) -> int:
        return 1

    def expert_shape(self, block: str) -> tuple[int, int]:
        intermediate, hidden = self.get(f"{block}.gate_proj.weight").shape
        return intermediate, hidden

    def expert(self, block: str, part: str, e: int) -> Piece:
        tensor = self.get(f"{block}.{part}_proj.weight")
        if part != "down" or not self.shared:
            return whole(tensor)
        # Halving is exact in every binary format; the shared expert brings the other half.
        return Made(tensor.n_bytes, f"half of {tensor.file} {tensor.offset}", lambda: _half(tensor), tensor.name)

    def per_expert(self, name: str, experts: Sequence[int]) -> PlannedTensor:
        """A new router: random rows, so that the copies get different tokens and grow apart."""
        dtype = self.dtype(name)
        shape = (len(experts), self.config.hidden_size)
        key = f"router {name} {shape} {dtype} {self.seed}"
        std = self.config.initializer_range

        def make() -> torch.Tensor:
            generator = torch.Generator().manual_seed(self.seed * 100_003 + _layer(name))
            return torch.empty(shape).normal_(std=std, generator=generator).to(DTYPES[dtype])

        n_bytes = shape[0] * shape[1] * DTYPES[dtype].itemsize
        return PlannedTensor(name, dtype, shape, (Made(n_bytes, key, make),))

    def stored(self, name: str) -> PlannedTensor:
        _, rest = split_name(name)
        if rest == "mlp.shared_expert_gate.weight":
            zero = torch.zeros(1, self.config.hidden_size, dtype=DTYPES[self.dtype(name)])
            return PlannedTensor(name, self.dtype(name), tuple(zero.shape), (made(zero, f"zeros {tuple(zero.shape)}"),))
        if rest.startswith("mlp.shared_expert."):
            tensor = self.get(name.replace("mlp.shared_expert.", "mlp."))
            return PlannedTensor(name, tensor.dtype, tensor.shape, (whole(tensor),))
        return super().stored(name)


@functools.lru_cache(maxsize=1)
def _half(tensor: StoredTensor) -> torch.Tensor:
    """Kept for the experts of one layer, which are written one after the other."""
    return read(tensor) / 2


def _layer(name: str) -> int:
    return int(split_name(name)[0].split(".")[2])
