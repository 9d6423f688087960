"""Make a MoST model of a loaded MoE language model: room for units and markers, an audio projection, a partition.

Step 1 of the pipeline of arXiv 2601.10272, in memory: for what fits there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from most.errors import MostError
from most.model.configuration import MostConfig
from most.model.modeling import MostForConditionalGeneration
from most.model.partition import ExpertPartition
from most.vocab import MARKER_TOKENS

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
    generator = torch.Generator().manual_seed(seed)
    for embedding in {id(e): e for e in (causal_lm.get_input_embeddings(), causal_lm.get_output_embeddings())}.values():
        _fill_new_rows(embedding.weight, tokenizer_size, new_row_noise, generator)
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
        linear = model.audio_projection.linear
        rms = weight[:tokenizer_size].detach().float().square().mean().sqrt().item()
        std = model.audio_projection.initial_std(rms)
        with torch.no_grad():
            linear.weight.copy_(torch.empty(linear.weight.shape).normal_(std=std, generator=generator))
    return model


@torch.no_grad()
def _fill_new_rows(weight: torch.Tensor, first: int, noise: float, generator: torch.Generator) -> None:
    """New rows are the mean of the old ones plus noise.

    The mean: no new token then starts with a logit that rivals the right one, so the text distribution hardly moves
    (J. Hewitt, "Initializing new word embeddings for pretrained language models", 2021). The noise: equal rows would
    get equal gradients from everything but their own occurrences, and units would stay alike for long.
    """
    old = weight[:first].float()
    mean, spread = old.mean(dim=0), old.std(dim=0, correction=0)
    random = torch.randn(weight.shape[0] - first, weight.shape[1], generator=generator).to(weight.device)
    weight[first:] = (mean + noise * spread * random).to(weight.dtype)
