"""One counter: what a conversion counts of a program is what the cost model counts of its paths."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.convert import convert
from tipsc.convert.capture import capture
from tipsc.convert.flow import Flow
from tipsc.convert.given import given_of
from tipsc.convert.ops import OPS
from tipsc.elastic import CostModel
from tipsc.elastic.operations import ACTIVATIONS, ARITHMETIC, LAYERS, Arithmetic


class Squared(nn.Module):
    """What reads one value several times: a product, an einsum, attention."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 16), nn.Linear(16, 8)
        self.third = nn.Parameter(torch.randn(8, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(F.relu(self.first(x)))
        x = F.scaled_dot_product_attention(x, x, x)
        x = (x @ x.transpose(1, 2)) @ x + torch.einsum("btd,bsd,bse->bte", x, x, x)
        return torch.einsum("btd,de->bte", x, self.third)


NETS = {
    "transposed": (
        nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(8, 12, 4, 2, 1, groups=2),
            nn.ReLU(), nn.Conv2d(12, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        ),
        (1, 3, 8, 8),
    ),
    "convolutions": (
        nn.Sequential(nn.Conv1d(3, 8, 3, groups=1), nn.ReLU(), nn.Conv1d(8, 8, 3, groups=8),
                      nn.ReLU(), nn.Flatten(), nn.Linear(8 * 12, 5)),
        (1, 3, 16),
    ),
    "attention": (
        nn.Sequential(nn.Linear(6, 16), nn.TransformerEncoderLayer(16, 4, 32, batch_first=True),
                      nn.Linear(16, 3)),
        (1, 7, 6),
    ),
    "values that are read twice": (Squared(), (1, 7, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETS)
def test_programs_and_paths_are_counted_alike(name: str) -> None:
    net, shape = NETS[name]
    example = torch.randn(*shape)
    # The exported example has 13 examples, and the counter of programs counts all of them.
    program = Flow(capture(net.eval(), given_of(net, example))).macs / 13
    supernet = convert(net, example)
    assert program == CostModel(supernet).of(supernet.space.largest).macs


def test_a_transposed_convolution_multiplies_each_value_that_it_reads() -> None:
    net = nn.Sequential(nn.ConvTranspose2d(8, 12, 4, 2, 1, groups=2))
    flow = Flow(capture(net.eval(), given_of(net, torch.randn(1, 8, 5, 5))))
    assert flow.macs / 13 == 8 * 5 * 5 * 6 * 4 * 4


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_keeps_shape_and_type(name: str) -> None:
    function = getattr(F, name, None) or getattr(torch, name)
    for kind in (torch.float32, torch.float16):
        x = torch.rand(2, 3, 4).to(kind)
        y = function(x, 0.1, 0.9) if name == "clamp" else function(x)
        assert (y.shape, y.dtype) == (x.shape, x.dtype)


@pytest.mark.parametrize("layer", [k for k, name in LAYERS.items() if ARITHMETIC[name].keeps_shape])
def test_a_layer_that_is_not_run_for_its_shape_keeps_it(layer: type[nn.Module]) -> None:
    arguments = {"num_groups": 2, "num_channels": 4, "num_features": 4, "normalized_shape": 4}
    wanted = inspect.signature(layer).parameters
    module = layer(**{key: value for key, value in arguments.items() if key in wanted}).eval()
    rank = next((int(d) for d in "123" if layer.__name__.endswith(f"{d}d")), 2)
    x = torch.rand(2, 4, *[4] * rank)
    assert module(x).shape == x.shape


def test_all_that_multiplies_is_an_operation_that_conversion_knows() -> None:
    assert {name for name, known in ARITHMETIC.items() if known != Arithmetic()} <= set(OPS)
