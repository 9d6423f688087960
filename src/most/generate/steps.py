"""A token or more a row a step behind a prompt whose keys and values are kept: what `decode` runs.

`ForwardSteps` calls the model as it is, of whatever family. `LatentSteps` does for DeepSeek-V2 what its paper does
(arXiv 2405.04434, section 2.1.2): the up-projection of keys goes into the query and that of values into the output, so
that a step reads the kept latents as they are; transformers expands all of them to keys and values at each step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import nn
from transformers.cache_utils import DynamicLayer

from most.model.configuration import CACHE
from most.model.router import modality_scope

ROOM = 256
"""Positions that the kept latents grow by."""


class Steps(Protocol):
    """`scores` (B, V) are those behind the prompt; a call with the next tokens (B, T) makes those behind the last."""

    scores: torch.Tensor

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor: ...

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows (K,) alone."""

    def join(self, other: Steps) -> bool:
        """Take the rows of `other` behind the own ones; False, with nothing changed, where that cannot be."""
        ...


def steps_behind(
    model: Any, batch: Mapping[str, torch.Tensor], look: Callable[[torch.Tensor], Any] | None = None
) -> Steps:
    """Run the prompt (a left-padded batch of the processor's) and make ready for the tokens behind it.

    Args:
        look: called with the scores (B, T, V) of all positions of the prompt.
    """
    outputs = model(**batch, use_cache=True, logits_to_keep=1 if look is None else 0)
    if look is not None:
        look(outputs.logits)
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
            self.mask = nn.functional.pad(self.mask, (0, tokens.shape[1]), value=1)
        outputs = self.model(
            input_ids=tokens, attention_mask=self.mask, position_ids=_next_positions(self.positions, tokens),
            use_cache=True, logits_to_keep=1, **{CACHE: self.cache},
        )  # fmt: skip
        self.positions = self.positions + tokens.shape[1]
        return outputs.logits[:, -1]

    def keep(self, rows: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows)
        self.positions = self.positions[rows]
        if self.mask is None:
            return
        self.mask = self.mask[rows]
        spare = self.mask.shape[1] - int(self.positions.max())  # padding of all
        if spare and _is_plain(self.cache):
            for layer in self.cache.layers:
                layer.keys, layer.values = layer.keys[..., spare:, :], layer.values[..., spare:, :]
            self.mask = self.mask[:, spare:]
        self.mask = None if bool(self.mask.all()) else self.mask

    def join(self, other: Steps) -> bool:
        """Caches of plain layers alone: windows and states of other layers cannot be padded on the left."""
        if not isinstance(other, ForwardSteps) or not (_is_plain(self.cache) and _is_plain(other.cache)):
            return False
        n, m = self.cache.get_seq_length(), other.cache.get_seq_length()
        for mine, theirs in zip(self.cache.layers, other.cache.layers, strict=True):
            mine.keys = _stacked(mine.keys, theirs.keys)
            mine.values = _stacked(mine.values, theirs.values)
        masks = [steps.mask if steps.mask is not None else steps.positions.new_ones(len(steps.positions), k)
                 for steps, k in ((self, n), (other, m))]  # fmt: skip
        mask = _stacked(*(mask[..., None] for mask in masks))[..., 0]
        self.mask = None if bool(mask.all()) else mask
        self.positions = torch.cat([self.positions, other.positions])
        return True


def _is_plain(cache: Any) -> bool:
    return all(type(layer) is DynamicLayer for layer in cache.layers)


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
        self.no_bias = self.kept[0].new_zeros(())
        self._pad()

    def _pad(self) -> None:
        """`bias` (B, n), -inf where padded; None where nothing is."""
        begin = self.length - self.positions
        index = torch.arange(self.kept[0].shape[1], device=begin.device)
        bias = torch.zeros(len(begin), len(index), dtype=self.kept[0].dtype, device=begin.device)
        self.bias = bias.masked_fill_(index < begin[:, None], -torch.inf) if bool(begin.any()) else None

    def keep(self, rows: torch.Tensor) -> None:
        self.positions = self.positions[rows]
        spare = self.length - int(self.positions.max())  # padding of all
        self.kept = [kept[rows, spare:] for kept in self.kept]
        self.length -= spare
        self._pad()

    def join(self, other: Steps) -> bool:
        if not isinstance(other, LatentSteps):
            return False
        both = ((self.kept[k][:, : self.length], other.kept[k][:, : other.length]) for k in range(len(self.kept)))
        self.kept = [_with_room(_stacked(mine, theirs)) for mine, theirs in both]
        self.length, self.positions = max(self.length, other.length), torch.cat([self.positions, other.positions])
        self._pad()
        return True

    def __call__(self, tokens: torch.Tensor) -> torch.Tensor:
        n_rows, n = tokens.shape
        while self.length + n > self.kept[0].shape[1]:
            self.kept = [_with_room(kept) for kept in self.kept]
            self._pad()
        x = self.embed(tokens.flatten())
        turn = self.decoder.rotary_emb(x, _next_positions(self.positions, tokens).view(-1, 1))
        bias = self._bias(n)
        with modality_scope(self.model.vocab.modality_of(tokens.flatten())):
            for layer, kept in zip(self.decoder.layers, self.kept, strict=False):
                x = x + self._attend(layer.self_attn, _norm(layer.input_layernorm, x), kept, turn, bias)
                x = x + layer.mlp(_norm(layer.post_attention_layernorm, x))
        self.positions, self.length = self.positions + n, self.length + n
        return self.head(_norm(self.decoder.norm, x.view(n_rows, n, -1)[:, -1]))

    def _bias(self, n: int) -> torch.Tensor:
        """What is added to the weights of N heads at `n` new positions, shaped for (B, n * N, past and new ones)."""
        end = self.length + n
        bias = self.no_bias if self.bias is None else self.bias[:, None, :end]
        if n == 1:
            return bias
        later = torch.ones(n, end, dtype=torch.bool, device=bias.device).triu(self.length + 1)
        causal = torch.zeros(n, end, dtype=bias.dtype, device=bias.device).masked_fill_(later, -torch.inf)
        return bias + causal.repeat_interleave(self.decoder.config.num_attention_heads, dim=0)

    def _attend(
        self, attention: Any, x: torch.Tensor, kept: torch.Tensor, turn: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """(B * T, H) of the new positions -> the same; their latents go into `kept`. N heads, R wide latents."""
        a, rank, plain = attention, attention.kv_lora_rank, attention.qk_nope_head_dim
        q_BD = a.q_proj(x) if a.q_lora_rank is None else a.q_b_proj(_norm(a.q_a_layernorm, a.q_a_proj(x)))
        q_BND = q_BD.view(len(x), -1, a.qk_head_dim)
        new = a.kv_a_proj_with_mqa(x)
        turned = _turn(torch.cat([q_BND[..., plain:], new[:, None, rank:]], dim=1), turn)
        end = self.length + len(x) // len(kept)
        latent = torch.cat([_norm(a.kv_a_layernorm, new[:, :rank]), turned[:, -1]], dim=-1)
        kept[:, self.length : end] = latent.view(len(kept), -1, latent.shape[-1])
        up_NDR = a.kv_b_proj.weight.view(q_BND.shape[1], -1, rank)
        q_NBR = torch.bmm(q_BND[..., :plain].transpose(0, 1), up_NDR[:, :plain])
        q = torch.cat([q_NBR.transpose(0, 1), turned[:, :-1]], dim=-1).view(len(kept), -1, latent.shape[-1])
        past = kept[:, :end]
        weights = torch.baddbmm(bias, q, past.transpose(1, 2), alpha=a.scaling).softmax(dim=-1, dtype=torch.float32)
        mixed_BNR = torch.bmm(weights.to(past.dtype), past[..., :rank]).view(len(x), -1, rank)
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


def _next_positions(positions: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """(B,) of the first new token of each row -> (B, T)."""
    return positions[:, None] + torch.arange(tokens.shape[1], device=positions.device)


def _norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    """The family's RMSNorm in one operation: in float32 the same bits."""
    return torch.rms_norm(x, (x.shape[-1],), module.weight, module.variance_epsilon)


def _with_room(kept: torch.Tensor) -> torch.Tensor:
    """(B, n, W) with ROOM more positions of zeros behind."""
    return nn.functional.pad(kept, (0, 0, 0, ROOM))


def _stacked(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """(A, ..., n, W) and (B, ..., m, W) as (A + B, ..., max(n, m), W), zeros in front of the shorter."""
    n = max(a.shape[-2], b.shape[-2])
    return torch.cat([nn.functional.pad(t, (0, 0, n - t.shape[-2], 0)) for t in (a, b)])


def _turn(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rotary embedding of (B, N, D) by complex (B, 1, D / 2), in transformers' order of operations."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turn).flatten(2).to(x.dtype)
