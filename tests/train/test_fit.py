"""What does not fit together is said before anything is trained."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tipsc.convert import convert
from tipsc.errors import DataError
from tipsc.tasks.imitation import Imitation
from tipsc.tasks.own import own_task
from tipsc.tasks.regression import Regression
from tipsc.tasks.segmentation import Segmentation
from tipsc.train import Data, Split
from tipsc.train.fit import check_fits, unlearned

X, SIDE = torch.randn(6, 8), torch.randn(6, 3)


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU())
        self.left, self.right = nn.Linear(16, 2), nn.Linear(16 + 3, 2)

    def forward(self, x: Tensor, side: Tensor) -> dict[str, Tensor]:
        seen = self.body(x)
        return {"left": self.left(seen), "right": self.right(torch.cat([seen, side], 1))}


class Left:
    """Its loss forgets one output."""

    better = "lower"

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> Tensor:
        return outputs["left"].square().mean()

    def metric(self) -> object:
        from torchmetrics import MeanMetric

        return MeanMetric()


def data(inputs: object, task: object = None) -> Data:
    return Data(*[Split(inputs, torch.zeros(6, 2))] * 3, task or own_task(Left(), "task"))  # type: ignore[arg-type]


def test_an_output_that_the_loss_forgets_is_named() -> None:
    supernet = convert(Two().eval(), (X, SIDE), widths=(0.5, 1.0))
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    (said,) = unlearned(supernet, data((X, SIDE)))
    assert "does not depend on the model's output right" in said
    assert all(torch.equal(v, before[name]) for name, v in supernet.state_dict().items())
    assert all(p.grad is None for p in supernet.parameters())
    both = Split((X, SIDE), {"left": torch.zeros(6, 2), "right": torch.ones(6, 2)})
    assert unlearned(supernet, Data(both, both, both, Imitation())) == []


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ((X,), "other inputs than the model.*expected x, side, got input"),
        ({"x": X, "sid": SIDE}, r"other inputs.*got x, sid\)"),
        ((SIDE, X), r"model's input x .*expected examples of shape \(8,\)"),
        ((X, SIDE.long()), "model's input side .*float32.*int64"),
    ],
)
def test_other_inputs_are_named(inputs: object, says: str) -> None:
    supernet = convert(Two().eval(), (X, SIDE), widths=(0.5, 1.0))
    with pytest.raises(DataError, match=says):
        check_fits(supernet, data(inputs), "data")


def test_images_of_several_sizes_are_told_what_to_do() -> None:
    images = [torch.randn(3, 8, 8), torch.randn(4, 9, 9)]
    with pytest.raises(DataError, match="bring images of several sizes to one"):
        Split(images, torch.zeros(2))


def test_an_input_whose_examples_are_not_first_is_refused_with_a_way_out() -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))

        def forward(self, x: Tensor, late: Tensor) -> Tensor:
            return self.body(x + late.mean(0))

    given = (torch.randn(6, 4), torch.randn(5, 6, 4))
    supernet = convert(Late().eval(), given, widths=(0.5, 1.0))
    wrong = data((torch.randn(6, 4), torch.randn(6, 5, 4)))
    with pytest.raises(DataError, match=r"takes late with the examples on axis 1.*forward"):
        check_fits(supernet, wrong, "data")


class Maps(nn.Module):
    """(N, 3, places) maps, or numbers (N, 1) of each picture."""

    def __init__(self, numbers: bool) -> None:
        super().__init__()
        self.body, self.numbers = nn.Conv2d(1, 16, 3, padding=1), numbers
        self.head, self.last = nn.Conv2d(16, 3, 1), nn.Linear(16, 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.body(x).relu()
        return self.last(seen.mean((2, 3))) if self.numbers else self.head(seen)


@pytest.mark.parametrize(
    ("numbers", "targets", "says"),
    [
        (False, torch.zeros(6, 4, 4).long(), r"\(2, 4, 4\) int64.*masks resized to that"),
        (False, torch.zeros(6, 1, 8, 8).long(), r"\(2, 3, 8, 8\).*targets\[:, 0\]"),
        (True, torch.zeros(6), r"go with \(2, 1\) float32, got \(2,\).*targets\[:, None\]"),
        (True, torch.zeros(6, 3), r"got \(2, 3\) float32"),
        (False, torch.zeros(6, 8, 8).long(), ""),
        (True, torch.zeros(6, 1), ""),
    ],
)
def test_targets_of_another_shape_than_the_outputs_are_refused_with_both_shapes(
    numbers: bool, targets: Tensor, says: str
) -> None:
    task = Regression() if numbers else Segmentation(("a", "b", "c"))
    pictures = torch.randn(6, 1, 8, 8)
    supernet = convert(Maps(numbers).eval(), pictures, widths=(0.5, 1.0))
    given = Data(*[Split(pictures, targets)] * 3, task)
    if not says:
        return check_fits(supernet, given, "data.callable")
    with pytest.raises(DataError, match=r"data.callable: the targets do not fit.*" + says):
        check_fits(supernet, given, "data.callable")
    return None
