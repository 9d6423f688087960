"""Several takes of a speech, of which the one is kept in which the model itself hears the text most surely.

A small model that draws its speech swallows or repeats a word now and then. Its hearing tells such takes apart; no
other recogniser is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from most.data.prompts import ASR_PROMPTS
from most.errors import MostError
from most.sequence import Encoded
from most.speech.audio import resample

if TYPE_CHECKING:
    from most.generate.engine import Engine, Speech


def best_take(engine: Engine, text: str, takes: Sequence[Speech], batch_size: int = 8) -> int:
    """Which take of a text is best: whole before cut short, then by how surely the model hears the text in it."""
    sure = heard_likelihoods(engine, [(take.waveform, take.sample_rate, text) for take in takes], batch_size)
    return max(range(len(takes)), key=lambda k: (not takes[k].truncated, sure[k], -k))


@torch.inference_mode()
def heard_likelihoods(engine: Engine, said: Sequence[tuple[np.ndarray, int, str]], batch_size: int = 8) -> list[float]:
    """Mean log-likelihood of a token of each text as the transcript of its speech; -inf where there is none to hear.

    Args:
        said: (T,) float32 in [-1, 1], its rate in Hz, and the text.
    """
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
        scores = engine.model(**inputs).logits.float().log_softmax(dim=-1).cpu()
        for (k, row), own in zip(part, scores, strict=True):
            ids, labels = torch.from_numpy(row.ids), torch.from_numpy(row.labels)
            at = (labels[1:] >= 0).nonzero()[:, 0]
            out[k] = float(own[-len(ids) :][at].gather(1, ids[1:][at, None]).mean())
    return out
