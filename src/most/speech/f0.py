"""Fundamental frequency: measured with WORLD (pyworld) for training and evaluation; turned into a harmonic source."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import sys
from types import ModuleType
from typing import Any

import numpy as np
import torch

from most.errors import MostError

F0_MIN_HZ, F0_MAX_HZ = 60.0, 500.0


def _pyworld() -> Any:
    # pyworld 0.3.5 asks pkg_resources for its own version; setuptools 81 and later no longer bring pkg_resources.
    stand_in = None
    if importlib.util.find_spec("pkg_resources") is None:
        stand_in = ModuleType("pkg_resources")
        setattr(stand_in, "get_distribution", importlib.metadata.distribution)  # noqa: B010
        sys.modules["pkg_resources"] = stand_in
    try:
        return importlib.import_module("pyworld")
    except ImportError as e:
        raise MostError("pyworld", None, "is not installed; it measures F0: pip install 'most-speech[codec]'") from e
    finally:
        if stand_in is not None:
            del sys.modules["pkg_resources"]


def measure_f0(wav: np.ndarray, sample_rate: int, n_frames: int, frame_rate_hz: float = 100.0) -> np.ndarray:
    """F0 at the middle of each frame, (n_frames,) float32 in Hz, 0 where unvoiced (DIO refined by StoneMask).

    Frame f covers seconds f / frame_rate_hz to (f + 1) / frame_rate_hz.

    Raises:
        MostError: pyworld is not installed.
    """
    world = _pyworld()
    x = wav.astype(np.float64)
    # Twice the rate, then every second value from the first: those lie at the frames' middles.
    f0, t = world.dio(x, sample_rate, f0_floor=F0_MIN_HZ, f0_ceil=F0_MAX_HZ, frame_period=500.0 / frame_rate_hz)
    f0 = world.stonemask(x, f0, t, sample_rate)[1::2]
    return np.pad(f0, (0, max(0, n_frames - len(f0))))[:n_frames].astype(np.float32)


def fill_unvoiced(f0: np.ndarray) -> np.ndarray:
    """log F0 with unvoiced stretches bridged by straight lines; a contour without any voice is flat at 150 Hz."""
    voiced = np.flatnonzero(f0 > 0)
    if voiced.size == 0:
        return np.full(len(f0), math.log(150.0), dtype=np.float32)
    return np.interp(np.arange(len(f0)), voiced, np.log(f0[voiced])).astype(np.float32)


def harmonic_source(
    f0: torch.Tensor, voiced: torch.Tensor, hop: int, sample_rate: int, *, turns: float = 0.0, lead: int = 0
) -> torch.Tensor:
    """All harmonics below Nyquist, equally strong: (B, N) Hz and (B, N) voicing in [0, 1] to (B, (N - lead) * hop).

    Power does not depend on F0. The sum of K cosines is evaluated in closed form (the Dirichlet kernel), so the cost
    does not grow with K; the highest harmonic fades in and out as K changes.

    Args:
        turns: of the phase before the first sample.
        lead: frames that lie before the first sample and only say where the contours come from.
    """
    f0, gate = (at_samples(x, hop)[:, lead * hop :] for x in (f0, voiced))
    # In double precision: the phase of a minute of speech has thousands of turns.
    turned = turns + torch.cumsum(f0.double() / sample_rate, dim=1)
    phase = (2 * math.pi * (turned - turned.round())).float()
    count = 0.5 * sample_rate / f0 - 1.0
    whole = count.floor()
    half = torch.sin(phase / 2)
    safe = torch.where(half.abs() < 1e-4, torch.ones_like(half), half)
    kernel = torch.where(half.abs() < 1e-4, whole, 0.5 * torch.sin((whole + 0.5) * phase) / safe - 0.5)
    return gate * (kernel + (count - whole) * torch.cos((whole + 1) * phase)) * torch.sqrt(2.0 / count)


def at_samples(contour: torch.Tensor, hop: int) -> torch.Tensor:
    """(B, N) values at the middle of frames to (B, N * hop), by straight lines."""
    return torch.nn.functional.interpolate(contour[:, None], scale_factor=hop, mode="linear")[:, 0]
