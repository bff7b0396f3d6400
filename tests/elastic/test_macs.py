"""One counter: what a conversion counts of a program is what the cost model counts of its paths."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tipsc.convert import convert
from tipsc.convert.capture import capture
from tipsc.convert.flow import Flow
from tipsc.convert.given import given_of
from tipsc.elastic import CostModel

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
