"""Units: k-means over z-scored encoder frames. A frame becomes the index of the nearest centroid.

Training is Lloyd's algorithm on a sample of frames that fits in memory, in torch; no other library is needed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm import tqdm

from most.errors import MostError


class UnitQuantizer(Protocol):
    """The seam: frames to unit ids."""

    @property
    def n_units(self) -> int:
        """Unit ids lie in 0..n_units-1."""
        ...

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """(..., H) frames to (...,) int64 unit ids."""
        ...


class KMeansQuantizer(nn.Module):
    """Nearest centroid of z-scored frames.

    Args:
        mean, std: (H,) of the training frames.
        centroids: (n_units, H) in z-scored space.
    """

    mean: torch.Tensor
    std: torch.Tensor
    centroids: torch.Tensor

    def __init__(self, mean: torch.Tensor, std: torch.Tensor, centroids: torch.Tensor) -> None:
        super().__init__()
        for name, tensor in (("mean", mean), ("std", std), ("centroids", centroids)):
            self.register_buffer(name, tensor.float())

    @property
    def n_units(self) -> int:
        return self.centroids.shape[0]

    @torch.no_grad()
    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(..., H) to (...,) int64.

        Raises:
            MostError: frames of another width.
        """
        if frames.shape[-1] != self.mean.shape[0]:
            raise MostError("frames", tuple(frames.shape), f"these units were made of frames {self.mean.shape[0]} wide")
        z = (frames.float() - self.mean) / self.std
        return _nearest(z.reshape(-1, z.shape[-1]), self.centroids)[0].reshape(frames.shape[:-1])

    def save(self, folder: str | os.PathLike[str], dtype: torch.dtype = torch.float32) -> None:
        """Write units.safetensors and units.json."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        row = {"quantizer": "kmeans", "n_units": self.n_units, "frame_size": self.mean.shape[0]}
        (folder / "units.json").write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
        save_file({k: v.to(dtype).contiguous() for k, v in self.state_dict().items()}, folder / "units.safetensors")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> KMeansQuantizer:
        """Read what `save` wrote.

        Raises:
            MostError: files missing or of another kind.
        """
        folder = Path(folder)
        for name in ("units.json", "units.safetensors"):
            if not (folder / name).is_file():
                raise MostError("units", folder, f"has no {name}; make one with `most codec train-units`")
        row = json.loads((folder / "units.json").read_text(encoding="utf-8"))
        if row.get("quantizer") != "kmeans":
            raise MostError("units.quantizer", row.get("quantizer"), "is unknown; known: kmeans")
        tensors = load_file(folder / "units.safetensors")
        if set(tensors) != {"mean", "std", "centroids"}:
            raise MostError("units", folder / "units.safetensors", "must hold mean, std and centroids")
        return cls(**tensors)


def _nearest(z: torch.Tensor, centroids: torch.Tensor, chunk: int = 16384) -> tuple[torch.Tensor, torch.Tensor]:
    """Index of the nearest centroid and its squared distance, for (N, H) points, a chunk at a time."""
    half = 0.5 * centroids.square().sum(1)
    index, distance = [], []
    for part in z.split(chunk):
        # argmin |z-c|^2 = argmax z.c - |c|^2/2: one matrix product, no (N, K, H) difference.
        score, best = (part @ centroids.T - half).max(dim=1)
        index.append(best)
        distance.append(part.square().sum(1) - 2 * score)
    return torch.cat(index), torch.cat(distance).clamp_min(0)


def train_kmeans(
    frames: torch.Tensor, n_units: int, *, iterations: int = 60, seed: int = 0, progress: bool = True
) -> KMeansQuantizer:
    """Lloyd's algorithm on (N, H) frames, started from k-means++ on a part of them; empty centroids are moved.

    Raises:
        MostError: fewer than ten frames a unit, or a feature that never varies.
    """
    if len(frames) < 10 * n_units:
        raise MostError("frames", len(frames), f"{n_units} units need at least {10 * n_units} frames; give more audio")
    frames = frames.float()
    std, mean = torch.std_mean(frames, dim=0)
    if not bool((std > 0).all()):
        raise MostError("frames", int((std == 0).sum()), "features never vary; the encoder or its layer is unfit")
    z = (frames - mean) / std
    generator = torch.Generator().manual_seed(seed)
    centroids = _plus_plus(z, n_units, generator)
    bar = tqdm(range(iterations), desc="k-means", disable=not progress, unit="it")
    for _ in bar:
        index, distance = _nearest(z, centroids)
        count = torch.bincount(index, minlength=n_units)
        total = torch.zeros_like(centroids).index_add_(0, index, z)
        moved = torch.where(count[:, None] > 0, total / count.clamp_min(1)[:, None], centroids)
        if empty := (count == 0).nonzero().flatten().tolist():
            moved[empty] = z[distance.topk(len(empty)).indices]
        bar.set_postfix(distance=f"{distance.mean() / z.shape[1]:.4f}", empty=len(empty))
        if torch.equal(moved, centroids):
            break
        centroids = moved
    return KMeansQuantizer(mean, std, centroids)


def _plus_plus(z: torch.Tensor, n_units: int, generator: torch.Generator) -> torch.Tensor:
    sample = z[torch.randperm(len(z), generator=generator)[: 40 * n_units]]
    chosen = [int(torch.randint(len(sample), (1,), generator=generator))]
    distance = torch.full((len(sample),), torch.inf)
    square = sample.square().sum(1)
    for _ in range(n_units - 1):
        last = sample[chosen[-1]]
        distance = torch.minimum(distance, (square - 2 * sample @ last + last.square().sum()).clamp_min(0))
        weights = distance + 1e-9 if float(distance.sum()) == 0 else distance
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
    return sample[chosen].clone()


def collapse(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run-length code (U,) units: the runs' units and their lengths. `np.repeat(*collapse(u))` gives `u` back."""
    units = np.asarray(units)
    if units.size == 0:
        return units.copy(), np.zeros(0, dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, units[1:] != units[:-1]])
    return units[starts], np.diff(np.r_[starts, len(units)]).astype(np.int64)
