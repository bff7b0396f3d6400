"""Graphs for TensorRT: the same results in an older opset, and no weight that is computed."""

from __future__ import annotations

import copy
import random
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "elastic"))

from architectures import ARCHITECTURES, make

from tipsc.backends.tensorrt import api
from tipsc.backends.tensorrt.plans import PlanBuilder
from tipsc.convert import convert
from tipsc.engine.external import external_data
from tipsc.errors import LoweringError
from tipsc.lower import Lowered, lower
from tipsc.lower.half import to_half
from tipsc.lower.int8 import to_int8
from tipsc.lower.opset import OLDER, to_older
from tipsc.lower.plain import in_older_opset, with_plain_weights

#: of float32 outputs of the order of 1: the same sums, in kernels chosen anew
TOLERANCE = 1e-5


def run(folder: Path, lowered: Lowered, path: str, x: np.ndarray) -> np.ndarray:
    (folder / "weights").write_bytes(lowered.weights)
    (folder / "model.onnx").write_bytes(lowered.graphs[path])
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {session.get_inputs()[0].name: x})[0]
    return result


def computed_weights(graph: bytes) -> list[str]:
    """Nodes that read nothing but constants, other than those that say what is int8."""
    inner = onnx.load_from_string(graph).graph
    constants = {tensor.name for tensor in inner.initializer}
    return [
        node.output[0]
        for node in inner.node
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear")
        and all(name in constants for name in node.input if name)
    ]


def three_paths(name: str) -> tuple[Lowered, np.ndarray]:
    model, x = make(name)
    supernet = convert(model, x)
    space = supernet.space
    drawn = space.sample_options(random.Random(1))
    paths = {path.id: path for path in (space.largest, space.smallest, drawn)}
    return lower(supernet, list(paths.values())), x[:1].numpy()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_any_architecture_in_the_form_that_the_oldest_parser_reads(
    name: str, tmp_path: Path
) -> None:
    lowered, x = three_paths(name)
    plain = with_plain_weights(in_older_opset(lowered))
    for path, graph in plain.graphs.items():
        assert onnx.load_from_string(graph).opset_import[0].version == OLDER
        assert not computed_weights(graph)
        kinds = {node.op_type for node in onnx.load_from_string(graph).graph.node}
        assert not kinds & {"CastLike", "Gelu"}  # which 8.6 does not know
        expected = run(tmp_path, lowered, path, x)
        np.testing.assert_allclose(run(tmp_path, plain, path, x), expected, atol=TOLERANCE)
    largest = next(iter(plain.sizes.values()))
    assert largest.shared > 0  # first rows go on sharing their bytes
    if api.installed() is not None:
        builder = PlanBuilder(api.load(), memoryview(plain.weights))
        assert all(builder.build(path, graph) for path, graph in plain.graphs.items())


@pytest.mark.parametrize("name", ["MobileNetV2", "causal LM, SwiGLU"])  # with an endless mask
def test_each_precision_has_plain_weights(name: str, tmp_path: Path) -> None:
    lowered, x = three_paths(name)
    older = in_older_opset(lowered)
    precisions = [to_half(older)]
    if x.dtype == np.float32:
        images = np.random.default_rng(0).standard_normal((8, *x.shape[1:])).astype(np.float32)
        precisions.append(to_int8(older, [images]))
    for precise in precisions:
        plain = with_plain_weights(precise)
        for path, graph in plain.graphs.items():
            assert not computed_weights(graph)
            expected = run(tmp_path, precise, path, x)
            np.testing.assert_allclose(run(tmp_path, plain, path, x), expected, atol=1e-3)


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_written_out(approximate: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.GELU(approximate=approximate), nn.Linear(8, 3)).eval()
    x = 3 * torch.randn(1, 6)
    supernet = convert(net, x)
    lowered = lower(supernet, [supernet.space.largest])
    older = in_older_opset(lowered)
    (path,) = older.graphs
    kinds = {node.op_type for node in onnx.load_from_string(older.graphs[path]).graph.node}
    assert "Gelu" not in kinds
    with torch.no_grad():
        expected = net(x).numpy()
    np.testing.assert_allclose(run(tmp_path, older, path, x.numpy()), expected, atol=1e-6)


class Twice(nn.Module):
    """Blocks that begin as copies of each other, as in nn.TransformerEncoder."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.Sequential(nn.Conv2d(8, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 8, 1))
        self.blocks = nn.ModuleList(copy.deepcopy(block) for _ in range(3))
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("precise", [lambda lowered: lowered, to_half])
def test_no_two_tensors_begin_at_one_place_and_end_at_two(
    precise: Callable[[Lowered], Lowered], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 8, 6, 6)
    supernet = convert(Twice().eval(), x)
    paths = [supernet.space.sample_options(random.Random(seed)) for seed in range(4)]
    lowered = lower(supernet, list({path.id: path for path in paths}.values()))
    before = precise(in_older_opset(lowered))
    plain = with_plain_weights(before)

    def mixed(graph: bytes) -> bool:
        places = {(data.offset, data.length) for data in external_data(graph)}
        return len({offset for offset, _ in places}) < len(places)

    assert any(map(mixed, before.graphs.values()))  # equal weights are stored once
    assert not any(map(mixed, plain.graphs.values()))
    builder = PlanBuilder(api.load(), memoryview(plain.weights)) if api.installed() else None
    for path, graph in plain.graphs.items():
        expected = run(tmp_path, before, path, x.numpy())
        np.testing.assert_allclose(run(tmp_path, plain, path, x.numpy()), expected, atol=1e-3)
        if builder is not None:
            assert builder.build(path, graph)


def one_node(node: onnx.NodeProto, **constants: np.ndarray) -> bytes:
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 2, 4, 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


REDUCE = helper.make_node("ReduceMean", ["input", "axes"], ["output"], keepdims=0)
NOTHING = helper.make_node("ReduceMax", ["input"], ["output"], noop_with_empty_axes=1)
SMOOTH = helper.make_node(
    "Resize", ["input", "", "", "sizes"], ["output"], mode="linear", antialias=1
)
SIZES = np.asarray([1, 2, 2, 2], np.int64)


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (REDUCE, {"axes": np.asarray([2, 3], np.int64)}),
        (NOTHING, {}),
        (helper.make_node("ReduceSum", ["input", "axes"], ["output"]), {"axes": np.asarray([1])}),
        (helper.make_node("Cast", ["input"], ["output"], to=1, saturate=1), {}),
        (helper.make_node("Max", ["input", "low"], ["output"]), {"low": np.float32([0.1])}),
        (helper.make_node("Mean", ["input", "input"], ["output"]), {}),
        (REDUCE, {"axes": np.asarray([], np.int64)}),
        (
            helper.make_node("ReduceMean", ["input", "axes"], ["output"], noop_with_empty_axes=1),
            {"axes": np.asarray([], np.int64)},
        ),
        (
            helper.make_node(
                "AveragePool", ["input"], ["output"], kernel_shape=[2, 2], dilations=[1, 1]
            ),
            {},
        ),
        (helper.make_node("Split", ["input"], ["output", "rest"], axis=2, num_outputs=2), {}),
        (helper.make_node("Min", ["input", "input"], ["output"]), {}),
    ],
)
def test_what_changed_since_computes_the_same(
    node: onnx.NodeProto, constants: dict[str, np.ndarray]
) -> None:
    graph = one_node(node, **constants)
    x = np.random.default_rng(0).standard_normal((1, 2, 4, 4)).astype(np.float32)
    expected, got = (
        ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0]
        for model in (graph, to_older(graph))
    )
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("node", "constants", "says"),
    [
        (SMOOTH, {"sizes": SIZES}, "no antialias"),
        (helper.make_node("Mish", ["input"], ["output"]), {}, "no such operator"),
        (helper.make_node("GridSample", ["input", "g"], ["output"]),
         {"g": np.zeros((1, 2, 2, 2), np.float32)}, "another operator"),
        (helper.make_node("ReduceMax", ["input", "input"], ["output"]), {}, "computed"),
        (helper.make_node("Split", ["input"], ["output", "rest", "more"], axis=2, num_outputs=3),
         {}, "may differ"),
        (helper.make_node("Pad", ["input", "pads"], ["output"], mode="wrap"),
         {"pads": np.ones(8, np.int64)}, "no mode wrap"),
        (helper.make_node("Pad", ["input", "pads", "", "axes"], ["output"]),
         {"pads": np.ones(2, np.int64), "axes": np.array([3])}, "fewer inputs"),
    ],
)  # fmt: skip
def test_what_has_no_older_form_is_named_and_stays_as_it_is(
    node: onnx.NodeProto, constants: dict[str, np.ndarray], says: str
) -> None:
    graph = one_node(node, **constants)
    with pytest.raises(LoweringError, match=says):
        to_older(graph)
    lowered = replace(Lowered(b"", {}, {}, ANY), graphs={"one": graph})
    kept = in_older_opset(lowered)
    assert kept.graphs == lowered.graphs
    assert re.search(f"TensorRT 10 or newer.*{says}", kept.remark)
