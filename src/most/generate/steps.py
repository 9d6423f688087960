"""One token a row a step behind a prompt whose keys and values are kept: what `decode` runs.

`ForwardSteps` calls the model as it is, of whatever family. `LatentSteps` does for DeepSeek-V2 what its paper does
(arXiv 2405.04434, section 2.1.2): the up-projection of keys goes into the query and that of values into the output, so
that a step reads the kept latents as they are; transformers expands all of them to keys and values at each step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import nn

from most.model.configuration import CACHE
from most.model.router import modality_scope

ROOM = 256
"""Positions that the kept latents grow by."""


class Steps(Protocol):
    """`scores` (B, V) are those behind the prompt; a call with the tokens chosen (B,) makes those behind them."""

    scores: torch.Tensor

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor: ...


def steps_behind(model: Any, batch: Mapping[str, torch.Tensor]) -> Steps:
    """Run the prompt (a left-padded batch of the processor's) and make ready for the tokens behind it."""
    outputs = model(**batch, use_cache=True, logits_to_keep=1)
    ids = batch["input_ids"]
    mask = batch.get("attention_mask", torch.ones_like(ids))
    if _keeps_latents(model, outputs.get(CACHE)):
        return LatentSteps(model, outputs, mask)
    return ForwardSteps(model, outputs, mask)


class ForwardSteps:
    """The model's own forward, with transformers' cache."""

    def __init__(self, model: Any, outputs: Any, mask: torch.Tensor) -> None:
        self.model, self.cache, self.scores = model, outputs.get(CACHE), outputs.logits[:, -1]
        self.positions = mask.sum(dim=1)
        self.mask = None if bool(mask.all()) else mask

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        if self.mask is not None:
            self.mask = nn.functional.pad(self.mask, (0, 1), value=1)
        outputs = self.model(
            input_ids=tokens[:, None], attention_mask=self.mask, position_ids=self.positions[:, None], use_cache=True,
            **{CACHE: self.cache},
        )  # fmt: skip
        self.positions = self.positions + 1
        return outputs.logits[:, -1]


class LatentSteps:
    """DeepSeek-V2's layers over the kept latents; MLPs, experts and routers are the model's own modules."""

    def __init__(self, model: Any, outputs: Any, mask: torch.Tensor) -> None:
        self.model, self.scores = model, outputs.logits[:, -1]
        self.embed, self.decoder, self.head = (
            model.get_input_embeddings(), model.get_decoder(), model.get_output_embeddings()
        )  # fmt: skip
        # (B, n, R + rope) a layer, with room behind: the normalised latent, and the key's part that is turned.
        cached = outputs.get(CACHE).layers
        self.kept = [_with_room(torch.cat([layer.keys, layer.values], dim=-1)[:, 0]) for layer in cached]
        self.length, self.positions = mask.shape[1], mask.sum(dim=1)
        self.bias: torch.Tensor | None = None  # (B, n), -inf where padded
        if not bool(mask.all()):
            zeros = torch.zeros_like(mask, dtype=self.kept[0].dtype)
            self.bias = _with_room(zeros.masked_fill(mask == 0, -torch.inf)[..., None])[..., 0]
        self.no_bias = self.kept[0].new_zeros(())

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        if self.length == self.kept[0].shape[1]:
            self.kept = [_with_room(kept) for kept in self.kept]
            self.bias = None if self.bias is None else _with_room(self.bias[..., None])[..., 0]
        x = self.embed(tokens)
        turn = self.decoder.rotary_emb(x, self.positions[:, None])
        with modality_scope(self.model.vocab.modality_of(tokens)):
            for layer, kept in zip(self.decoder.layers, self.kept, strict=False):
                x = x + self._attend(layer.self_attn, _norm(layer.input_layernorm, x), kept, turn)
                x = x + layer.mlp(_norm(layer.post_attention_layernorm, x))
        self.positions, self.length = self.positions + 1, self.length + 1
        return self.head(_norm(self.decoder.norm, x))

    def _attend(self, attention: Any, x: torch.Tensor, kept: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """(B, H) of the new position -> (B, H); its latent goes into `kept`. N heads, R wide latents."""
        a, rank, plain = attention, attention.kv_lora_rank, attention.qk_nope_head_dim
        q_BD = a.q_proj(x) if a.q_lora_rank is None else a.q_b_proj(_norm(a.q_a_layernorm, a.q_a_proj(x)))
        q_BND = q_BD.view(len(x), -1, a.qk_head_dim)
        new = a.kv_a_proj_with_mqa(x)
        turned = _turn(torch.cat([q_BND[..., plain:], new[:, None, rank:]], dim=1), turn)
        here = kept[:, self.length]
        here[:, :rank], here[:, rank:] = _norm(a.kv_a_layernorm, new[:, :rank]), turned[:, -1]
        up_NDR = a.kv_b_proj.weight.view(q_BND.shape[1], -1, rank)
        q_NBR = torch.bmm(q_BND[..., :plain].transpose(0, 1), up_NDR[:, :plain])
        q = torch.cat([q_NBR.transpose(0, 1), turned[:, :-1]], dim=-1)
        past = kept[:, : self.length + 1]
        bias = self.no_bias if self.bias is None else self.bias[:, None, : self.length + 1]
        weights = torch.baddbmm(bias, q, past.transpose(1, 2), alpha=a.scaling).softmax(dim=-1, dtype=torch.float32)
        mixed_BNR = torch.bmm(weights.to(past.dtype), past[..., :rank])
        out_NBD = torch.bmm(mixed_BNR.transpose(0, 1), up_NDR[:, plain:].transpose(1, 2))
        return a.o_proj(out_NBD.transpose(0, 1).reshape(len(x), -1))


def _keeps_latents(model: Any, cache: Any) -> bool:
    """Whether `LatentSteps` fits: DeepSeek-V2, plain whole weights, and latents in the cache (older ones expand)."""
    decoder = model.get_decoder()
    if decoder.config.model_type != "deepseek_v2" or not hasattr(cache, "layers"):
        return False
    widths = (decoder.config.kv_lora_rank, decoder.config.qk_rope_head_dim)
    for layer, kept in zip(decoder.layers, cache.layers, strict=False):
        up = layer.self_attn.kv_b_proj
        whole = type(up) is nn.Linear and type(up.weight.data) is torch.Tensor and up.weight.device == kept.keys.device
        if not whole or (kept.keys.shape[1], kept.keys.shape[-1], kept.values.shape[-1]) != (1, *widths):
            return False
    return len({p.device for p in decoder.parameters()}) == 1


def _norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    """The family's RMSNorm in one operation: in float32 the same bits."""
    return torch.rms_norm(x, (x.shape[-1],), module.weight, module.variance_epsilon)


def _with_room(kept: torch.Tensor) -> torch.Tensor:
    """(B, n, W) with ROOM more positions of zeros behind."""
    return nn.functional.pad(kept, (0, 0, 0, ROOM))


def _turn(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of (B, N, D) by complex (B, 1, D / 2), in transformers' order of operations."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(2).to(x.dtype)
