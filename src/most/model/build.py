"""Make a MoST model of a loaded MoE language model: room for units and markers, an audio projection, a partition.

Step 1 of the pipeline of arXiv 2601.10272, in memory: for what fits there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from most.errors import MostError
from most.model.adapter import AudioProjection
from most.model.configuration import MostConfig
from most.model.modeling import MostForConditionalGeneration
from most.model.partition import ExpertPartition
from most.vocab import MARKER_TOKENS

BLOCK_ROWS = 1024
"""Rows that are summed in float32; the sums of blocks are added in float64."""
PAD_ROWS_TO = 64
"""Rows of the embedding are a multiple of this: tensor cores and vocabulary sharding like it."""


def build_from_backbone(
    causal_lm: Any,
    *,
    tokenizer_size: int,
    n_units: int,
    audio_encoder: Any = None,
    partition: ExpertPartition | Sequence[ExpertPartition] | None = None,
    new_row_noise: float = 0.1,
    seed: int = 0,
    **settings: Any,
) -> MostForConditionalGeneration:
    """Build the model around `causal_lm`, which is adopted and changed in place.

    Args:
        causal_lm: a loaded transformers MoE model of a known family.
        tokenizer_size: length of its tokenizer; ids from here on become units and markers.
        n_units: discrete speech units.
        audio_encoder: a loaded `SpeechEncoder`, or None for discrete units only.
        partition: for all MoE layers or one for each; by index when absent.
        new_row_noise: noise of new embedding rows, relative to the spread of the old ones.
        seed: of new weights.
        settings: other fields of `MostConfig` (`audio_stack`, `balance_loss_alpha`, ...).

    Raises:
        MostError: the tokenizer does not fit the embedding, or as in `MostConfig`.
    """
    rows = causal_lm.get_input_embeddings().weight.shape[0]
    if not 0 < tokenizer_size <= rows:
        raise MostError(
            "tokenizer_size", tokenizer_size, f"the embedding has {rows} rows; is it this model's tokenizer?"
        )
    needed = tokenizer_size + n_units + len(MARKER_TOKENS)
    if needed > rows:
        causal_lm.resize_token_embeddings(needed, pad_to_multiple_of=PAD_ROWS_TO, mean_resizing=False)
    embeddings = {"embed_tokens": causal_lm.get_input_embeddings(), "lm_head": causal_lm.get_output_embeddings()}
    if embeddings["lm_head"].weight is embeddings["embed_tokens"].weight:
        del embeddings["lm_head"]
    stop = needed if needed <= rows else None  # rows that were there and stay unused keep what they hold
    statistics = {name: row_statistics([e.weight[:tokenizer_size]]) for name, e in embeddings.items()}
    for name, embedding in embeddings.items():
        weight = embedding.weight[tokenizer_size:stop]
        with torch.no_grad():
            weight.copy_(new_rows(statistics[name], len(weight), new_row_noise, seed, name))
    partitions = [partition] if isinstance(partition, ExpertPartition) else list(partition or [])
    config = MostConfig(
        text_config=causal_lm.config,
        audio_config=None if audio_encoder is None else audio_encoder.config_dict(),
        text_size=tokenizer_size,
        n_units=n_units,
        partitions=[p.to_json() for p in partitions] or None,
        **settings,
    )
    model = MostForConditionalGeneration(config, language_model=causal_lm, audio_encoder=audio_encoder)
    model.generation_config = causal_lm.generation_config
    if model.audio_projection is not None:
        weight = causal_lm.get_input_embeddings().weight
        model.audio_projection.to(device=weight.device, dtype=weight.dtype)
        init_projection(model.audio_projection, statistics["embed_tokens"].rms, seed)
    return model


@dataclass(frozen=True)
class RowStatistics:
    """Of the text rows of an embedding: mean and standard deviation of each column (H,), root mean square of all."""

    mean: torch.Tensor
    spread: torch.Tensor
    rms: float


@torch.no_grad()
def row_statistics(chunks: Iterable[torch.Tensor]) -> RowStatistics:
    """Statistics of rows (n, H) that come in parts, so that a large table need not be in memory.

    Parts of a multiple of BLOCK_ROWS, but for the last, give the same bits as the whole table.
    """
    n, total, squares = 0, torch.zeros(()), torch.zeros(())
    for block in (block for chunk in chunks for block in chunk.detach().split(BLOCK_ROWS)):
        rows = block.cpu().float()
        n, total, squares = n + len(rows), total + rows.sum(dim=0).double(), squares + (rows * rows).sum(dim=0).double()
    mean = total / n
    spread = (squares / n - mean.square()).clamp(min=0).sqrt()
    return RowStatistics(mean.float(), spread.float(), float((squares.mean() / n).sqrt()))


def new_rows(statistics: RowStatistics, n: int, noise: float, seed: int, name: str) -> torch.Tensor:
    """New rows (n, H) float32: the mean of the old ones plus noise.

    The mean: no new token then starts with a logit that rivals the right one, so the text distribution hardly moves
    (J. Hewitt, "Initializing new word embeddings for pretrained language models", 2021). The noise: equal rows would
    get equal gradients from everything but their own occurrences, and units would stay alike for long.
    """
    random = torch.randn(n, len(statistics.mean), generator=_generator(seed, name))
    return statistics.mean + noise * statistics.spread * random


@torch.no_grad()
def init_projection(projection: AudioProjection, rms: float, seed: int) -> None:
    """Set a projection's first weights, at the scale of the text embeddings."""
    weight = projection.linear.weight
    std = projection.initial_std(rms)
    weight.copy_(torch.empty(weight.shape).normal_(std=std, generator=_generator(seed, "audio_projection")))
    projection.linear.bias.zero_()
    projection.norm.weight.fill_(1.0)
    projection.norm.bias.zero_()


def _generator(seed: int, name: str) -> torch.Generator:
    """A stream of its own for each weight: none depends on which are drawn, or in what order."""
    return torch.Generator().manual_seed((seed << 32) + zlib.crc32(name.encode()))
