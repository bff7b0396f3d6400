"""A path graph holds what tipsc writes and nothing else: files named anywhere else are not read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tipsc.engine.allowed import check_allowed
from tipsc.engine.external import check_external
from tipsc.errors import EngineDamagedError


def base(*nodes: onnx.NodeProto, tensors: tuple[onnx.TensorProto, ...] = ()) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    nodes = nodes or (helper.make_node("Relu", ["x"], ["y"]),)
    graph = helper.make_graph(list(nodes), "path", [value], [out], list(tensors))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def foreign(name: str = "t") -> onnx.TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", "16")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def in_function() -> onnx.ModelProto:
    model = base()
    node = helper.make_node("Constant", [], ["c"], value=foreign())
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("own", "f", [], ["c"], [node], opset))
    return model


def in_sparse_initializer() -> onnx.ModelProto:
    model = base()
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(foreign())
    sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(4), "i"))
    sparse.dims.append(4)
    return model


def in_sparse_attribute() -> onnx.ModelProto:
    model = base()
    attribute = model.graph.node[0].attribute.add()
    attribute.name, attribute.type = "sparse_value", onnx.AttributeProto.SPARSE_TENSOR
    attribute.sparse_tensor.values.CopyFrom(foreign())
    return model


def in_training() -> onnx.ModelProto:
    model = base()
    model.training_info.add().algorithm.initializer.append(foreign())
    return model


def in_several_tensors() -> onnx.ModelProto:
    model = base()
    attribute = model.graph.node[0].attribute.add()
    attribute.name, attribute.type = "values", onnx.AttributeProto.TENSORS
    attribute.tensors.append(foreign())
    return model


def of_another_domain() -> onnx.ModelProto:
    return base(helper.make_node("Read", ["x"], ["y"], domain="com.other"))


HIDING: list[Callable[[], onnx.ModelProto]] = [
    in_function, in_sparse_initializer, in_sparse_attribute, in_training, in_several_tensors,
    of_another_domain,
]  # fmt: skip


@pytest.mark.parametrize("make", HIDING)
def test_what_tipsc_does_not_write_is_refused(make: Callable[[], onnx.ModelProto]) -> None:
    with pytest.raises(EngineDamagedError, match=r"does not write|another domain"):
        check_allowed(make().SerializeToString(), "graph")


def test_what_is_allowed_is_let_through() -> None:
    model = base(tensors=(numpy_helper.from_array(np.ones(4, np.float32), "w"),))
    model.metadata_props.add(key="made by", value="tipsc")
    check_allowed(model.SerializeToString(), "graph")


@pytest.mark.parametrize("extra", [1, 3])
def test_overlong_tags_and_lengths_hide_nothing(extra: int) -> None:
    """A reader that stops at one byte less sees another field."""
    graph = base(tensors=(foreign(),)).graph.SerializeToString()

    def overlong(value: int) -> bytes:
        parts = [value & 0x7F | 0x80]
        value >>= 7
        for _ in range(extra):
            parts.append(value & 0x7F | 0x80)
            value >>= 7
        return bytes([*parts, value & 0x7F])

    length = len(graph)
    tag = b"\x3a"  # field 7, length-delimited
    for model in (overlong(0x3A) + _varint(length) + graph, tag + _longer(length) + graph):
        with pytest.raises(EngineDamagedError, match="written too long"):
            check_allowed(model, "graph")
        with pytest.raises(EngineDamagedError):
            check_external(model, 0, "graph")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _longer(value: int) -> bytes:
    shortest = bytearray(_varint(value))
    shortest[-1] |= 0x80
    return bytes([*shortest, 0])


def constant(name: str, values: list[int] | list[list[int]]) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def growing(operator: str, **attributes: object) -> onnx.ModelProto:
    made = {
        "ConstantOfShape": (["s"], {"s": [1 << 30]}),
        "Expand": (["w", "s"], {"s": [1 << 20, 1 << 10], "w": [1]}),
        "Tile": (["w", "s"], {"s": [1 << 30], "w": [1]}),
        "Range": (["a", "b", "c"], {"a": [0], "b": [1 << 40], "c": [1]}),
        "EyeLike": (["w"], {"w": [1] * 60}),
        "OneHot": (["w", "d", "v"], {"w": [1] * 60, "d": [1 << 30], "v": [0, 1]}),
        "MatMul": (["w", "v"], {"w": [[1]] * 5000, "v": [[1] * 5000]}),
        "Add": (["w", "v"], {"w": [[1]] * 5000, "v": [[1] * 5000]}),
        "Gather": (["w", "v"], {"w": [[1] * 5000], "v": [0] * 5000}),
        "Pad": (["w", "s"], {"w": [1], "s": [0, 1 << 31]}),
        "Resize": (["w", "", "", "s"], {"w": [1], "s": [1 << 31]}),
    }[operator]
    inputs, constants = made
    tensors = tuple(constant(name, values) for name, values in constants.items())
    last = helper.make_node("Add", ["x", "big"], ["y"])
    return base(helper.make_node(operator, inputs, ["big"]), last, tensors=tensors)


@pytest.mark.parametrize(
    "operator",
    [
        "ConstantOfShape",
        "Expand",
        "Tile",
        "Range",
        "EyeLike",
        "OneHot",
        "MatMul",
        "Add",
        "Gather",
        "Pad",
        "Resize",
    ],
)
def test_a_few_bytes_cannot_ask_for_gigabytes(operator: str) -> None:
    with pytest.raises(EngineDamagedError, match=f"{operator} of constants"):
        check_allowed(growing(operator).SerializeToString(), "graph")


def test_constants_cannot_double_again_and_again() -> None:
    nodes = [
        helper.make_node("Concat", [f"v{i}", f"v{i}"], [f"v{i + 1}"], axis=0) for i in range(40)
    ]
    last = helper.make_node("Relu", ["x"], ["y"])
    with pytest.raises(EngineDamagedError, match="more and more of constants"):
        check_allowed(
            base(*nodes, last, tensors=(constant("v0", [1] * 4),)).SerializeToString(), "graph"
        )


def test_sizes_that_pass_through_other_operations_are_not_believed() -> None:
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["s"], axis=0),
        helper.make_node("ConstantOfShape", ["s"], ["big"]),
        helper.make_node("Add", ["x", "big"], ["y"]),
    ]
    model = base(*nodes, tensors=(constant("a", [1 << 20]), constant("b", [1 << 20])))
    with pytest.raises(EngineDamagedError, match="ConstantOfShape of constants"):
        check_allowed(model.SerializeToString(), "graph")


def test_the_shape_of_the_input_is_a_constant() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Mul", ["s", "many"], ["t"]),
        helper.make_node("ConstantOfShape", ["t"], ["big"]),
        helper.make_node("Add", ["x", "big"], ["y"]),
    ]
    model = base(*nodes, tensors=(constant("many", [1 << 30]),))
    with pytest.raises(EngineDamagedError, match="ConstantOfShape of constants"):
        check_allowed(model.SerializeToString(), "graph")


def test_what_runs_on_the_input_is_none_of_this() -> None:
    nodes = [
        helper.make_node("Expand", ["x", "s"], ["z"]),
        helper.make_node("Relu", ["z"], ["y"]),
    ]
    small = base(*nodes, tensors=(constant("s", [1, 4]),))
    check_allowed(small.SerializeToString(), "graph")
    token = base(
        helper.make_node("Expand", ["w", "s"], ["z"]),
        helper.make_node("Add", ["x", "z"], ["y"]),
        tensors=(constant("s", [1, 4]), constant("w", [1, 2, 3, 4])),
    )
    check_allowed(token.SerializeToString(), "graph")
