"""Spectral losses of vocoder training: multi-resolution STFT (arXiv 1910.11480) and log-mel distance."""

from __future__ import annotations

import functools

import torch
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

RESOLUTIONS = ((1024, 240), (512, 120), (256, 60))
"""(n_fft, hop) in samples; at 16 kHz windows of 64, 32 and 16 ms."""


@functools.lru_cache(maxsize=8)
def _bank(n_fft: int, sample_rate: int, n_mels: int) -> torch.Tensor:
    bank = mel_filter_bank(1 + n_fft // 2, n_mels, 0.0, sample_rate / 2, sample_rate, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(bank.T).float()


def magnitude(wav: torch.Tensor, n_fft: int, hop: int) -> torch.Tensor:
    """(B, T) to (B, bins, frames), never zero so that its gradient is finite."""
    window = torch.hann_window(n_fft, device=wav.device)
    spectrum = torch.stft(wav, n_fft, hop, window=window, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-7).sqrt()


def spectral_losses(made: torch.Tensor, real: torch.Tensor, sample_rate: int) -> dict[str, torch.Tensor]:
    """Losses between (B, T) waveforms: `stft` (convergence + log magnitude, mean of resolutions) and `mel` (log L1)."""
    stft, mel = made.new_zeros(()), made.new_zeros(())
    for n_fft, hop in RESOLUTIONS:
        a, b = magnitude(made, n_fft, hop), magnitude(real, n_fft, hop)
        stft = stft + torch.linalg.norm(a - b) / torch.linalg.norm(b).clamp_min(1e-3) + F.l1_loss(a.log(), b.log())
        if n_fft == RESOLUTIONS[0][0]:
            bank = _bank(n_fft, sample_rate, 80).to(made.device)
            mel = F.l1_loss((bank @ a).clamp_min(1e-4).log(), (bank @ b).clamp_min(1e-4).log())
    return {"stft": stft / len(RESOLUTIONS), "mel": mel}
