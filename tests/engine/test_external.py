"""The wire-format rewriter against the onnx package."""

from __future__ import annotations

import random
from dataclasses import replace

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from tipsc.engine.external import (
    External,
    Initializer,
    external_data,
    external_initializers,
    rewrite_external,
)
from tipsc.errors import EngineDamagedError

references = st.builds(
    External,
    location=st.text(max_size=20),
    offset=st.integers(0, 10**16),
    length=st.integers(0, 10**16),
)


def tensor(name: str, reference: External | None) -> onnx.TensorProto:
    if reference is None:
        return helper.make_tensor(name, TensorProto.FLOAT, [2], [1.0, 2.0])
    made = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[3, 200])
    made.data_location = TensorProto.EXTERNAL
    for key, value in vars(reference).items():
        made.external_data.add(key=key, value=str(value))
    return made


@st.composite
def models(draw):
    """Models with tensors as initializers, in attributes and in nested graphs."""

    def graph(depth: int) -> onnx.GraphProto:
        wanted = draw(st.lists(st.none() | references, max_size=3))
        nodes = [helper.make_node("Relu", ["x"], ["y"], name=draw(st.text(max_size=300)))]
        if draw(st.booleans()):
            value = tensor("c", draw(references))
            nodes.append(helper.make_node("Constant", [], ["c"], value=value))
        if depth < 2 and draw(st.booleans()):
            nodes.append(helper.make_node("If", ["x"], ["z"], then_branch=graph(depth + 1)))
        tensors = [tensor(f"t{i}", r) for i, r in enumerate(wanted)]
        return helper.make_graph(nodes, "g", [], [], tensors, doc_string=draw(st.text()))

    return helper.make_model(graph(0), producer_name=draw(st.text()))


def onnx_tensors(graph: onnx.GraphProto):
    """In the order of the wire: nodes come before initializers, as their fields are numbered."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from onnx_tensors(attribute.g)
    yield from graph.initializer


def onnx_references(model: onnx.ModelProto) -> list[External]:
    found = []
    for made in onnx_tensors(model.graph):
        if made.external_data:
            entries = {e.key: e.value for e in made.external_data}
            found.append(
                External(entries["location"], int(entries["offset"]), int(entries["length"]))
            )
    return found


@given(models())
def test_it_lists_what_onnx_lists(model):
    assert external_data(model.SerializeToString()) == onnx_references(model)


@given(models())
def test_it_lists_the_constants_of_the_outermost_graph(model):
    assert external_initializers(model.SerializeToString()) == [
        Initializer(made.name, made.data_type, tuple(made.dims), reference)
        for made in model.graph.initializer
        if made.external_data
        for reference in [
            External(
                *(
                    kind(e.value)
                    for kind, e in zip((str, int, int), made.external_data, strict=True)
                )
            )
        ]
    ]


@given(models())
def test_rewriting_to_the_same_changes_nothing(model):
    assert onnx.load_from_string(rewrite_external(model.SerializeToString(), lambda r: r)) == model


@given(models(), st.text(max_size=300), st.integers(0, 2**40))
def test_only_the_references_change(model, location, shift):
    def move(reference: External) -> External:
        return replace(reference, location=location, offset=reference.offset + shift)

    moved = onnx.load_from_string(rewrite_external(model.SerializeToString(), move))
    assert onnx_references(moved) == [move(r) for r in onnx_references(model)]
    for made in (*onnx_tensors(model.graph), *onnx_tensors(moved.graph)):
        del made.external_data[:]
    assert moved == model


def test_damaged_models_raise_one_error_only(graphs):
    model = graphs["00000001"]
    refused = 0
    for seed in range(300):
        generator = random.Random(seed)
        damaged = bytearray(model)
        for _ in range(5):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            external_data(bytes(damaged[: generator.randrange(len(damaged))]))
        except EngineDamagedError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    "model",
    [
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a graph of 2^63 bytes
        b"\x3a" + b"\xff" * 20,  # a length that does not end
        b"\x3b",  # a group, which ONNX does not use
        b"\x00\x00",  # field number 0
        b"\x39\x00",  # eight bytes, of which one is there
    ],
)
def test_not_a_model(model):
    with pytest.raises(EngineDamagedError):
        external_data(model)


@pytest.mark.parametrize(
    ("key", "value"), [("offset", "-1"), ("offset", "1e3"), ("length", "٣"), ("length", "9" * 30)]
)
def test_numbers_that_are_none(key, value):
    made = tensor("t", External("weights", 0, 4))
    next(entry for entry in made.external_data if entry.key == key).value = value
    graph = helper.make_graph([], "g", [], [], [made])
    with pytest.raises(EngineDamagedError, match=key):
        external_data(helper.make_model(graph).SerializeToString())
