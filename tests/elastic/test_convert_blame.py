"""A model that nothing can be compared with is told from a defect of the conversion."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tipsc.convert.check import check_same
from tipsc.convert.given import given_of
from tipsc.elastic.supernet import Supernet
from tipsc.errors import ConversionError
from tipsc.paths import Choice, SearchSpace


class Net(nn.Module):
    def __init__(self, noise: float, scale: float) -> None:
        super().__init__()
        self.noise, self.scale = noise, scale

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.noise * torch.randn_like(x)


class Converted(nn.Module):
    space = SearchSpace((Choice("width", (1, 2)),))

    def forward(self, x: Tensor, path: object) -> Tensor:
        return x


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (Net(1.0, 1.0), "another answer to the same input"),
        (Net(0.0, float("nan")), "holds NaN or infinity"),
        (Net(0.0, 2.0), "computes something else.*report this model"),
    ],
)
def test_who_is_to_blame(net: nn.Module, says: str) -> None:
    supernet: Supernet = Converted()  # type: ignore[assignment]
    with pytest.raises(ConversionError, match=says):
        check_same(net, supernet, given_of(net, torch.ones(2, 3)))
