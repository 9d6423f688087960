"""HiFi-GAN's discriminators (arXiv 2010.05646): several periods and several scales, with least-squares losses.

Only training uses them; a trained vocoder is saved without.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

PERIODS = (2, 3, 5, 7, 11)
N_SCALES = 2
Judged = list[list[torch.Tensor]]
"""For each discriminator its feature maps; the last is its score."""


class _Period(nn.Module):
    """Looks at every `period`-th sample side by side."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        sizes = (1, width, 2 * width, 4 * width, 4 * width)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, (5, 1), (3, 1), padding=(2, 0)) for a, b in pairwise(sizes))
        self.score = nn.Conv2d(sizes[-1], 1, (3, 1), padding=(1, 0))

    def forward(self, wav: torch.Tensor) -> list[torch.Tensor]:
        """(B, T) to feature maps."""
        x = F.pad(wav, (0, -wav.shape[1] % self.period)).unflatten(1, (-1, self.period))[:, None]
        return _maps(x, self.layers, self.score)


class _Scale(nn.Module):
    """Looks at the waveform averaged down by `2 ** octave`."""

    def __init__(self, octave: int, width: int) -> None:
        super().__init__()
        self.octave = octave
        shapes = ((1, width, 15, 1, 1), (width, 2 * width, 41, 4, 4), (2 * width, 4 * width, 41, 4, 16))
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, k, s, padding=k // 2, groups=min(g, a))
            for a, b, k, s, g in (*shapes, (4 * width, 4 * width, 5, 1, 1))
        )
        self.score = nn.Conv1d(4 * width, 1, 3, padding=1)

    def forward(self, wav: torch.Tensor) -> list[torch.Tensor]:
        """(B, T) to feature maps."""
        x = F.avg_pool1d(wav[:, None], 2**self.octave) if self.octave else wav[:, None]
        return _maps(x, self.layers, self.score)


def _maps(x: torch.Tensor, layers: nn.ModuleList, score: nn.Module) -> list[torch.Tensor]:
    maps = []
    for layer in layers:
        x = F.leaky_relu(layer(x), 0.1)
        maps.append(x)
    return [*maps, score(x)]


class Discriminator(nn.Module):
    """All periods and scales; `width` is the channels of the first layer (32 in the published one)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            [*(_Period(p, width) for p in PERIODS), *(_Scale(octave, width) for octave in range(N_SCALES))]
        )

    def forward(self, wav: torch.Tensor) -> Judged:
        return [part(wav) for part in self.parts]


def discriminator_loss(real: Judged, made: Judged) -> torch.Tensor:
    """Scores of recordings go to one, of the vocoder's speech to zero; the mean over discriminators."""
    return torch.stack(
        [(r[-1] - 1).square().mean() + m[-1].square().mean() for r, m in zip(real, made, strict=True)]
    ).mean()


def generator_losses(real: Judged, made: Judged) -> dict[str, torch.Tensor]:
    """`adversarial`: the vocoder's scores go to one. `features`: its feature maps go to those of the recordings."""
    fool = torch.stack([(m[-1] - 1).square().mean() for m in made]).mean()
    pairs = [(a, b) for r, m in zip(real, made, strict=True) for a, b in zip(r[:-1], m[:-1], strict=True)]
    return {"adversarial": fool, "features": 2.0 * torch.stack([F.l1_loss(b, a.detach()) for a, b in pairs]).mean()}
