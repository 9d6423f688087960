"""Settings of the codec's training commands: frozen dataclasses, read from one YAML recipe with two sections."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from most.errors import MostError
from most.settings import build, read_yaml


def _need(good: bool, field: str, value: object, remedy: str) -> None:
    if not good:
        raise MostError(field, value, remedy)


@dataclass(frozen=True, kw_only=True)
class UnitSettings:
    """How k-means units are trained.

    Args:
        encoder: folder or hub id of the speech encoder.
        layer: its layer, None for the final output.
        peak: audio is scaled to this peak first; None leaves the gain alone.
        minutes_per_speaker: at most this much of each speaker, so that none dominates.
        main_speaker, main_minutes: the voice that may have more.
        band_limited_share: share of utterances that count twice, the second time as an 8 kHz recording would sound.
    """

    encoder: str
    layer: int | None = None
    n_units: int = 500
    peak: float | None = 0.7
    minutes_per_speaker: float = 10.0
    main_speaker: str = ""
    main_minutes: float = 60.0
    band_limited_share: float = 0.0
    iterations: int = 60
    seed: int = 0

    def __post_init__(self) -> None:
        _need(self.n_units >= 2, "units.n_units", self.n_units, "must be at least 2")
        _need(
            0 <= self.band_limited_share <= 1, "units.band_limited_share", self.band_limited_share, "must lie in [0, 1]"
        )
        _need(self.iterations >= 1, "units.iterations", self.iterations, "must be at least 1")
        for name in ("minutes_per_speaker", "main_minutes"):
            _need(getattr(self, name) > 0, f"units.{name}", getattr(self, name), "must be over 0 minutes")


@dataclass(frozen=True, kw_only=True)
class VocoderSettings:
    """How a vocoder is trained.

    Args:
        kind: `convnext` (light, for CPUs) or `hifigan` (the paper's).
        model: settings of that vocoder's config, over its defaults.
        speakers: voices to learn, with their share of the training examples (normalised to one).
        start_from: folder of a trained vocoder of the same kind, units and sizes to start from; voices it does not know
            start as the mean of those it does.
        band_limited_share: share of examples whose units come from band-limited audio; the target stays wide-band.
        segment_seconds, batch_size: one step sees batch_size stretches of segment_seconds.
        decay_steps: the last steps, over which the learning rate falls to zero.
        ema: decay of the averaged weights that are exported.
        adversarial_from: step from which HiFi-GAN's discriminators judge too; None leaves spectral losses alone.
        discriminator_width: channels of their first layers.
    """

    kind: str = "convnext"
    model: Mapping[str, Any]
    speakers: Mapping[str, float]
    start_from: str | None = None
    band_limited_share: float = 0.0
    segment_seconds: float = 2.0
    batch_size: int = 8
    steps: int = 10000
    warmup_steps: int = 200
    decay_steps: int = 2000
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    ema: float = 0.999
    adversarial_from: int | None = None
    discriminator_width: int = 32
    bf16: bool = False
    save_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        _need(bool(self.speakers), "vocoder.speakers", dict(self.speakers), "name at least one speaker and its share")
        _need(
            all(s > 0 for s in self.speakers.values()), "vocoder.speakers", dict(self.speakers), "shares must be over 0"
        )
        _need(
            0 <= self.band_limited_share <= 1,
            "vocoder.band_limited_share",
            self.band_limited_share,
            "must lie in [0, 1]",
        )
        _need(self.segment_seconds > 0, "vocoder.segment_seconds", self.segment_seconds, "must be over 0 seconds")
        _need(0 < self.ema < 1, "vocoder.ema", self.ema, "must lie in (0, 1)")
        for name in ("batch_size", "steps", "save_every"):
            _need(getattr(self, name) >= 1, f"vocoder.{name}", getattr(self, name), "must be at least 1")


S = TypeVar("S", UnitSettings, VocoderSettings)


def read_settings(kind: type[S], source: str | os.PathLike[str] | Mapping[str, Any], section: str) -> S:
    """One section of a codec recipe: a YAML file with `units:` and `vocoder:`, or the mapping it holds.

    Raises:
        MostError: no such file or section, a missing or unknown key, or a value out of range.
    """
    recipe = source if isinstance(source, Mapping) else read_yaml(source)
    if not isinstance(recipe.get(section), Mapping):
        raise MostError("recipe", str(source), f"has no section {section!r}")
    return build(kind, dict(recipe[section]), where=section)
