"""Models that take several tensors, or give a tree of them, are converted exactly."""

from __future__ import annotations

import random
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tipsc.convert import ConvertedSupernet, convert
from tipsc.convert.check import difference
from tipsc.elastic import extract
from tipsc.elastic.cost import CostModel
from tipsc.errors import ConversionError
from tipsc.tree import TENSOR, Tree

IMAGE = torch.randn(2, 3, 16, 16)
A, B = torch.randn(2, 8), torch.randn(2, 4)


class Trunk(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU(),
        )  # fmt: skip
        self.cls, self.box = nn.Conv2d(24, 4, 1), nn.Conv2d(24, 4, 1)
        self.register_buffer("anchors", torch.rand(5, 4))


class Gives(Trunk):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, self.body(x))


class Towers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 16), nn.Linear(4, 16), nn.Linear(16, 24)
        self.d = nn.Linear(24, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return self.d(torch.relu(self.c(torch.relu(self.a(user) + self.b(item)))))


@dataclass
class Found:
    boxes: Any
    more: Any = None


@dataclass
class Like(OrderedDict[str, Any]):
    """As the outputs of transformers are: a dict whose keys are its fields."""

    logits: Any = None
    loss: Any = None

    def __post_init__(self) -> None:
        for name in ("logits", "loss"):
            if getattr(self, name) is not None:
                self[name] = getattr(self, name)


def same(model: nn.Module, supernet: ConvertedSupernet, *tensors: Tensor, **named: Any) -> None:
    """The largest path gives what the model gives, and others what their extraction gives."""
    space = supernet.space
    with torch.no_grad():
        want = model(**named) if named else model(*tensors)
        given = tuple(named.values()) or tensors
        whole = supernet(*given, space.largest)
        assert type(whole) is type(want)
        assert difference(whole, want) < 1e-5
        for path in (space.smallest, space.sample(random.Random(0))):
            assert difference(extract(supernet, path)(*given), supernet(*given, path)) < 1e-5
            changed = difference(supernet(*given, path), want) > 1e-4
            assert changed == (path != space.largest)


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda s, y: (s.cls(y), s.box(y)), ["output.0", "output.1"]),
        (lambda s, y: [s.cls(y)], ["output.0"]),
        (lambda s, y: {"m": s.cls(y), "b": [s.box(y), y.mean((2, 3))]}, ["m", "b.0", "b.1"]),
        (lambda s, y: Found(s.box(y), {"c": s.cls(y)}), ["boxes", "more.c"]),
        (lambda s, y: Found(s.box(y)), ["boxes"]),
        (lambda s, y: Like(s.cls(y)), ["logits"]),
        (lambda s, y: (s.cls(y), s.anchors), ["output.0", "output.1"]),
        (lambda s, y: (s.cls(y), None, s.box(y)), ["output.0", "output.2"]),
        (lambda s, y: (s.cls(y), s.cls(y).argmax(1)), ["output.0", "output.1"]),
    ],
    ids=["tuple", "list", "dict", "record", "nothing in it", "dict and record", "constant",
         "none", "numbers"],
)  # fmt: skip
def test_outputs_of_any_tree(function: Any, names: list[str]) -> None:
    torch.manual_seed(0)
    model = Gives(function).eval()
    supernet = convert(model, IMAGE)
    same(model, supernet, IMAGE)
    signature = supernet.signature
    assert [spec.name for spec in signature.outputs] == names
    assert [(spec.name, spec.layout) for spec in signature.inputs] == [("x", "NCHW")]


def test_a_constant_has_no_batch_and_numbers_are_numbers() -> None:
    model = Gives(lambda s, y: (s.cls(y), s.anchors, s.cls(y).argmax(1))).eval()
    first, constant, numbers = convert(model, IMAGE).signature.outputs
    assert (first.batch_axis, first.shape) == (0, (1, 4, 8, 8))
    assert (constant.batch_axis, constant.shape) == (None, (5, 4))
    assert (numbers.dtype, numbers.shape) == ("int64", (1, 8, 8))


def test_an_output_from_inside_a_block_is_there_when_the_block_is_left_out() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.end = nn.Linear(8, 16), nn.Linear(16, 4)
            self.wide, self.narrow = nn.Linear(16, 32), nn.Linear(32, 16)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = torch.relu(self.stem(x))
            inner = torch.relu(self.wide(x))
            return self.end(x + self.narrow(inner)), inner

    torch.manual_seed(0)
    model = Net().eval()
    supernet = convert(model, A)
    same(model, supernet, A)
    depth = next(c.name for c in supernet.space.choices if c.name.endswith("depth"))
    path = supernet.space.path({**supernet.space.largest.options, depth: 0})
    with torch.no_grad():
        assert difference(supernet(A, path)[1], model(A)[1]) < 1e-5
        assert difference(supernet(A, path)[0], model(A)[0]) > 1e-4


def test_two_inputs_have_their_own_names() -> None:
    torch.manual_seed(0)
    model = Towers().eval()
    supernet = convert(model, (A, B))
    same(model, supernet, A, B)
    assert [(s.name, s.shape) for s in supernet.signature.inputs] == [
        ("user", (1, 8)),
        ("item", (1, 4)),
    ]
    assert supernet.signature.takes == Tree("tuple", (), (TENSOR, TENSOR))
    module = extract(supernet, supernet.space.smallest)
    assert torch.equal(module(A, B), module(user=A, item=B))


def test_inputs_by_keyword_and_in_a_dict() -> None:
    torch.manual_seed(0)
    model = Towers().eval()
    supernet = convert(model, {"item": B, "user": A})
    assert supernet.signature.takes == Tree("dict", ("item", "user"), (TENSOR, TENSOR))
    same(model, supernet, item=B, user=A)

    class Batch(Towers):
        def forward(self, batch: dict[str, Any]) -> Tensor:  # type: ignore[override]
            return super().forward(batch["user"], batch["more"][0])

    whole = convert(Batch().eval(), ({"user": A, "more": [B]},))
    assert [s.name for s in whole.signature.inputs] == ["batch.user", "batch.more.0"]
    assert whole(A, B, whole.space.largest).shape == (2, 1)


def test_the_costs_count_each_input() -> None:
    supernet = convert(Towers().eval(), (A, B))
    assert CostModel(supernet).of(supernet.space.largest).macs == 8 * 16 + 4 * 16 + 16 * 24 + 24


class Cell(nn.Module):
    def __init__(self, kind: Any = nn.GRUCell) -> None:
        super().__init__()
        self.a, self.cell, self.b = nn.Linear(12, 16), kind(16, 20), nn.Linear(20, 4)

    def forward(self, x: Tensor, state: Tensor) -> dict[str, Tensor]:
        for step in range(3):
            state = self.cell(torch.relu(self.a(x[:, step])), state)
        return {"answer": self.b(state), "state": state}


@pytest.mark.parametrize("kind", [nn.GRUCell, nn.RNNCell])
def test_a_state_goes_in_and_comes_out(kind: Any) -> None:
    torch.manual_seed(0)
    model, x, state = Cell(kind).eval(), torch.randn(2, 3, 12), torch.randn(2, 20)
    supernet = convert(model, (x, state))
    same(model, supernet, x, state)
    assert [s.name for s in supernet.signature.outputs] == ["answer", "state_out"]


def test_the_examples_need_not_be_first() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(12, 16), nn.Linear(16, 4)
            self.wide = nn.Linear(12, 12)

        def forward(self, x: Tensor, state: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
            y = torch.relu(self.a(torch.relu(self.wide(x)))).permute(1, 0, 2) * scale
            return self.b(y + state.mean(0)), state * 2

    model, state = Net().eval(), torch.randn(7, 2, 16)
    x, scale = torch.randn(2, 5, 12), torch.tensor(0.5)
    supernet = convert(model, (x, state, scale))
    same(model, supernet, x, state, scale)
    signature = supernet.signature
    assert [s.layout for s in signature.inputs] == ["NLC", "-N-", ""]
    assert [(s.layout, s.shape) for s in signature.outputs] == [
        ("-N-", (5, 1, 4)),
        ("-N-", (7, 1, 16)),
    ]


def test_which_axis_the_examples_have_may_be_said() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.wide = nn.Linear(12, 16), nn.Linear(16, 4), nn.Linear(12, 12)

        def forward(self, x: Tensor, state: Tensor) -> Tensor:
            y = torch.relu(self.a(torch.relu(self.wide(x))))
            return self.b(y + state[0] - state[1])

    model, x, state = Net().eval(), torch.randn(2, 12), torch.randn(2, 2, 16)
    supernet = convert(model, (x, state), batch_axes={"state": 1})
    same(model, supernet, x, state)
    assert supernet.signature.inputs[1].layout == "-N-"


@pytest.mark.parametrize(
    ("model", "given", "says"),
    [
        (Gives(lambda s, y: (s.cls(y), 3)), IMAGE, r"the output\[1\]: is no tensor.*got int"),
        (Gives(lambda s, y: {1: s.cls(y)}), IMAGE, "the output: keys are not all strings"),
        (Gives(lambda s, y: s.cls(y).mean(0)), IMAGE, "no axis of the examples"),
        (Towers(), (A, "text"), r"example_inputs\[1\]: is no tensor"),
        (Towers(), (A, B.double()), "example_inputs: item: is no tensor of signals"),
        (Towers(), (), "is no batch of examples"),
        (Towers(), (A, Found(B)), "is no tensor, tuple, list or dict"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(model: Any, given: Any, says: str) -> None:
    with pytest.raises(ConversionError, match=says):
        convert(model.eval(), given)


def test_an_input_that_nothing_reads_is_named() -> None:
    class Net(Towers):
        def forward(self, user: Tensor, item: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(user, item)

    with pytest.raises(ConversionError, match="mask: no output depends on this input"):
        convert(Net().eval(), (A, B, torch.ones(2, 3)))
