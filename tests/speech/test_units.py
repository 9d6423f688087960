"""Units: nearest centroids, training, run-length collapse, the store beside a manifest."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from most.errors import MostError
from most.speech.units import KMeansQuantizer, collapse, train_kmeans


def make(n_units=7, size=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return KMeansQuantizer(
        torch.randn(size, generator=g), torch.rand(size, generator=g) + 0.5, torch.randn(n_units, size, generator=g)
    )


def test_applies_the_nearest_centroid():
    q, frames = make(), torch.randn(3, 40, 5)
    z = (frames - q.mean) / q.std
    brute = (z[..., None, :] - q.centroids).square().sum(-1).argmin(-1)
    assert torch.equal(q(frames), brute)
    assert q(frames).dtype == torch.int64
    with pytest.raises(MostError, match="5 wide"):
        q(torch.randn(2, 4))


def test_finds_clusters_that_are_there():
    g = torch.Generator().manual_seed(0)
    centres = 10 * torch.randn(6, 4, generator=g)
    label = torch.arange(6).repeat_interleave(50)
    frames = centres[label] + 0.1 * torch.randn(300, 4, generator=g)
    units = train_kmeans(frames, 6, progress=False)(frames)
    assert all(len(set(units[label == k].tolist())) == 1 for k in range(6))
    assert len(set(units.tolist())) == 6


def test_training_is_deterministic_and_refuses_too_little():
    frames = torch.randn(400, 3, generator=torch.Generator().manual_seed(1))
    a, b = (train_kmeans(frames, 8, seed=3, progress=False) for _ in range(2))
    assert torch.equal(a.centroids, b.centroids)
    with pytest.raises(MostError, match="at least 80"):
        train_kmeans(frames[:79], 8)
    with pytest.raises(MostError, match="never vary"):
        train_kmeans(frames * torch.tensor([1.0, 0, 1]), 8)


def test_training_survives_repeated_points():
    frames = torch.randn(4, 3).repeat(30, 1)
    q = train_kmeans(frames, 8, progress=False)
    assert q.centroids.isfinite().all()
    assert len(set(q(frames).tolist())) == 4


def test_save_and_load(tmp_path):
    q = make()
    q.save(tmp_path)
    again = KMeansQuantizer.load(tmp_path)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in q.state_dict().items())
    (tmp_path / "units.safetensors").unlink()
    with pytest.raises(MostError, match="train-units"):
        KMeansQuantizer.load(tmp_path)


@settings(max_examples=60, deadline=None)
@given(arrays(np.int64, st.integers(0, 60), elements=st.integers(0, 3)))
def test_collapse_round_trip(units):
    runs, lasts = collapse(units)
    np.testing.assert_array_equal(np.repeat(runs, lasts), units)
    assert (runs[1:] != runs[:-1]).all()
    assert (lasts >= 1).all()
