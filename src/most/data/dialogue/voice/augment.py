"""Speech as microphones and rooms change it: speed, noise at a drawn signal-to-noise ratio, reverberation.

Every draw comes from the generator that is handed in, so an item's augmentation depends on its own name alone. Rooms
are an exponential decay by default, or image sources through pyroomacoustics (extra `room`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import soxr

from most.data.dialogue.voice.rooms import ROOMS
from most.errors import MostError, nearest

Range = tuple[float, float]


def check_range(name: str, value: Range, low: float, high: float) -> None:
    """Raises MostError unless `value` is two rising numbers within `low` and `high`."""
    if len(value) != 2 or not low <= value[0] <= value[1] <= high:
        raise MostError(name, list(value), f"must be two numbers, the lower first, within {low:g} and {high:g}")


def check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise MostError(name, value, "must lie in 0..1")


@dataclass(frozen=True, kw_only=True)
class SpeedSettings:
    """Faster or slower by resampling, which moves the pitch too (as in Kaldi's recipes)."""

    share: float = 0.0
    factor: Range = (0.9, 1.1)

    def __post_init__(self) -> None:
        check_share("augment.speed.share", self.share)
        check_range("augment.speed.factor", self.factor, 0.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class NoiseSettings:
    """Noise of a kind drawn from `kinds`; babble is several other voices of the corpus at once."""

    share: float = 0.0
    kinds: tuple[str, ...] = ("white", "pink", "babble")
    snr_db: Range = (10.0, 30.0)

    def __post_init__(self) -> None:
        check_share("augment.noise.share", self.share)
        check_range("augment.noise.snr_db", self.snr_db, -20, 80)
        if not self.kinds:
            raise MostError("augment.noise.kinds", self.kinds, f"name at least one of {', '.join(NOISES)}")
        for kind in self.kinds:
            if kind not in NOISES:
                raise MostError("augment.noise.kinds", kind, nearest(kind, NOISES))


@dataclass(frozen=True, kw_only=True)
class RoomSettings:
    """Reverberation: a model of rooms and the time in which it falls by 60 dB."""

    share: float = 0.0
    kind: Literal["exponential", "image"] = "exponential"
    rt60_seconds: Range = (0.15, 0.5)

    def __post_init__(self) -> None:
        check_share("augment.room.share", self.share)
        check_range("augment.room.rt60_seconds", self.rt60_seconds, 0.05, 3.0)


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """What is done to whose turns; each share is that of the turns it happens to."""

    roles: tuple[Literal["user", "assistant"], ...] = ("user",)
    speed: SpeedSettings = field(default_factory=SpeedSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    room: RoomSettings = field(default_factory=RoomSettings)

    @property
    def needs_babble(self) -> bool:
        return self.noise.share > 0 and "babble" in self.noise.kinds


def change_speed(wav: np.ndarray, factor: float) -> np.ndarray:
    """`(T,)` played `factor` times as fast: T / factor samples, pitch moved by the same factor."""
    return soxr.resample(wav, factor, 1.0, quality="HQ").astype(np.float32)


def white_noise(n: int, rng: np.random.Generator, bank: Sequence[np.ndarray] = ()) -> np.ndarray:
    return rng.normal(size=n).astype(np.float32)


def pink_noise(n: int, rng: np.random.Generator, bank: Sequence[np.ndarray] = ()) -> np.ndarray:
    """Noise whose power falls by 3 dB an octave."""
    spectrum = np.fft.rfft(rng.normal(size=n))
    spectrum /= np.sqrt(np.maximum(1, np.arange(len(spectrum))))
    return np.fft.irfft(spectrum, n).astype(np.float32)


def babble(n: int, rng: np.random.Generator, bank: Sequence[np.ndarray]) -> np.ndarray:
    """Up to six recordings of the bank at once, each from a drawn place on and round again."""
    assert bank, "babble needs recordings; the pipeline makes them first"
    picked = rng.permutation(len(bank))[: int(rng.integers(3, 7))]
    out = np.zeros(n, dtype=np.float32)
    for k in picked:
        out += np.resize(np.roll(bank[k], -int(rng.integers(len(bank[k])))), n)
    return out


NOISES: dict[str, Callable[..., np.ndarray]] = {"white": white_noise, "pink": pink_noise, "babble": babble}


def add_noise(wav: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`(T,)` with noise `(T,)` scaled so that speech power over noise power is `snr_db`."""
    power, noise_power = np.mean(wav.astype(np.float64) ** 2), np.mean(noise.astype(np.float64) ** 2)
    if noise_power == 0 or power == 0:
        return wav
    return (wav + noise * np.sqrt(power / noise_power / 10 ** (snr_db / 10))).astype(np.float32)


def reverberate(wav: np.ndarray, response: np.ndarray) -> np.ndarray:
    """`(T,)` heard through a room response `(R,)` that starts with the direct sound: same length, same power."""
    size = 1 << (len(wav) + len(response) - 2).bit_length()
    wet = np.fft.irfft(np.fft.rfft(wav, size) * np.fft.rfft(response, size), size)[: len(wav)]
    power = np.mean(wet**2)
    return (wet * np.sqrt(np.mean(wav.astype(np.float64) ** 2) / power) if power else wet).astype(np.float32)


def draw_speed(settings: AugmentSettings, role: str, rng: np.random.Generator) -> float | None:
    """The speed of a turn, or None where it stays as it is. Drawn first, for it changes when things happen."""
    happens, factor = rng.random() < settings.speed.share, rng.uniform(*settings.speed.factor)
    return round(float(factor), 3) if happens and role in settings.roles else None


def augment(
    wav: np.ndarray, sample_rate: int, settings: AugmentSettings, role: str, rng: np.random.Generator,
    bank: Sequence[np.ndarray] = (),
) -> tuple[np.ndarray, dict[str, Any]]:  # fmt: skip
    """Room and noise on `(T,)`, which keeps its length, and what was done to it for the record."""
    done: dict[str, Any] = {}
    if role not in settings.roles:
        return wav, done
    if rng.random() < settings.room.share:
        rt60 = round(float(rng.uniform(*settings.room.rt60_seconds)), 3)
        wav = reverberate(wav, ROOMS[settings.room.kind](sample_rate, rt60, rng))
        done["room"] = {"kind": settings.room.kind, "rt60_seconds": rt60}
    if rng.random() < settings.noise.share:
        kind = settings.noise.kinds[int(rng.integers(len(settings.noise.kinds)))]
        snr_db = round(float(rng.uniform(*settings.noise.snr_db)), 1)
        wav = add_noise(wav, NOISES[kind](len(wav), rng, bank), snr_db)
        done["noise"] = {"kind": kind, "snr_db": snr_db}
    highest = float(np.abs(wav).max(initial=0.0))
    return (wav * (0.99 / highest)).astype(np.float32) if highest > 0.99 else wav, done
