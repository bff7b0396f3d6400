"""Batch-norm statistics of a path, against torch's own and against the definition."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from digits import load, make
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tipsc.convert import convert
from tipsc.elastic import (
    Supernet,
    deviation_ratio,
    extract,
    freeze_scales,
    give_ratios,
    norms_with_ratio,
)
from tipsc.errors import DataError
from tipsc.train import calibrate, share_scales
from tipsc.train.calibrate import Moments


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_moments_do_not_depend_on_how_the_stream_is_cut(sizes: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = 100 + torch.randn(sum(sizes) + 1, 3, generator=generator, dtype=torch.float64)
    moments = Moments()
    for batch in values.split([*sizes, 1]):
        variance, mean = torch.var_mean(batch, 0, correction=0)
        moments.add(len(batch), mean, variance)
    torch.testing.assert_close(moments.mean, values.mean(0))
    torch.testing.assert_close(moments.variance, values.var(0))


def in_use() -> Supernet:
    supernet = make().train()
    for path in (supernet.space.largest, supernet.space.smallest):
        supernet(load().train.inputs[:256], path)
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return supernet


def test_own_statistics_of_one_batch_are_those_that_torch_keeps() -> None:
    supernet = in_use()
    path = supernet.space.largest
    inputs = load().train.inputs[:300]
    found = calibrate(supernet, path, [inputs], own_scale=True)
    plain = extract(supernet, path)
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train().momentum = 1.0
    plain(inputs)
    assert found.owns_weights
    for name, mean in found.mean.items():
        norm = plain.get_submodule(name)
        torch.testing.assert_close(mean, norm.running_mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.variance[name], norm.running_var, atol=1e-5, rtol=1e-4)


def _note_mean(
    means: dict[str, torch.Tensor], name: str, _: nn.Module, __: object, output: torch.Tensor
) -> None:
    means[name] = output.mean((0, 2, 3))


def test_after_calibration_each_norm_puts_out_its_beta_on_average() -> None:
    """With a shared scale single variances may be wrong, the means may not."""
    supernet = in_use()
    freeze_scales(supernet)
    inputs = load().train.inputs[:512]
    for path in (supernet.space.largest, supernet.space.smallest):
        module = extract(supernet, path, calibrate(supernet, path, [inputs]))
        means: dict[str, torch.Tensor] = {}
        for name, norm in module.named_modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.register_forward_hook(partial(_note_mean, means, name))
        with torch.no_grad():
            module(inputs)
        assert means
        for name, mean in means.items():
            torch.testing.assert_close(
                mean, module.get_submodule(name).bias, atol=2e-3, rtol=2e-3, msg=name
            )


def test_unequal_batches_are_weighed_by_their_size() -> None:
    """The first layer's input does not depend on other norms: exact for any split."""
    supernet = in_use()
    path = supernet.space.largest
    inputs = load().train.inputs[:300]
    whole = calibrate(supernet, path, [inputs], own_scale=True)
    parts = calibrate(supernet, path, inputs.split([7, 200, 93]), own_scale=True)
    for field in ("mean", "variance"):
        torch.testing.assert_close(
            getattr(parts, field)["stem_norm"], getattr(whole, field)["stem_norm"]
        )


def test_ratio_says_how_much_more_the_path_deviates() -> None:
    """The first norm's input does not depend on others."""
    supernet = in_use()
    assert "stem_norm" not in norms_with_ratio(supernet)  # a ReLU6 follows
    give_ratios(supernet, {"stem_norm"})
    path, inputs = supernet.space.largest, load().train.inputs[:300]
    before = calibrate(supernet, path, [inputs]).ratio["stem_norm"]
    with torch.no_grad():
        supernet.stem_norm.running_var.mul_(9)
    shared = calibrate(supernet, path, [inputs])
    own = calibrate(supernet, path, [inputs], own_scale=True)
    assert shared.ratio.keys() == {"stem_norm"}
    assert not shared.owns_weights
    assert own.owns_weights
    assert not own.ratio
    kept, eps = supernet.stem_norm.running_var, supernet.stem_norm.eps
    wanted = deviation_ratio(own.variance["stem_norm"], kept, eps)
    assert shared.ratio["stem_norm"] == pytest.approx(float(wanted), 1e-5)
    assert shared.ratio["stem_norm"] == pytest.approx(before / 3, 1e-2)


def test_calibration_changes_nothing_in_the_supernet() -> None:
    supernet = in_use()
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    calibrate(supernet, supernet.space.smallest, [load().train.inputs[:64]], own_scale=True)
    for name, value in supernet.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_calibration_without_batches_is_refused() -> None:
    supernet = make()
    with pytest.raises(DataError, match="at least one batch"):
        calibrate(supernet, supernet.space.smallest, [])


def test_shared_variance_is_the_mean_over_the_paths_that_use_the_channel() -> None:
    supernet = in_use()
    inputs = [load().train.inputs[:256]]
    space = supernet.space
    ends = [
        calibrate(supernet, path, inputs, own_scale=True).variance
        for path in (space.largest, space.smallest)
    ]
    share_scales(supernet, inputs, [supernet.space.largest, supernet.space.smallest])
    name = "stages.0.0.depthwise_norm"
    large, small = (variance[name] for variance in ends)
    found = supernet.get_submodule(name)
    assert found.scale_frozen
    assert len(small) < len(large)
    torch.testing.assert_close(found.running_var[: len(small)], (large[: len(small)] + small) / 2)
    torch.testing.assert_close(found.running_var[len(small) :], large[len(small) :])


def test_a_shared_scale_is_averaged_over_the_paths_that_use_a_channel() -> None:
    """Behind a concatenation the channels that a path uses are not the first ones."""
    torch.manual_seed(0)
    model, inputs = Joined().eval(), torch.randn(64, 3, 6, 6)
    supernet = convert(model, inputs[:2])
    space = supernet.space
    ends = [
        calibrate(supernet, path, [inputs], own_scale=True).variance["norm"]
        for path in (space.largest, space.smallest)
    ]
    share_scales(supernet, [inputs], [supernet.space.largest, supernet.space.smallest])
    used = supernet.get_submodule("norm").cuts(space.smallest)["running_var"][0]
    assert isinstance(used, tuple)  # ranges
    expected, start = ends[0].clone(), 0
    for places in used:
        stop = start + places.stop - places.start
        expected[places] = (expected[places] + ends[1][start:stop]) / 2
        start = stop
    torch.testing.assert_close(supernet.get_submodule("norm").running_var, expected)


class Joined(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, 8, 3)
        self.right = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        joined = torch.cat([self.left(x), self.right(x)], 1)
        return self.head(self.norm(joined).relu().mean((2, 3)))
