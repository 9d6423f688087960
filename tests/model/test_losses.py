"""CTC over the positions of clips: torch's own of each clip alone, whatever else is in the batch; weights of labels."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from most.model.losses import ctc_loss, token_losses
from most.vocab import SpeechVocab

VOCAB = SpeechVocab(text_size=20, n_units=5, vocab_size=40)
EOS = 1


def batch():
    """A row with two transcribed clips and one whose answer is no transcript; a row of text and a clip of one."""
    w, begin, end = VOCAB.wave, VOCAB.wave_begin, VOCAB.wave_end
    spans = [  # clip positions, labels, number, transcribed
        [(6, [5, 6, 6], 0, True), (3, [9], 1, False), (4, [7, 8], 2, True)],
        [(0, [3, 4], 3, False), (5, [11], 4, True)],
    ]
    ids, labels, transcribed = [], [], []
    for row in spans:
        i, y, t = [], [], []
        for n, words, number, is_transcript in row:
            clip = [begin, *[w] * n, end] if n else []
            i += [*clip, 2, *words, EOS]
            y += [-100] * (len(clip) + 1) + [*words, EOS]
            t += [number if is_transcript else -1] * (len(clip) + 2 + len(words))
        ids.append(i), labels.append(y), transcribed.append(t)
    width = max(map(len, ids))
    pad = lambda rows, value: torch.tensor([r + [value] * (width - len(r)) for r in rows])  # noqa: E731
    return pad(ids, 0), pad(labels, -100), pad(transcribed, -1)


def test_the_weight_of_text_leaves_out_what_stands_within_speech():
    """Written words and ends count three times; a unit, and a word of guided speech, once."""
    unit = VOCAB.unit_start
    labels = torch.tensor([[-100, 5, 6, VOCAB.audio_begin, 7, unit, unit + 1, 8, -100, unit, VOCAB.audio_end, EOS]])
    weight = torch.tensor([3.0, 3, 1, 1, 1, 1, 1, 1, 1, 3])
    logits = torch.randn(1, 12, 40, generator=torch.Generator().manual_seed(1))
    kept = labels[0, 1:] != -100
    each = F.cross_entropy(logits[0, :-1][kept], labels[0, 1:][kept], reduction="none")
    got = token_losses(logits, labels, VOCAB, text_weight=3.0)
    torch.testing.assert_close(got.total, (each * weight).sum() / 10)
    torch.testing.assert_close(got.text, each[[0, 1, 3, 6, 9]].mean())


def test_it_is_torchs_own_of_each_clip():
    ids, labels, transcribed = batch()
    logits = torch.randn(*ids.shape, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ours = ctc_loss(logits, ids, labels, transcribed, VOCAB, [EOS])
    theirs = torch.zeros(())
    for b, first, n, words in ((0, 1, 6, [5, 6, 6]), (0, 22, 4, [7, 8]), (1, 5, 5, [11])):
        assert (ids[b, first : first + n] == VOCAB.wave).all()
        assert ids[b, first - 1] == VOCAB.wave_begin
        scores = logits[b, first : first + n]
        scores = torch.cat([scores[:, :20], scores[:, VOCAB.wave, None]], dim=1).log_softmax(dim=-1)
        theirs = theirs + F.ctc_loss(
            scores[:, None], torch.tensor([words]), torch.tensor([n]), torch.tensor([len(words)]), blank=20,
            reduction="sum",
        )  # fmt: skip
    torch.testing.assert_close(ours, theirs)
    ours.backward()
    assert logits.grad is not None
    touched = logits.grad.abs().sum(dim=-1) > 0
    assert torch.equal(touched, (ids == VOCAB.wave) & (transcribed >= 0))


def test_without_transcripts_it_is_zero_and_in_the_graph():
    ids, labels, transcribed = batch()
    logits = torch.randn(*ids.shape, 40).requires_grad_()
    loss = ctc_loss(logits, ids, labels, torch.full_like(transcribed, -1), VOCAB, [EOS])
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None


def test_a_transcript_longer_than_its_clip_costs_nothing():
    """No path leads through it; training goes on."""
    ids, labels, transcribed = batch()
    ids[1] = torch.where(ids[1] == VOCAB.wave, 2, ids[1])
    ids[1, 4] = VOCAB.wave
    labels[1, 3] = 12
    transcribed[1] = torch.where(transcribed[1] < 0, 4, transcribed[1])
    logits = torch.randn(*ids.shape, 40)
    assert torch.isfinite(ctc_loss(logits, ids, labels, transcribed, VOCAB, [EOS]))
