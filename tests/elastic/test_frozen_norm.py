"""The frozen norm's own gradients against autograd's of its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tipsc.elastic.frozen_norm import Correction, deviation_ratio, frozen_norm, scaled_variance

EPS = 1e-3


def by_definition(
    x: Tensor, weight: Tensor, bias: Tensor, shared: Tensor, correction: Correction | None
) -> Tensor:
    axes = [axis for axis in range(x.dim()) if axis != 1]
    mean, variance = x.mean(axes), x.var(axes, correction=0)
    if correction is not None:
        mean, variance = correction.mean(mean), correction.variance(variance)
    ratio = deviation_ratio(variance, shared, EPS)
    scale = weight / (ratio * torch.sqrt(shared + EPS))
    shape = (-1,) + (1,) * (x.dim() - 2)
    return x * scale.view(shape) + (bias - mean * scale).view(shape)


@given(
    shape=st.sampled_from([(6, 3), (5, 4, 7), (3, 5, 4, 2), (2, 2, 3, 2, 2)]),
    last=st.booleans(),
    corrected=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_gives_what_its_definition_gives_and_the_same_gradients(
    shape: tuple[int, ...], last: bool, corrected: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    channels = shape[1]
    x = torch.randn(shape, dtype=torch.float64) * 3 + 1
    if last and len(shape) == 4:
        x = x.to(memory_format=torch.channels_last)
    weight, bias = torch.randn(2, channels, dtype=torch.float64)
    weight[0] = 0.0  # a channel that is switched off
    shared = torch.rand(channels, dtype=torch.float64) * 4
    correction = None
    if corrected:
        shift, factor, offset = torch.randn(3, channels, dtype=torch.float64)
        correction = Correction(shift, factor.abs(), offset)
    leaves = [value.requires_grad_() for value in (x, weight, bias)]
    wanted = by_definition(x, weight, bias, shared, correction)
    given_, _ = frozen_norm(x, weight, bias, shared, EPS, correction)
    torch.testing.assert_close(given_, wanted)
    pull = torch.randn_like(wanted)
    for mine, its in zip(
        torch.autograd.grad((given_.sin() * pull).sum(), leaves),
        torch.autograd.grad((wanted.sin() * pull).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(mine, its)


def test_output_does_not_follow_a_factor_on_all_inputs() -> None:
    """What a narrow path lacks in size, its ratio gives back."""
    x, shared = torch.randn(64, 5, 3, 3, dtype=torch.float64), torch.rand(5).double() + 0.5
    weight, bias = torch.rand(2, 5, dtype=torch.float64)
    large, _ = frozen_norm(x, weight, bias, shared, 1e-12, None)
    small, _ = frozen_norm(x / 7, weight, bias, shared, 1e-12, None)
    torch.testing.assert_close(small, large)


def test_ratio_of_the_shared_variance_times_a_square_is_its_root() -> None:
    shared = torch.rand(8) + 0.1
    assert float(deviation_ratio(9 * (shared + EPS) - EPS, shared, EPS)) == pytest.approx(3, 1e-5)
    torch.testing.assert_close(scaled_variance(shared, 3.0, EPS), 9 * (shared + EPS) - EPS)
