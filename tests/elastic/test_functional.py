"""What a model writes into parts of a tensor, and when torch has to write it in other words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from tipsc.convert import convert


class Between(nn.Module):
    """Two layers, and what is written between them."""

    def __init__(self, write: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.write = write
        self.a, self.b = nn.Linear(6, 16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.write(torch.relu(self.a(x)))).mean(1)


def step_by_step(x: Tensor) -> Tensor:
    """As a recurrence does it."""
    y, state = torch.zeros_like(x), x[:, 0]
    for step in range(x.shape[1]):
        state = 0.5 * state + x[:, step]
        y[:, step] = state
    return y


def nested(x: Tensor) -> Tensor:
    y = x * 2
    y[:, 1:4][:, 1:] = x[:, :2]
    y[:, -1].mul_(3)
    return y


def read_back(x: Tensor) -> Tensor:
    """What was written is seen through the slice, and in the whole."""
    y = x * 2
    part = y[:, 0]
    part.add_(1.0)
    return y + part[:, None]


def seen_elsewhere(x: Tensor) -> Tensor:
    """The write shows in a view that was made before it."""
    y = x * 2
    view = y[:, :3]
    y[:, 1] = 7.0
    return y + view.sum(1, keepdim=True)


def of_a_view(x: Tensor) -> Tensor:
    """Of a tensor that is a view itself: the write shows in what it is a view of."""
    y = x * 2
    turned = y.transpose(1, 2)
    turned[:, :, 1] = 7.0
    return y


WRITES = [
    (step_by_step, False), (nested, False), (read_back, False),
    (seen_elsewhere, True), (of_a_view, True),
]  # fmt: skip


@pytest.mark.parametrize(("write", "anew"), WRITES)
def test_writes_into_parts_are_kept(
    write: Callable[[Tensor], Tensor], anew: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = ExportedProgram.run_decompositions, []

    def counted(program: ExportedProgram, table: dict[object, object]) -> ExportedProgram:
        asked.append(program)
        return run(program, table)

    monkeypatch.setattr(ExportedProgram, "run_decompositions", counted)
    torch.manual_seed(0)
    model, x = Between(write).eval(), torch.randn(2, 5, 6)
    supernet = convert(model, x)
    assert bool(asked) == anew
    other = torch.randn(3, 5, 6)
    with torch.no_grad():
        found, expected = supernet(other, supernet.space.largest), model(other)
    torch.testing.assert_close(found, expected)
