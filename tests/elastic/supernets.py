"""Small supernets of each family, and one written by hand with the same layers."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn

from tipsc.elastic import (
    ElasticBatchNorm1d,
    ElasticConv1d,
    ElasticLayerNorm,
    ElasticLinear,
    Supernet,
    Units,
    family,
)
from tipsc.elastic.families.mobilenet import MobileStage
from tipsc.paths import Choice, Path, SearchSpace
from tipsc.signature import TensorSpec

ARGUMENTS = {
    "mobilenet": {
        "classes": 5,
        "input_shape": (2, 12, 12),
        "stem": 8,
        "stages": (
            MobileStage(8, (1, 2), expansions=(1, 2)),
            MobileStage(12, (1, 2, 3), expansions=(2, 3), kernels=(3, 5), stride=2),
        ),
        "head": 16,
        "dropout": 0.2,
    },
    "transformer": {"classes": 5, "input_shape": (2, 8, 8), "patch": 4, "width": 24},
    "transformer-tokens": {"classes": 5, "vocabulary": 11, "length": 7, "width": 24},
    "temporal": {"classes": 5, "input_shape": (3, 32), "channels": (8, 12)},
}
_TOKENS = 11


class HandWritten(Supernet):
    """Two branches over time of which one may be off, joined; a norm over an elastic width."""

    def __init__(self) -> None:
        width = Choice("width", (4, 6, 8))
        second = Choice("second", (0, 1))
        kernel = Choice("kernel", (1, 3, 5), gate="second", gate_from=1)
        hidden = Choice("hidden", (1, 2, 3))
        given = TensorSpec("input", "float32", (1, 3, 10), "NCL")
        super().__init__(SearchSpace((width, second, kernel, hidden)), [given])
        self.first = ElasticConv1d(3, width, 3, bias=True)
        self.second = ElasticConv1d(3, width, kernel, dilation=2)
        self.norm = ElasticBatchNorm1d(width)
        self.mix = ElasticLinear(width, Units(hidden, 5))
        self.layer_norm = ElasticLayerNorm(Units(hidden, 5))
        self.shift = nn.Parameter(torch.randn(4) * 0.1)
        self.out = ElasticLinear(Units(hidden, 5), 4, bias=False)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        y = self.first(x, path)
        if path["second"]:
            y = y + self.second(x, path)
        y = torch.relu(self.norm(y, path)).mean(-1)
        return self.out(self.layer_norm(self.mix(y, path), path), path) + self.shift


def inputs(supernet: Supernet, count: int) -> Tensor:
    """Random signals or tokens."""
    shape = (count, *supernet.inputs[0].shape[1:])
    if supernet.inputs[0].dtype == "int64":
        return torch.randint(0, _TOKENS, shape)
    return 0.5 + 2 * torch.randn(shape)


def make(name: str) -> Supernet:
    """In eval mode; no weight, statistic or scale has its initial value."""
    torch.manual_seed(0)
    supernet = HandWritten() if name == "by hand" else family(name, **ARGUMENTS[name])
    generator = random.Random(0)
    for _ in range(5):
        supernet.train()(inputs(supernet, 16), supernet.space.sample(generator))
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return supernet.eval()


ALL = (*ARGUMENTS, "by hand")
