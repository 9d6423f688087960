"""The rounding: never off by more than half a step, the row's largest exact, a second rounding the same."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from most.errors import MostError
from most.model.release.int8 import is_rounded, round_rows, widen


@given(st.sampled_from([(7, 5), (3, 4, 6), (2, 3, 2, 9)]), st.floats(1e-6, 1e4), st.integers(0, 99))
def test_half_a_step(shape: tuple[int, ...], size: float, seed: int) -> None:
    weight = size * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    codes, scale = round_rows(weight)
    assert (codes.dtype, scale.dtype, codes.shape, scale.shape) == (torch.int8, torch.float32, shape, (*shape[:-1], 1))
    back = widen(codes, scale, torch.float32)
    assert bool(((back - weight).abs() <= scale * 0.5001).all())
    largest = weight.abs().amax(dim=-1)
    assert torch.allclose(back.abs().amax(dim=-1), largest, rtol=1e-6)
    again, same = round_rows(back)
    assert torch.equal(again, codes)
    assert torch.allclose(same, scale, rtol=1e-6)


def test_each_row_has_its_own_scale_and_zeros_stay_zero() -> None:
    weight = torch.tensor([[1.0, -0.5], [1000.0, 3.0], [0.0, 0.0]])
    codes, scale = round_rows(weight)
    assert codes.tolist() == [[127, -64], [127, 0], [0, 0]]
    assert widen(codes, scale, torch.bfloat16).dtype == torch.bfloat16
    assert widen(codes, scale, torch.float32)[2].tolist() == [0, 0]


def test_it_is_what_torch_makes_of_it() -> None:
    weight = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    codes, scale = round_rows(weight)
    theirs = torch.fake_quantize_per_channel_affine(
        weight, scale[:, 0], torch.zeros(16, dtype=torch.int32), axis=0, quant_min=-127, quant_max=127
    )
    assert torch.allclose(widen(codes, scale, torch.float32), theirs, rtol=1e-6)


def test_which_weights() -> None:
    matrix = torch.zeros(64, 32)
    assert is_rounded("a", matrix)
    assert not is_rounded("a", matrix, kept={"a"})
    assert not is_rounded("a", torch.zeros(4096))
    assert not is_rounded("a", torch.zeros(8, 8))
    assert not is_rounded("a", matrix.long())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(MostError, match="inf or nan"):
        round_rows(torch.tensor([[1.0, value]]))
