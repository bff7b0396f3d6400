"""Trees of tensors: what goes in comes out, and what does not fit is named with its place."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from random_signatures import trees

from tipsc.errors import DataError
from tipsc.tree import MOST_DEEP, TENSOR, Tree, tree_of

X = np.zeros(1)


@dataclass
class Boxes:
    corners: Any
    scores: Any = None


class Pair(NamedTuple):
    left: Any
    right: Any


@given(trees())
def test_what_is_built_is_taken_apart_again(tree: Tree) -> None:
    tensors = [np.array(i) for i in range(tree.tensors)]
    built = tree.build(tensors)
    assert [int(t) for t in tree.flat(built, "it")] == list(range(tree.tensors))
    assert tree_of(built, "it") == tree


@given(trees())
def test_each_tensor_has_a_name_of_its_own(tree: Tree) -> None:
    names = tree.names("it")
    assert len(names) == tree.tensors == len(set(names))
    assert all(names)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        (X, ["it"]),
        ((X, X), ["it.0", "it.1"]),
        ([X], ["it.0"]),
        ({"masks": X, "boxes": [X, X]}, ["masks", "boxes.0", "boxes.1"]),
        (Boxes(X, None), ["corners"]),
        (Pair(X, {"a": X}), ["left", "right.a"]),
        ({"a.b": X, "a": {"b": X}}, ["a.b", "a.b_2"]),
        ((X, None, {"k": X}), ["it.0", "it.2.k"]),
    ],
)
def test_names_are_the_ways_to_a_tensor(value: object, names: list[str]) -> None:
    assert list(tree_of(value, "it").names("it")) == names


def test_a_record_is_built_by_whom_one_likes() -> None:
    tree = tree_of(Boxes(X, {"a": X}), "it")
    assert tree.kind == "record" and tree.keys == ("corners", "scores")
    plain = tree.build([1, 2])
    assert plain.corners == 1 and plain.scores == {"a": 2}
    assert tree.build([1, 2], Boxes) == Boxes(1, {"a": 2})


def test_a_dict_may_come_in_any_order_and_stand_for_a_record() -> None:
    tree = tree_of(Boxes(X, X), "it")
    assert tree.flat({"scores": 2, "corners": 1}, "it") == [1, 2]
    assert tree_of({"a": X, "b": X}, "it").flat(OrderedDict(b=2, a=1), "it") == [1, 2]
    assert tree_of((X, X), "it").flat([1, 2], "it") == [1, 2]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": [1, 2]}, r"it: has other keys \(expected \['a', 'b'\], got \['a'\]\)"),
        ({"a": [1, 2], "b": 3, "c": 4}, "it: has other keys"),
        ({"a": [1], "b": 3}, r"it\.a: has another form .*tuple of 2.*list of 1"),
        ({"a": 1, "b": 3}, r"it\.a: has another form .*got int"),
        (7, r"it: has another form .*a dict of \['a', 'b'\].*got int"),
    ],
)
def test_what_has_another_form_is_named(value: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        tree_of({"a": (X, X), "b": X}, "it").flat(value, "it")


def test_nothing_is_expected_where_the_model_gave_nothing() -> None:
    with pytest.raises(DataError, match=r"it\[1\]: nothing is expected here"):
        tree_of((X, None), "it").flat((1, 2), "it")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"a": [X, "text"]}, r"it\.a\[1\]: is no tensor.*got str"),
        ({1: X}, "it: keys are not all strings"),
        ((X, {X.size}), r"it\[1\]: is no tensor"),
    ],
)
def test_what_is_no_tree_is_named(value: object, says: str) -> None:
    with pytest.raises(DataError, match=says):
        tree_of(value, "it")


def nested(levels: int) -> Tree:
    tree = TENSOR
    for _ in range(levels):
        tree = Tree("list", (), (tree,))
    return tree


def test_how_deep_a_tree_may_be() -> None:
    assert nested(MOST_DEEP).height == MOST_DEEP
    with pytest.raises(DataError, match="nested too deep"):
        nested(MOST_DEEP + 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("heap",), "no kind of a tree"),
        (("tensor", (), (TENSOR,)), "has no parts"),
        (("none", ("a",)), "has no keys"),
        (("tuple", ("a",), (TENSOR,)), "has no keys"),
        (("dict", (), (TENSOR,)), "another number of keys"),
        (("dict", ("a", "a"), (TENSOR, TENSOR)), "a key is repeated"),
        (("record", ("class a",), (TENSOR,)), "not the name of a field"),
    ],
)
def test_what_makes_no_tree_is_refused(arguments: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        Tree(*arguments)
