"""The paper's vocoder: a unit HiFi-GAN. Unit and speaker embeddings, a duration predictor, the HiFi-GAN generator.

Generator and duration predictor are transformers' own (SeamlessM4T, after arXiv 2104.00355), without its languages; so
weights of that shape load by `from_seamless`. It takes repeated units as they are, or collapsed ones with predicted
durations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import SeamlessM4TConfig
from transformers.models.seamless_m4t.modeling_seamless_m4t import (
    SeamlessM4TCodeHifiGan,
    SeamlessM4THifiGan,
    SeamlessM4TVariancePredictor,
)

from most.errors import MostError
from most.speech.units import collapse
from most.speech.vocoder.base import UnitVocoder
from most.speech.vocoder.data import Batch
from most.speech.vocoder.losses import spectral_losses
from most.speech.vocoder.stream import Span

CHUNK_UNITS = 500
"""Long sequences are rendered this many units at a time, with as much context as the generator can see."""


@dataclass(frozen=True, kw_only=True)
class HifiGanVocoderConfig:
    """Sizes; the defaults are the published unit HiFi-GAN's (16 kHz, 50 Hz units).

    `speaker_width` 0 is a vocoder of one voice without an embedding of it; one without `durations` speaks units with
    their repeats only.
    """

    n_units: int
    speakers: tuple[str, ...]
    sample_rate: int = 16000
    unit_rate_hz: float = 50.0
    unit_width: int = 128
    speaker_width: int = 128
    durations: bool = True
    channels: int = 512
    upsample_rates: tuple[int, ...] = (5, 4, 4, 2, 2)
    upsample_kernels: tuple[int, ...] = (11, 8, 8, 4, 4)
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))

    def __post_init__(self) -> None:
        for name in ("speakers", "upsample_rates", "upsample_kernels", "resblock_kernels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "resblock_dilations", tuple(tuple(d) for d in self.resblock_dilations))
        if not self.speakers:
            raise MostError("vocoder.speakers", self.speakers, "name at least one voice")
        if not self.speaker_width and len(self.speakers) > 1:
            raise MostError("vocoder.speaker_width", 0, f"{len(self.speakers)} voices need an embedding to differ by")
        per_unit = self.sample_rate / self.unit_rate_hz
        if not math.isclose(math.prod(self.upsample_rates), per_unit, rel_tol=1e-9):
            raise MostError(
                "vocoder.upsample_rates", self.upsample_rates, f"must multiply to {per_unit:g} samples a unit"
            )
        if len(self.upsample_kernels) != len(self.upsample_rates):
            raise MostError("vocoder.upsample_kernels", self.upsample_kernels, "must be as many as upsample_rates")
        if any(k < r or (k - r) % 2 for k, r in zip(self.upsample_kernels, self.upsample_rates, strict=True)):
            raise MostError(
                "vocoder.upsample_kernels", self.upsample_kernels, "must exceed upsample_rates by even numbers"
            )
        if len(self.resblock_dilations) != len(self.resblock_kernels):
            raise MostError(
                "vocoder.resblock_dilations", self.resblock_dilations, "must be as many as resblock_kernels"
            )

    def seamless(self) -> SeamlessM4TConfig:
        """The same sizes as transformers names them, with no language embedding."""
        return SeamlessM4TConfig(
            unit_hifi_gan_vocab_size=self.n_units, vocoder_num_spkrs=len(self.speakers), vocoder_num_langs=1,
            unit_embed_dim=self.unit_width, spkr_embed_dim=self.speaker_width, lang_embed_dim=0,
            upsample_initial_channel=self.channels, upsample_rates=self.upsample_rates,
            upsample_kernel_sizes=self.upsample_kernels, resblock_kernel_sizes=self.resblock_kernels,
            resblock_dilation_sizes=self.resblock_dilations,
        )  # fmt: skip


class HifiGanVocoder(UnitVocoder):
    """See the head of this file."""

    kind = "hifigan"
    config_class = HifiGanVocoderConfig

    def __init__(self, config: HifiGanVocoderConfig) -> None:
        super().__init__(config)
        sizes = config.seamless()
        self.unit_embedding = nn.Embedding(config.n_units, config.unit_width)
        self.speaker_embedding = (
            nn.Embedding(len(config.speakers), config.speaker_width) if config.speaker_width else None
        )
        self.dur_predictor = SeamlessM4TVariancePredictor(sizes) if config.durations else None
        self.hifi_gan = SeamlessM4THifiGan(sizes)

    def from_seamless(self, model: SeamlessM4TCodeHifiGan) -> HifiGanVocoder:
        """Take the weights of transformers' module of the same sizes.

        Raises:
            MostError: its sizes differ, or it has a language embedding.
        """
        state = {k: v for k, v in model.state_dict().items() if not k.startswith("language_embedding")}
        try:
            self.load_state_dict(state)
        except RuntimeError as e:
            raise MostError(
                "vocoder", "SeamlessM4TCodeHifiGan", f"does not fit: {str(e).splitlines()[-1].strip()}"
            ) from e
        return self

    @property
    def context_units(self) -> int:
        """Units to either side that can change a unit's samples: a bound on the generator's receptive field."""
        c, samples, seen = self.config, 1, 3.0
        for rate, kernel in zip(c.upsample_rates, c.upsample_kernels, strict=True):
            seen += kernel / (samples * rate)
            samples *= rate
            widest = max(
                (k - 1) // 2 * (sum(d) + len(d)) for k, d in zip(c.resblock_kernels, c.resblock_dilations, strict=True)
            )
            seen += widest / samples
        return int(seen + 3 / samples) + 2

    def render(self, units: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        """(B, U) units, one a frame, and (B,) voices to (B, U * samples_per_unit)."""
        frames = self.unit_embedding(units)
        if self.speaker_embedding is not None:
            voice = self.speaker_embedding(speaker)[:, None].expand(-1, units.shape[1], -1)
            frames = torch.cat([frames, voice], dim=-1)
        return self.hifi_gan(frames.transpose(1, 2))

    def predict_durations(self, units: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        if self.dur_predictor is None:
            return super().predict_durations(units, speaker)
        log = self.dur_predictor(self.unit_embedding(units)[None])[0]
        return torch.expm1(log).round().long().clamp_min(1)

    def losses(self, batch: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        made = self.render(batch.units, batch.speaker)
        spectral = spectral_losses(made, batch.audio, self.sample_rate)
        if self.dur_predictor is None:
            return made, spectral
        durations = made.new_zeros(())
        for row in batch.units:
            runs, lasts = collapse(row.numpy())
            # The first and the last run are cut by the stretch; their length says nothing.
            if len(runs) > 2:
                log = self.dur_predictor(self.unit_embedding(torch.from_numpy(runs))[None])[0]
                durations = durations + F.mse_loss(log[1:-1], torch.from_numpy(lasts[1:-1]).to(log).log1p())
        return made, {**spectral, "duration": durations / len(batch.units)}

    def _waveform(self, units: torch.Tensor, speaker: torch.Tensor) -> torch.Tensor:
        span, starts = self._spans(speaker), range(0, len(units), CHUNK_UNITS)
        return torch.cat([span(units, start, min(len(units), start + CHUNK_UNITS)) for start in starts])

    def _spans(self, speaker: torch.Tensor) -> Span:
        def span(units: torch.Tensor, begin: int, end: int) -> torch.Tensor:
            left = max(0, begin - self.context_units)
            seen = units[None, left : end + self.context_units].to(speaker.device)
            wav = self.render(seen, speaker[None])[0]
            return wav[(begin - left) * self.samples_per_unit :][: (end - begin) * self.samples_per_unit]

        return span
