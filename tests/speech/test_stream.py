"""Streams of vocoders: the samples of the whole utterance where all context is known, and nearly so where less is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from most.errors import MostError
from most.speech.codec import Codec, default_codec_dir
from most.speech.vocoder.base import build_vocoder
from most.speech.vocoder.stream import StreamSettings

SMALL = {
    "convnext": {"width": 32, "pitch_width": 16, "pitch_dilations": (1, 2)},
    "hifigan": {"unit_width": 8, "speaker_width": 4, "channels": 32},
}
N_UNITS = 20


def vocoder(kind: str):
    torch.manual_seed(1)
    made = build_vocoder(kind, {"n_units": N_UNITS, "speakers": ("a", "b"), **SMALL[kind]})
    if kind == "convnext":
        torch.nn.init.normal_(made.head.weight, std=0.05)  # every part is heard
    else:  # a whisper at first: made loud enough to see what it depends on
        for weight in (p for p in made.hifi_gan.parameters() if p.dim() > 1):
            torch.nn.init.normal_(weight, std=1.5 * weight[0].numel() ** -0.5)
    return made.eval()


def streamed(made, units, speaker, settings, sizes):
    stream, parts, at = made.stream(speaker, settings), [], 0
    for size in sizes:
        parts.append(stream.push(units[at : at + size]))
        at += size
    assert at == len(units)
    assert stream.n_samples == sum(map(len, parts))
    parts.append(stream.finish())
    return parts


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize(("first", "chunk", "step"), [(1, 1, 1), (10, 25, 1), (7, 40, 13), (500, 500, 50)])
def test_with_all_context_it_is_the_whole_utterance(kind, first, chunk, step):
    made = vocoder(kind)
    units = np.random.default_rng(0).integers(0, N_UNITS, 200)
    sizes = [step] * (200 // step) + ([200 % step] if 200 % step else [])
    parts = streamed(made, units, "b", StreamSettings(first=first, chunk=chunk, look_ahead=None), sizes)
    whole = made.synthesize(units, "b")
    assert decibels_apart(np.concatenate(parts), whole) > 60
    assert decibels_apart(made.synthesize(units, "a"), whole) < 40


def decibels_apart(one: np.ndarray, two: np.ndarray) -> float:
    """Signal to difference; rounding of the phase shows in the highest harmonics."""
    return float(10 * np.log10((two**2).sum() / max(((one - two) ** 2).sum(), 1e-20)))


def test_chunks_come_as_soon_as_they_may():
    made = vocoder("hifigan")
    parts = streamed(made, np.zeros(60, dtype=np.int64), "a", StreamSettings(first=5, chunk=20, look_ahead=3), [1] * 60)
    came = {k + 1: len(p) // made.samples_per_unit for k, p in enumerate(parts) if len(p)}
    assert came == {8: 5, 28: 20, 48: 20, 61: 15}


@pytest.mark.parametrize(("look_ahead", "decibels"), [(None, 0.001), (20, 1.5)])
def test_the_shipped_voice_stays_within_the_stated_tolerance(look_ahead, decibels):
    """Of the mean distance of log-mel spectra; with a short look-ahead pitch, and so the phase, drifts a little."""
    codec = Codec.load(default_codec_dir())
    assert codec.vocoder is not None
    rng = np.random.default_rng(0)
    units = np.repeat(rng.integers(0, codec.n_units, 60), rng.integers(1, 5, 60))
    whole, rate = codec.decode(units)
    parts = streamed(
        codec.vocoder, units, codec.default_speaker, StreamSettings(look_ahead=look_ahead), [1] * len(units)
    )
    ours = np.concatenate(parts)
    assert len(ours) == len(whole)
    assert np.abs(log_mel(ours, rate) - log_mel(whole, rate)).mean() < decibels
    assert np.abs(log_mel(np.roll(whole, rate // 2), rate) - log_mel(whole, rate)).mean() > 3, "the measure sees change"


def log_mel(wav: np.ndarray, rate: int) -> np.ndarray:
    from transformers.audio_utils import mel_filter_bank

    window = torch.hann_window(512)
    power = torch.stft(torch.from_numpy(wav), 512, 160, window=window, return_complex=True).abs() ** 2
    bank = torch.from_numpy(mel_filter_bank(257, 80, 0, rate / 2, rate).astype(np.float32))
    return (10 * torch.log10(bank.T @ power + 1e-5)).numpy()


def test_what_cannot_be_streamed_is_refused():
    made = vocoder("hifigan")
    with pytest.raises(MostError, match="speaker"):
        made.stream("c")
    with pytest.raises(MostError, match=r"units.*0\.\.19"):
        made.stream("a").push([N_UNITS])
    for wrong in ({"first": 0}, {"chunk": 0}, {"look_ahead": -1}):
        with pytest.raises(MostError, match=next(iter(wrong))):
            StreamSettings(**wrong)
    stream = made.stream("a")
    assert len(stream.push([])) == len(stream.finish()) == 0
