"""Next-token cross entropy, reported by the modality of the label: a mean over all tokens hides which one learns.

And connectionist temporal classification (CTC), a second loss that shows a model where in a clip its words are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from most.vocab import Modality, SpeechVocab

IGNORE_INDEX = -100


@dataclass(frozen=True, kw_only=True)
class TokenLosses:
    """`total` has a graph; `text` and `audio` are detached means (nan where there is no label), with their counts.

    `per_token` (B, T) is detached: the loss of each label at its own position, 0 where there is none.
    """

    total: torch.Tensor
    text: torch.Tensor
    audio: torch.Tensor
    n_text: torch.Tensor
    n_audio: torch.Tensor
    per_token: torch.Tensor


def token_losses(
    logits: torch.Tensor,
    labels: torch.Tensor,
    vocab: SpeechVocab,
    num_items_in_batch: torch.Tensor | int | None = None,
    text_weight: float = 1.0,
) -> TokenLosses:
    """Cross entropy of the next token, in float32.

    Args:
        logits: (B, T, V).
        labels: (B, T), -100 where there is none; shifted here.
        num_items_in_batch: what the sum is divided by; this batch's labels when absent.
        text_weight: how often a text label counts in `total`, but for one within speech, a word of guided speech;
            what is divided by stays the plain number.
    """
    targets = F.pad(labels, (0, 1), value=IGNORE_INDEX)[:, 1:].flatten().to(logits.device)
    per_token = F.cross_entropy(logits.float().flatten(0, 1), targets, ignore_index=IGNORE_INDEX, reduction="none")
    labelled = targets != IGNORE_INDEX
    audio = labelled & (vocab.modality_of(targets) == Modality.AUDIO)
    text = labelled & ~audio
    detached = per_token.detach()
    if text_weight == 1:
        weighted = per_token
    else:
        before = labels.flatten().to(logits.device)
        within = (before >= vocab.unit_start) & (before <= vocab.audio_begin)
        weighted = per_token * torch.where(text & ~within, text_weight, 1.0)
    return TokenLosses(
        total=weighted.sum() / (labelled.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch),
        text=(detached * text).sum() / text.sum(),
        audio=(detached * audio).sum() / audio.sum(),
        n_text=text.sum(),
        n_audio=audio.sum(),
        per_token=F.pad(detached.view(labels.shape)[:, :-1], (1, 0)),
    )


def ctc_scores(logits: torch.Tensor, vocab: SpeechVocab) -> torch.Tensor:
    """(T, V) logits at positions of a clip -> (T, text_size + 1) float32 log-probabilities of CTC, the blank last."""
    return torch.cat([logits[:, : vocab.text_size], logits[:, vocab.wave, None]], dim=-1).float().log_softmax(dim=-1)


def ctc_loss(
    logits: torch.Tensor,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    transcribed: torch.Tensor,
    vocab: SpeechVocab,
    eos_token_ids: Sequence[int],
) -> torch.Tensor:
    """The sum over clips of -log P(transcript | positions of the clip), by CTC, in float32.

    At the positions of a clip the logits of text say what is heard there, and that of `<|wave|>` is the blank.
    Attention alone learns late where to look (hybrid CTC/attention, arXiv 1609.06773); this needs no further weights.

    Args:
        logits: (B, T, V).
        labels: (B, T), the transcript's ids in them, -100 where there is none.
        transcribed: (B, T), a number for all positions of a sequence whose labels are the transcript of its clip, -1
            elsewhere.
        eos_token_ids: no part of a transcript.
    """
    positions = (input_ids == vocab.wave) & (transcribed >= 0)
    words = (labels >= 0) & (labels < vocab.text_size) & (transcribed >= 0)
    words &= ~torch.isin(labels, torch.tensor(eos_token_ids, device=labels.device))
    clips, lengths = transcribed[positions].unique_consecutive(return_counts=True)
    if not len(clips):
        return logits.float().sum() * 0.0
    targets, target_lengths = labels[words], (transcribed[words][None] == clips[:, None]).sum(dim=1)
    padded = torch.nn.utils.rnn.pad_sequence(list(ctc_scores(logits[positions], vocab).split(lengths.tolist())))
    return F.ctc_loss(
        padded, targets, lengths, target_lengths, blank=vocab.text_size, reduction="sum", zero_infinity=True
    )
