"""The layout of an input is what the first operation that knows says of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tipsc.convert import convert


class First(nn.Module):
    """Reads its input by a function first, then by a layer."""

    def __init__(self, function: Any, layer: nn.Module, last: int) -> None:
        super().__init__()
        self.function, self.layer = function, layer
        self.a, self.b = nn.Linear(last, 24), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(self.function(x))
        y = y.mean(tuple(range(2, y.dim()))) if y.dim() > 2 else y
        return self.b(torch.relu(self.a(y)))


@pytest.mark.parametrize(
    ("function", "layer", "last", "shape", "layout"),
    [
        (lambda x: x, nn.Conv2d(3, 8, 3), 8, (3, 9, 9), "NCHW"),
        (lambda x: (x - 0.5) * 2, nn.Conv2d(3, 8, 3), 8, (3, 9, 9), "NCHW"),
        (lambda x: nn.functional.pad(x, (1, 1)), nn.Conv1d(3, 8, 3), 8, (3, 9), "NCL"),
        (lambda x: torch.cat([x, x * x], 1), nn.Conv1d(6, 8, 3), 8, (3, 9), "NCL"),
        (lambda x: nn.functional.avg_pool2d(x, 2), nn.Conv2d(3, 8, 3), 8, (3, 9, 9), "NCHW"),
        (lambda x: x, nn.Conv3d(2, 8, 3), 8, (2, 5, 5, 5), "NCDHW"),
        (lambda x: x, nn.Linear(6, 8), 7, (7, 6), "NLC"),
        (lambda x: x.tanh(), nn.Linear(6, 8), 8, (6,), "NC"),
        (lambda x: x.permute(0, 3, 1, 2), nn.Conv2d(3, 8, 3), 8, (9, 9, 3), "N---"),
        (lambda x: x.unsqueeze(1), nn.Conv1d(1, 8, 3), 8, (9,), "N-"),
    ],
)
def test_by_the_first_that_knows(
    function: Any, layer: nn.Module, last: int, shape: tuple[int, ...], layout: str
) -> None:
    model = First(function, layer, last).eval()
    (found,) = convert(model, torch.randn(2, *shape)).signature.inputs
    assert (found.layout, found.shape) == (layout, (1, *shape))


def test_tokens_stand_in_a_row() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(20, 16)
            self.a, self.b = nn.Linear(16, 24), nn.Linear(24, 5)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.b(torch.relu(self.a(self.table(tokens).mean(1))))

    (found,) = convert(Net().eval(), torch.randint(20, (2, 9))).signature.inputs
    assert (found.name, found.dtype, found.layout) == ("tokens", "int64", "NL")
