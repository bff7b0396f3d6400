"""What an engine takes and gives as the model does: tuples, lists, dicts, records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from synthetic_engine import Net

from tipsc.engine import write_engine
from tipsc.errors import DataError
from tipsc.runtime import Engine
from tipsc.signature import Signature, TensorSpec
from tipsc.tree import TENSOR, Tree

A, B = np.float32([10, 20]), np.float32([1, 2])
PAIR = Tree("tuple", (), (TENSOR, TENSOR))
NAMED = Tree("dict", ("left", "right"), (TENSOR, TENSOR))
RECORD = Tree("record", ("total", "rest"), (TENSOR, Tree("dict", ("gap",), (TENSOR,))))


def opened(net: Net, folder: Path, takes: Tree, gives: Tree) -> Engine:
    """Adds and subtracts `a` and `b`."""
    values = {n: helper.make_tensor_value_info(n, 1, [2]) for n in ("a", "b", "sum", "gap")}
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"]),
         helper.make_node("Sub", ["a", "b"], ["gap"])],
        "g", [values["a"], values["b"]], [values["sum"], values["gap"]],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    specs = {name: TensorSpec(name, "float32", (2,), "-") for name in values}
    manifest = net.manifest(["00000000"])
    signature = Signature(
        (specs["a"], specs["b"]), (specs["sum"], specs["gap"]), takes, gives
    )  # fmt: skip
    vars(manifest).update(signature=signature)
    write_engine(folder / "e", manifest, b"", {"00000000": model.SerializeToString()})
    return Engine.open(folder / "e")


@pytest.mark.parametrize(
    ("takes", "given"),
    [
        (PAIR, (A, B)),
        (PAIR, [A, B]),
        (PAIR, {"a": A, "b": B}),
        (NAMED, {"right": B, "left": A}),
        (NAMED, {"b": B, "a": A}),
        (NAMED, (A, B)),
        (Tree("tuple", (), (TENSOR, Tree("list", (), (TENSOR,)))), (A, [B])),
    ],
)
def test_inputs_may_come_as_the_model_takes_them_or_by_name(
    net: Net, tmp_path: Path, takes: Tree, given: Any
) -> None:
    with opened(net, tmp_path, takes, PAIR) as engine:
        total, gap = engine.run(given, path="00000000")
    assert total.tolist() == [11, 22] and gap.tolist() == [9, 18]


def test_outputs_come_as_the_model_gives_them(net: Net, tmp_path: Path) -> None:
    with opened(net, tmp_path, PAIR, NAMED) as engine:
        found = engine.run((A, B), path="00000000")
    assert {name: value.tolist() for name, value in found.items()} == {
        "left": [11, 22],
        "right": [9, 18],
    }


def test_a_record_comes_with_its_attributes(net: Net, tmp_path: Path) -> None:
    with opened(net, tmp_path, PAIR, RECORD) as engine:
        found = engine.run((A, B), path="00000000")
    assert found.total.tolist() == [11, 22] and found.rest["gap"].tolist() == [9, 18]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"left": A}, r"input: has other keys \(expected \['left', 'right'\], got \['left'\]\)"),
        ((A, B, A), "wrong number of inputs .expected 2: a, b, got 3"),
        (A, r"input: has another form .expected a dict of \['left', 'right'\], got ndarray"),
        ({"left": A, "right": [1, 2]}, "input b is not a numpy array"),
        ({"left": A, "right": B[:1]}, "input b does not fit"),
    ],
)
def test_what_has_another_form_is_refused(net: Net, tmp_path: Path, given: Any, says: str) -> None:
    with opened(net, tmp_path, NAMED, PAIR) as engine, pytest.raises(DataError, match=says):
        engine.run(given, path="00000000")
