"""Several takes of a speech, of which the one is kept in which the model itself hears the text most surely.

A small model that draws its speech swallows or repeats a word now and then. Its hearing tells such takes apart; no
other recogniser is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from most.data.prompts import ASR_PROMPTS
from most.errors import MostError
from most.model.losses import ctc_scores
from most.sequence import Encoded
from most.speech.audio import resample

if TYPE_CHECKING:
    from most.generate.engine import Engine, Speech


def best_take(engine: Engine, text: str, takes: Sequence[Speech], batch_size: int = 8) -> int:
    """Which take of a text is best: whole before cut short, then by how surely the model hears the text in it."""
    if len(takes) == 1:
        return 0
    sure = heard_likelihoods(engine, [(take.waveform, take.sample_rate, text) for take in takes], batch_size)
    return max(range(len(takes)), key=lambda k: (not takes[k].truncated, sure[k], -k))


@torch.inference_mode()
def heard_likelihoods(engine: Engine, said: Sequence[tuple[np.ndarray, int, str]], batch_size: int = 8) -> list[float]:
    """Mean log-likelihood of a token of each text as the transcript of its speech; -inf where there is none to hear.

    Where the engine's `hearing` has CTC in it, so has this, with the same weight: it misses no word that was left out.

    Args:
        said: (T,) float32 in [-1, 1], its rate in Hz, and the text.
    """
    weight = 0.0 if engine.hearing is None else engine.hearing.ctc_weight
    processor, out = engine.processor, [-math.inf] * len(said)
    rows: list[tuple[int, Encoded]] = []
    for k, (wav, rate, text) in enumerate(said):
        heard = [
            {"type": "audio", "audio": resample(wav, rate, processor.sample_rate)},
            {"type": "text", "text": ASR_PROMPTS[0]},
        ]
        turns = [{"role": "user", "content": heard}, {"role": "assistant", "content": text}]
        try:
            rows.append((k, processor.builder.dialogue(processor.messages(turns))))
        except MostError:  # empty, silent or too long to be heard
            continue
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        inputs = processor.collate([row for _, row in part]).to(engine.model.device)
        logits = engine.model(**inputs).logits.float().cpu()
        for (k, row), own in zip(part, logits, strict=True):
            own = own[-len(row) :]
            ids, labels = torch.from_numpy(row.ids), torch.from_numpy(row.labels)
            at = (labels[1:] >= 0).nonzero()[:, 0]
            written = float(own[at].log_softmax(dim=-1).gather(1, ids[1:][at, None]).mean())
            heard = _ctc(own, ids, ids[1:][at], processor) if weight else 0.0
            out[k] = (1 - weight) * written + weight * heard
    return out


def _ctc(logits: torch.Tensor, ids: torch.Tensor, text: torch.Tensor, processor: Any) -> float:
    """Mean log-likelihood of a token by CTC at the positions of the clip."""
    vocab = processor.vocab
    scores = ctc_scores(logits[ids == vocab.wave], vocab)
    words = text[text != int(processor.tokenizer.eos_token_id)]
    n_positions, n_words = torch.tensor([len(scores)]), torch.tensor([len(words)])
    loss = F.ctc_loss(scores[:, None], words[None], n_positions, n_words, blank=vocab.text_size, reduction="sum")
    return -float(loss) / max(1, len(words))
