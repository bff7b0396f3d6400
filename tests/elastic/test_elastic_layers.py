"""Each layer on each size against torch's own layer; the batch norm with a frozen scale."""

from __future__ import annotations

import copy

import pytest
import torch
from supernets import make

from tipsc.elastic import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticDepthwiseConv2d,
    ElasticLayer,
    ElasticLayerNorm,
    ElasticLinear,
    deviation_ratio,
    freeze_scales,
    has_batch_norm,
    scaled_variance,
)
from tipsc.paths import Choice, SearchSpace

WIDTH, KERNEL = Choice("width", (4, 6, 9)), Choice("kernel", (1, 3, 5))
SPACE = SearchSpace((WIDTH, KERNEL))
IMAGES, ROWS = (2, "width", 7, 7), (2, "width")
LAYERS = {
    "widening": (lambda: ElasticConv2d(3, WIDTH, KERNEL, bias=True), (2, 3, 7, 7)),
    "narrowing": (lambda: ElasticConv2d(WIDTH, 5, KERNEL, stride=2), IMAGES),
    "dilated": (lambda: ElasticConv2d(WIDTH, 5, KERNEL, dilation=2), IMAGES),
    "depthwise": (lambda: ElasticDepthwiseConv2d(WIDTH, KERNEL, stride=2), IMAGES),
    "linear": (lambda: ElasticLinear(WIDTH, WIDTH), ROWS),
    "layer norm": (lambda: ElasticLayerNorm(WIDTH), ROWS),
    "batch norm": (lambda: ElasticBatchNorm2d(WIDTH), IMAGES),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_equals_its_plain_layer(name: str) -> None:
    torch.manual_seed(0)
    build, shape = LAYERS[name]
    layer: ElasticLayer = build().eval()
    for value in layer.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    for path in SPACE.enumerate():
        x = torch.randn([path["width"] if size == "width" else size for size in shape])
        plain = layer.plain(path)
        torch.testing.assert_close(layer(x, path), plain(x), atol=1e-5, rtol=1e-5)


def test_a_smaller_kernel_is_the_centre_of_the_stored_one() -> None:
    layer = ElasticConv2d(1, 1, KERNEL)
    path = SPACE.path({"kernel": 3})
    torch.testing.assert_close(layer.plain(path).weight, layer.weight[..., 1:4, 1:4])


def test_gradients_reach_the_part_in_use_and_no_other() -> None:
    layer = ElasticLinear(WIDTH, WIDTH)
    path = SPACE.path({"width": 6})
    layer(torch.randn(4, 6), path).square().sum().backward()
    assert (layer.weight.grad[:6, :6] != 0).all()
    assert (layer.weight.grad[6:] == 0).all()
    assert (layer.weight.grad[:, 6:] == 0).all()


def frozen_norm() -> ElasticBatchNorm2d:
    torch.manual_seed(0)
    norm = ElasticBatchNorm2d(WIDTH, momentum=0.25)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)
        norm.bias.uniform_(-1, 1)
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 3)
    freeze_scales(norm)
    return norm.train()


def test_frozen_scale_keeps_the_variance_and_takes_the_batch_mean() -> None:
    norm = frozen_norm()
    before = copy.deepcopy(norm.state_dict())
    path = SPACE.path({"width": 6})
    x = 3 + 2 * torch.randn(8, 6, 5, 5)
    own, shared = x.mean((0, 2, 3)), before["running_var"][:6]
    ratio = deviation_ratio(x.var((0, 2, 3), correction=0), shared, norm.eps)
    plain = torch.nn.functional.batch_norm(
        *(x, own, scaled_variance(shared, ratio, norm.eps), norm.weight[:6], norm.bias[:6]),
        eps=norm.eps,
    )
    torch.testing.assert_close(norm(x, path), plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norm.running_var, before["running_var"], atol=0, rtol=0)
    expected = before["running_mean"].clone()
    expected[:6] = expected[:6] * 0.75 + own * 0.25
    torch.testing.assert_close(norm.running_mean, expected)


def test_gradient_through_a_frozen_scale_knows_that_the_mean_moves() -> None:
    norm = frozen_norm().double()
    path = SPACE.path({"width": 4})
    x = torch.randn(3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: norm(x, path), (x,))


def test_frozen_scale_survives_a_state_dict() -> None:
    norm = ElasticBatchNorm2d(WIDTH)
    norm.load_state_dict(frozen_norm().state_dict())
    assert norm.scale_frozen


def test_only_supernets_with_batch_norm_need_calibration() -> None:
    assert has_batch_norm(make("mobilenet"))
    assert has_batch_norm(make("by hand"))
    assert not has_batch_norm(make("transformer"))
