"""A light unit vocoder for CPUs: F0 predicted from units drives a harmonic source, which a ConvNeXt trunk filters.

Units -> F0 and voicing -> all harmonics of F0 beside white noise -> their short-time spectra, each multiplied by a
filter the trunk predicts (complex for the harmonics, real for the noise) -> inverse STFT. So pitch is there by
construction and the trunk learns formants. After Vocos (arXiv 2306.00814) and neural source-filter models
(arXiv 1904.12088); not the paper's vocoder, which is `hifigan.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from most.errors import MostError
from most.speech.f0 import F0_MAX_HZ, F0_MIN_HZ, at_samples, harmonic_source
from most.speech.vocoder.base import UnitVocoder
from most.speech.vocoder.losses import spectral_losses
from most.speech.vocoder.stream import Span

if TYPE_CHECKING:
    from most.speech.vocoder.data import Batch, Stream


@dataclass(frozen=True, kw_only=True)
class ConvNextVocoderConfig:
    """Sizes. `hop` is the distance of spectral frames in samples; it must divide the samples of a unit."""

    n_units: int
    speakers: tuple[str, ...]
    sample_rate: int = 16000
    unit_rate_hz: float = 50.0
    hop: int = 160
    n_fft: int = 512
    width: int = 256
    unit_blocks: int = 2
    frame_blocks: int = 6
    pitch_width: int = 128
    pitch_dilations: tuple[int, ...] = (1, 2, 4, 8, 1)
    expansion: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "speakers", tuple(self.speakers))
        object.__setattr__(self, "pitch_dilations", tuple(self.pitch_dilations))
        if not self.speakers:
            raise MostError("vocoder.speakers", self.speakers, "name at least one voice")
        if round(self.sample_rate / self.unit_rate_hz) % self.hop:
            raise MostError(
                "vocoder.hop", self.hop, f"must divide {self.sample_rate / self.unit_rate_hz:g} samples a unit"
            )
        if self.n_fft < 2 * self.hop or (self.n_fft - self.hop) % 2:
            raise MostError("vocoder.n_fft", self.n_fft, f"must be at least twice hop {self.hop}, and even with it")


class ConvNextBlock(nn.Module):
    """Depthwise convolution over time, then an MLP on each frame, added to the input: (B, N, C) to (B, N, C)."""

    def __init__(self, width: int, expansion: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 7, padding=3 * dilation, dilation=dilation, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return x + self.scale * self.down(F.gelu(self.up(self.norm(y))))


class PitchPredictor(nn.Module):
    """Units and voice to log F0 (relative to the voice's mean) and voicing, `per_unit` frames a unit."""

    def __init__(self, config: ConvNextVocoderConfig, per_unit: int) -> None:
        super().__init__()
        width = config.pitch_width
        self.units = nn.Embedding(config.n_units, width)
        self.speaker = nn.Embedding(len(config.speakers), width)
        self.blocks = nn.ModuleList(ConvNextBlock(width, config.expansion, d) for d in config.pitch_dilations)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 2 * per_unit)

    def forward(self, units: torch.Tensor, speaker: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, U) and (B,) to relative log F0 and voicing logits, both (B, U * per_unit)."""
        x = self.units(units) + self.speaker(speaker)[:, None]
        for block in self.blocks:
            x = block(x)
        relative, voicing = self.head(self.norm(x)).float().unflatten(-1, (-1, 2)).unbind(-1)
        return relative.flatten(1), voicing.flatten(1)


class ConvNextVocoder(UnitVocoder):
    """See the head of this file. `f0_mean` (speakers,) is each voice's mean log F0, set before training."""

    kind = "convnext"
    config_class = ConvNextVocoderConfig
    f0_mean: torch.Tensor
    window: torch.Tensor

    def __init__(self, config: ConvNextVocoderConfig) -> None:
        super().__init__(config)
        self.per_unit = self.samples_per_unit // config.hop
        width, bins = config.width, config.n_fft // 2 + 1
        self.pitch = PitchPredictor(config, self.per_unit)
        self.units = nn.Embedding(config.n_units, width)
        self.speaker = nn.Embedding(len(config.speakers), width)
        self.unit_blocks = nn.ModuleList(ConvNextBlock(width, config.expansion) for _ in range(config.unit_blocks))
        self.upsample = nn.Linear(width, self.per_unit * width)
        self.source = nn.Linear(bins + 2, width)
        self.frame_blocks = nn.ModuleList(ConvNextBlock(width, config.expansion) for _ in range(config.frame_blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 3 * bins)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("f0_mean", torch.full((len(config.speakers),), math.log(150.0)))
        self.register_buffer("window", torch.hann_window(config.n_fft), persistent=False)

    @property
    def f0_rate_hz(self) -> float:
        return self.sample_rate / self.config.hop

    def fit_statistics(self, streams: Sequence[Stream]) -> None:
        for index, stream in enumerate(streams):
            if bool(stream.voiced.any()):
                self.f0_mean[index] = stream.log_f0[stream.voiced].mean()

    def losses(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        log_f0, voicing = self.predict_pitch(batch.units, batch.speaker)
        error = (log_f0 - batch.log_f0).abs() * batch.voiced
        noise = torch.randn(batch.audio.shape)
        made = self.render(batch.units, batch.speaker, batch.log_f0, batch.voiced, noise.to(log_f0))
        return made, {
            **spectral_losses(made, batch.audio, self.sample_rate),
            "f0": 2.0 * error.sum() / batch.voiced.sum().clamp_min(1),
            "voicing": 0.2 * F.binary_cross_entropy_with_logits(voicing, batch.voiced),
        }

    def predict_pitch(self, units: torch.Tensor, speaker: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, U) and (B,) to log F0 and voicing logits, both (B, N) with N = U * samples_per_unit / hop."""
        relative, voicing = self.pitch(units, speaker)
        low, high = math.log(F0_MIN_HZ), math.log(F0_MAX_HZ)
        return (relative + self.f0_mean[speaker][:, None]).clamp(low, high), voicing

    def render(
        self,
        units: torch.Tensor,
        speaker: torch.Tensor,
        log_f0: torch.Tensor,
        voiced: torch.Tensor,
        noise: torch.Tensor,
        *,
        turns: float = 0.0,
        lead: int = 0,
    ) -> torch.Tensor:
        """Units (B, U), voice (B,), log F0 and voicing in [0, 1] (B, N), white noise (B, N * hop) to (B, N * hop).

        Args:
            turns, lead: as in `harmonic_source`; with `lead` the contours are (B, lead + N).
        """
        hop, rate = self.config.hop, self.config.sample_rate
        source = harmonic_source(log_f0.exp(), voiced, hop, rate, turns=turns, lead=lead)
        log_f0, voiced = log_f0[:, lead:], voiced[:, lead:]
        harmonic, hiss = self._stft(source), self._stft(noise)
        x = self.units(units) + self.speaker(speaker)[:, None]
        for block in self.unit_blocks:
            x = block(x)
        x = self.upsample(x).unflatten(-1, (self.per_unit, -1)).flatten(1, 2)
        pitch = torch.stack([log_f0 - math.log(150.0), voiced], dim=-1)
        x = x + self.source(torch.cat([harmonic.abs().add(1e-3).log(), pitch], dim=-1))
        for block in self.frame_blocks:
            x = block(x)
        loud, phase, breath = self.head(self.norm(x)).float().chunk(3, dim=-1)
        # The offsets start both parts near the level of speech; the clamp keeps an untrained head from overflowing.
        filtered = torch.polar((loud - 3).clamp(max=6).exp(), phase) * harmonic
        return self._istft(filtered + (breath - 5).clamp(max=6).exp() * hiss)

    def _waveform(self, units: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        return self._spans(speaker)(units, 0, len(units))

    @property
    def context_units(self) -> int:
        return self.pitch_context + self.render_context

    @property
    def pitch_context(self) -> int:
        """Units to either side that can change a unit's pitch."""
        return 3 * sum(self.config.pitch_dilations)

    @property
    def render_context(self) -> int:
        """Units to either side that can change a unit's samples while the pitch of all is known."""
        c = self.config
        window = -(
            -(c.n_fft - c.hop) // (2 * c.hop)
        )  # frames that a window reaches beyond its own, going in and coming out
        return 3 * c.unit_blocks + -(-(3 * c.frame_blocks + 2 * window + 1) // self.per_unit)

    def _spans(self, speaker: torch.Tensor) -> Span:
        return _Spans(self, speaker)

    def _stft(self, wav: torch.Tensor) -> torch.Tensor:
        """(B, N * hop) to complex (B, N, bins); frame f is centred on the middle of its hop."""
        n_fft, hop = self.config.n_fft, self.config.hop
        frames = F.pad(wav, ((n_fft - hop) // 2, (n_fft - hop) // 2)).unfold(1, n_fft, hop)
        return torch.fft.rfft(frames * self.window)

    def _istft(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Complex (B, N, bins) to (B, N * hop): windowed overlap-add over the windows' summed squares."""
        n_fft, hop, n = self.config.n_fft, self.config.hop, spectrum.shape[1]
        frames = torch.fft.irfft(spectrum, n=n_fft) * self.window
        edge, size = (n_fft - hop) // 2, (1, (n - 1) * hop + n_fft)
        both = torch.cat([frames, self.window.square().expand(1, n, n_fft)])
        added = F.fold(both.transpose(1, 2), size, (1, n_fft), stride=(1, hop))[:, 0, 0]
        return (added[:-1] / added[-1].clamp_min(1e-8))[:, edge : edge + n * hop]


class _Spans:
    """One utterance, span by span. Pitch that was heard stays as it was, and phase and noise go on from it."""

    def __init__(self, vocoder: ConvNextVocoder, speaker: torch.Tensor) -> None:
        self.vocoder, self.speaker = vocoder, speaker[None]
        self.contours = vocoder.f0_mean.new_zeros(2, 0)  # log F0 and voicing of the frames before `begin`
        self.noise = vocoder.f0_mean.new_zeros(0)
        self.generator = torch.Generator().manual_seed(0)
        self.left, self.turns = 0, 0.0

    def __call__(self, units: torch.Tensor, begin: int, end: int) -> torch.Tensor:
        v, per, hop = self.vocoder, self.vocoder.per_unit, self.vocoder.config.hop
        units = units.to(self.speaker.device)
        right = min(len(units), end + v.render_context)
        heard, known = max(0, begin - v.pitch_context), units[: right + v.pitch_context]
        log_f0, voicing = v.predict_pitch(known[None, heard:], self.speaker)
        new = torch.stack([log_f0[0], (voicing[0] > 0).float()])[:, (begin - heard) * per : (right - heard) * per]
        contours = torch.cat([self.contours, new], dim=1)
        if (more := right * per * hop - len(self.noise)) > 0:
            drawn = torch.randn(more, generator=self.generator)
            self.noise = torch.cat([self.noise, drawn.to(self.noise)])

        left, lead = self.left, min(1, self.left)
        window = contours[:, left * per - lead : right * per]
        wav = v.render(
            units[None, left:right], self.speaker, window[:1], window[1:], self.noise[None, left * per * hop :],
            turns=self.turns, lead=lead,
        )[0]  # fmt: skip
        self.contours = contours[:, : end * per]
        self.left = max(0, end - v.render_context)
        passed = at_samples(window[:1].exp(), hop)[0, lead * hop :][: (self.left - left) * per * hop]
        self.turns = (self.turns + float((passed.double() / v.config.sample_rate).sum())) % 1.0
        return wav[(begin - left) * per * hop : (end - left) * per * hop]
