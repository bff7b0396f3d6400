"""Batches are trees of tensors: what is taken apart is put together again."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tipsc.batch import (
    Batch,
    ask,
    check_same_form,
    count,
    first,
    flat,
    in_order,
    joined,
    mapped,
    rows,
    split,
)
from tipsc.errors import DataError
from tipsc.train import Split

Pair = namedtuple("Pair", ("left", "right"))


@dataclass
class Record:
    boxes: Any
    classes: Any = None


KINDS = {
    "tuple": lambda parts: tuple(parts),
    "list": lambda parts: list(parts),
    "dict": lambda parts: {f"key{i}": part for i, part in enumerate(parts)},
    "named tuple": lambda parts: Pair(parts[0], parts[-1]),
    "record": lambda parts: Record(parts[0], parts[1] if len(parts) > 1 else None),
}


@st.composite
def tensors(draw: st.DrawFn, examples: int, deepest: int = 2) -> Any:
    """A tree of tensors with that many examples."""
    kind = draw(st.sampled_from(["tensor", *KINDS] if deepest else ["tensor"]))
    if kind == "tensor":
        shape = (examples, *draw(st.lists(st.integers(1, 3), max_size=2)))
        start = draw(st.integers(0, 1000))
        return torch.arange(start, start + torch.Size(shape).numel()).reshape(shape)
    parts = [draw(tensors(examples, deepest - 1)) for _ in range(draw(st.integers(1, 3)))]
    return KINDS[kind](parts)


def same(one: Any, other: Any) -> bool:
    check_same_form(one, other, "here")
    assert type(one) is type(other)
    return all(torch.equal(a, b) for a, b in zip(flat(one), flat(other), strict=True))


@given(st.data(), st.integers(1, 9), st.integers(1, 10))
def test_what_is_split_is_joined_again(data: st.DataObject, examples: int, size: int) -> None:
    value = data.draw(tensors(examples))
    parts = list(split(value, size))
    assert sum(map(count, parts)) == count(value) == examples
    assert all(count(part) == size for part in parts[:-1])
    assert same(joined(parts), value)


@given(st.data(), st.integers(1, 6))
def test_every_tensor_is_mapped_and_nothing_else_changes(data: st.DataObject, n: int) -> None:
    value = data.draw(tensors(n))
    changed = mapped(lambda tensor: tensor + 1, value)
    assert same(mapped(lambda tensor: tensor - 1, changed), value)
    assert all(torch.equal(a, b + 1) for a, b in zip(flat(changed), flat(value), strict=True))


@given(st.data(), st.integers(1, 8))
def test_rows_are_those_of_every_tensor(data: st.DataObject, examples: int) -> None:
    value = data.draw(tensors(examples))
    index = data.draw(st.lists(st.integers(0, examples - 1), min_size=1))
    for taken, whole in zip(flat(rows(value, index)), flat(value), strict=True):
        assert torch.equal(taken, whole[torch.tensor(index)])


def test_a_split_gives_batches_in_order_and_as_many_as_are_wanted() -> None:
    x = {"a": torch.randn(7, 2), "b": torch.arange(7)}
    examples = Split(x, (torch.arange(7), torch.arange(7) * 2))
    assert [batch.examples for batch in in_order(examples, 3)] == [3, 3, 1]
    assert [batch.examples for batch in in_order(examples, 3, most=4)] == [3, 1]
    few = first(examples, 2)
    assert few.inputs["b"].tolist() == [0, 1]
    assert few.targets[1].tolist() == [0, 2]
    picked = examples.take([5, 0])
    assert (picked.inputs["b"].tolist(), picked.targets[0].tolist()) == ([5, 0], [5, 0])


class Given(nn.Module):
    def forward(self, a: Any, b: Tensor | None = None) -> Any:
        return a, b


def test_a_model_is_asked_as_its_inputs_stand_together() -> None:
    one, two = torch.ones(1), torch.zeros(1)
    model = Given()
    assert ask(model, one) == (one, None)
    assert ask(model, (one, two)) == (one, two)
    assert ask(model, {"b": two, "a": one}) == (one, two)
    assert ask(model, ({"x": one},))[0]["x"] is one


def test_a_tree_of_another_form_is_refused_with_its_place() -> None:
    wanted = {"image": torch.zeros(1), "mask": (torch.zeros(1),)}
    with pytest.raises(DataError, match=r"inputs\.mask: has another form"):
        check_same_form({"image": torch.zeros(1), "mask": torch.zeros(1)}, wanted, "inputs")
    turned = {"mask": (torch.zeros(1),), "image": torch.zeros(1)}
    with pytest.raises(DataError, match="another order"):
        check_same_form(turned, wanted, "inputs")


def test_images_are_placed_channels_last_and_all_else_as_it_is() -> None:
    batch = Batch((torch.randn(2, 3, 4, 4), torch.randn(2, 3)), torch.zeros(2)).on(
        torch.device("cpu")
    )
    assert batch.inputs[0].is_contiguous(memory_format=torch.channels_last)
    assert batch.inputs[1].is_contiguous()
