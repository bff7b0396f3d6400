"""Recurrent layers over time: what they read is elastic, and how many units they have."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import pytest
import torch
from comparing import apart, executed_macs, exported, masked
from torch import Tensor, nn

from tipsc.convert import convert
from tipsc.elastic import CostModel, extract

TOLERANCE = 1e-5  # relative to the output's scale: float32 sums in another order


class Series(nn.Module):
    """(N, T, 6): a layer for each step, recurrent layers, a head for what is left at the end."""

    def __init__(self, kind: type[nn.RNNBase], read: str, **options: Any) -> None:
        super().__init__()
        self.entry, self.read = nn.Linear(6, 16), read
        self.rnn = kind(16, 12, **options)
        outputs = 12 * (2 if self.rnn.bidirectional else 1)
        self.head = nn.Linear(outputs if read == "outputs" else 12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.entry(x))
        if not self.rnn.batch_first:
            x = x.transpose(0, 1)
        outputs, state = self.rnn(x)
        hidden, cell = state if isinstance(state, tuple) else (state, state)
        if self.read == "outputs":
            return self.head(outputs[:, -1] if self.rnn.batch_first else outputs[-1])
        return self.head((hidden if self.read == "hidden" else cell)[-1])


FORMS: list[tuple[str, dict[str, Any]]] = [
    ("outputs", {"batch_first": True, "bidirectional": True}),
    ("outputs", {"num_layers": 2, "bidirectional": True, "bias": False}),
    ("hidden", {"num_layers": 3, "batch_first": True}),
    ("cell", {"bidirectional": True}),
]


@pytest.mark.parametrize(("read", "options"), FORMS)
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_units_are_cut_in_each_gate(
    kind: type[nn.RNNBase], read: str, options: dict[str, Any], tmp_path: FilePath
) -> None:
    torch.manual_seed(0)
    model, x = Series(kind, read, **options).eval(), torch.randn(3, 7, 6)
    supernet = convert(model, x, widths=(0.25, 0.5, 1.0))
    names = {choice.name: choice.options for choice in supernet.space.choices}
    assert names == {"entry.width": (4, 8, 16), "rnn.width": (3, 6, 12)}
    some = {**supernet.space.smallest.options, "rnn.width": 6}
    paths = [supernet.space.path(some), supernet.space.smallest, supernet.space.largest]
    with torch.no_grad():
        for path in paths:
            got = supernet(x, path)
            assert apart(got, extract(supernet, path)(x)) < TOLERANCE
            assert apart(got, masked(supernet, path)(x, supernet.space.largest)) < TOLERANCE
        for path, graph in exported(supernet, paths, x[:1], tmp_path):
            assert apart(graph, supernet(x[:1], path)) < TOLERANCE
    for path in (supernet.space.largest, supernet.space.smallest):
        assert CostModel(supernet).of(path).macs == executed_macs(supernet, path, x[:1])


class Steps(nn.Module):
    """A layer across time, before the recurrent one."""

    def __init__(self) -> None:
        super().__init__()
        self.across, self.rnn, self.head = nn.Linear(20, 16), nn.GRU(6, 12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        steps = self.across(x.transpose(1, 2)).permute(2, 0, 1)
        return self.head(self.rnn(steps)[0][-1])


def test_steps_of_time_stay_in_their_order() -> None:
    model = Steps().eval()
    supernet = convert(model, torch.randn(3, 20, 6))
    assert [choice.name for choice in supernet.space.choices] == ["rnn.width"]
    reasons = {name: kept.reason for kept in supernet.report.fixed for name in kept.layers}
    assert reasons["across.weight"] == "steps of time, one after the other"


class Given(nn.Module):
    """A state from outside, which goes out again."""

    def __init__(self) -> None:
        super().__init__()
        self.entry, self.head = nn.Linear(6, 16), nn.Linear(12, 5)
        self.rnn = nn.GRU(16, 12, batch_first=True)

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        outputs, state = self.rnn(self.entry(x), state)
        return self.head(outputs), state


def test_a_state_that_comes_from_outside_keeps_its_size() -> None:
    given = torch.randn(3, 7, 6), torch.randn(1, 3, 12)
    supernet = convert(Given().eval(), given, batch_axes={"state": 1})
    assert [choice.name for choice in supernet.space.choices] == ["entry.width"]


def test_projected_states_stay_as_they_are() -> None:
    model = Series(nn.LSTM, "outputs", batch_first=True)
    model.rnn, model.head = nn.LSTM(16, 12, proj_size=4, batch_first=True), nn.Linear(4, 17)
    net = nn.Sequential(model, nn.ReLU(), nn.Linear(17, 5)).eval()
    supernet = convert(net, torch.randn(3, 7, 6))
    assert [choice.name for choice in supernet.space.choices] == ["0.head.width"]
    assert ("0.rnn", "lstm is not understood: its states are projected") in supernet.report.notes
