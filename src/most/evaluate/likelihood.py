"""How likely a model finds a text or a stretch of units: sums and lengths, of which any normalisation can be made.

Sequences are padded on the right, where a causal model cannot see the padding, so no figure depends on what shares a
batch. The softmax runs over the whole vocabulary, as in training, in float32 or better; sums are float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from most.errors import MostError
from most.model.processing import MostProcessor
from most.sequence import Units


@dataclass(frozen=True, kw_only=True)
class Likelihood:
    """Log-likelihood in nats of a continuation given its context.

    Args:
        total: sum over the continuation's tokens.
        n_tokens: how many that are.
    """

    total: float
    n_tokens: int

    @property
    def mean(self) -> float:
        """Length-normalised: a token's share of the total."""
        return self.total / self.n_tokens


def text_likelihoods(
    model: Any, tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, str]], *, batch_size: int
) -> list[Likelihood]:
    """Of (context, continuation), in their order; no end-of-text token is scored.

    Both are tokenized as one text and what differs from the context alone is scored, as lm-evaluation-harness does; a
    token that spans the border counts to the continuation. The tokenizer's bos comes first if it has one; without one,
    an empty context is the eos token.

    Raises:
        MostError: an empty continuation, a tokenizer with neither bos nor eos, or a likelihood that is not finite.
    """
    return _likelihoods(model, [_text_ids(tokenizer, *pair) for pair in texts], batch_size)


def unit_likelihoods(
    model: Any, processor: MostProcessor, units: Sequence[tuple[np.ndarray, np.ndarray]], *, batch_size: int
) -> list[Likelihood]:
    """Of (context, continuation) as unit ids `(T,)`, in their order.

    A stretch stands as in training: bos, audio_begin, context, continuation. Only the continuation's units are scored;
    audio_end is not, as it says how long people speak and not what is said.

    Raises:
        MostError: an empty continuation, units that the model does not have, or a likelihood that is not finite.
    """
    sequences = []
    for context, continuation in units:
        if not len(continuation):
            raise MostError("units", len(continuation), "there is no unit to score; is the audio too short?")
        joined = np.concatenate([np.asarray(context, dtype=np.int64), np.asarray(continuation, dtype=np.int64)])
        ids = processor.builder.document(Units(joined)).ids
        first = int(np.flatnonzero(ids == processor.vocab.audio_begin)[0]) + 1
        sequences.append((ids[: first + len(joined)].tolist(), first + len(context)))
    return _likelihoods(model, sequences, batch_size)


def _text_ids(tokenizer: PreTrainedTokenizerBase, context: str, continuation: str) -> tuple[list[int], int]:
    """Ids and the place of the first scored one."""
    if not continuation:
        raise MostError("continuation", continuation, "is empty; there is nothing to score")

    def encode(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []  # type: ignore[arg-type]

    ids, before = encode(context + continuation), encode(context)
    start = next((k for k, (a, b) in enumerate(zip(ids, before, strict=False)) if a != b), min(len(ids), len(before)))
    start = min(start, len(ids) - 1)  # what merges into the context's last token is scored with it
    first: Any = tokenizer.bos_token_id
    if first is None and start == 0:
        first = tokenizer.eos_token_id
        if first is None:
            raise MostError("tokenizer", type(tokenizer).__name__, "has neither bos nor eos to put before a text")
    return (ids, start) if first is None else ([int(first), *ids], start + 1)


def _windows(ids: list[int], start: int, limit: int | None) -> Iterator[tuple[list[int], int]]:
    """Cut to what the model can take, each token scored once.

    A context too long loses its beginning; a continuation too long is scored in stretches, each behind the last token
    of the one before, the last behind as many as fit (lm-evaluation-harness's rolling likelihood).
    """
    if limit is None or len(ids) <= limit:
        yield ids, start
    elif len(ids) - start < limit:
        yield ids[-limit:], start - (len(ids) - limit)
    else:
        for k in range(start, len(ids), limit - 1):
            end = min(k - 1 + limit, len(ids))
            yield ids[end - limit : end], k - (end - limit)


@torch.inference_mode()
def _likelihoods(model: Any, sequences: Sequence[tuple[list[int], int]], batch_size: int) -> list[Likelihood]:
    reads = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limit = None if reads is None else reads + 1  # the last token is predicted and not read
    windows = [(k, *window) for k, (ids, start) in enumerate(sequences) for window in _windows(ids, start, limit)]
    windows.sort(key=lambda window: len(window[1]), reverse=True)  # the longest first: too little memory shows at once
    totals = [0.0] * len(sequences)
    for i in range(0, len(windows), batch_size):
        batch = windows[i : i + batch_size]
        ids = torch.zeros(len(batch), len(batch[0][1]) - 1, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, (_, window, _) in enumerate(batch):
            ids[row, : len(window) - 1] = torch.tensor(window[:-1])
            mask[row, : len(window) - 1] = 1
        logits = model(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False).logits
        for row, (owner, window, start) in enumerate(batch):
            predicted = logits[row, start - 1 : len(window) - 1]
            predicted = predicted if predicted.dtype == torch.float64 else predicted.float()
            losses = cross_entropy(predicted, torch.tensor(window[start:], device=predicted.device), reduction="none")
            totals[owner] -= float(losses.double().sum())
    if wrong := [x for x in totals if not math.isfinite(x)]:
        raise MostError(
            "likelihood", wrong[0], "is not finite; are the model's weights sound and its dtype wide enough?"
        )
    return [
        Likelihood(total=total, n_tokens=len(ids) - start)
        for total, (ids, start) in zip(totals, sequences, strict=True)
    ]
