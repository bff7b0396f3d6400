"""Half precision in the graph: built by NVIDIA's builder, its numerics checked in ONNX Runtime."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from synthetic_engine import Net, tiny_net

from tipsc.backends.tensorrt import api
from tipsc.backends.tensorrt.examine import check_engine
from tipsc.engine import Manifest, write_engine
from tipsc.errors import LoweringError
from tipsc.lower import Lowered
from tipsc.lower.half import to_half
from tipsc.runtime import Engine
from tipsc.signature import TensorSpec

#: of the largest output: half precision rounds by 5e-4, and a handful of layers add up
TOLERANCE = 1e-2


def lowered(net: Net, graphs: dict[str, bytes]) -> Lowered:
    return Lowered(bytes(net.store.blob), graphs, {}, net.manifest(list(graphs)).signature)


@pytest.fixture(scope="module")
def net() -> Net:
    return tiny_net()


@pytest.fixture(scope="module")
def full(net: Net) -> Lowered:
    graphs = {
        "shallow": net.graph(net.options(3, full=False), seed=0),
        "full": net.graph(net.options(3), seed=1),
        "narrow": net.graph(net.options(1), seed=2),
    }
    return lowered(net, graphs)


def test_outputs_are_those_of_fp32_within_the_rounding(
    net: Net, full: Lowered, tmp_path: Path
) -> None:
    half = to_half(full)
    manifest = net.manifest(list(full.graphs))
    full.write(tmp_path / "full.tipsc", manifest)
    half.write(tmp_path / "half.tipsc", manifest)
    x = np.random.default_rng(0).standard_normal(full.signature.inputs[0].shape).astype(np.float32)
    with (
        Engine.open(tmp_path / "full.tipsc") as expected,
        Engine.open(tmp_path / "half.tipsc") as got,
    ):
        for path in full.graphs:
            right, found = expected.run(x, path=path), got.run(x, path=path)
            assert found.dtype == np.float32
            difference = np.abs(found - right).max() / np.abs(right).max()
            assert 0 < difference < TOLERANCE


def test_weights_take_half_the_bytes_and_are_shared_as_before(full: Lowered) -> None:
    half = to_half(full)
    assert len(half.weights) <= len(full.weights) // 2 + 64 * 16
    for path, graph in half.graphs.items():
        before = onnx.load_from_string(full.graphs[path]).graph.initializer
        kinds = {t.name: t.data_type for t in onnx.load_from_string(graph).graph.initializer}
        for tensor in before:
            if tensor.data_type == TensorProto.FLOAT:
                assert kinds[tensor.name] == TensorProto.FLOAT16
            else:
                assert kinds[tensor.name] == tensor.data_type
    sizes = half.sizes["full"]
    assert sizes.shared > sizes.private  # the blocks that both depths use


def test_a_weight_that_does_not_fit_is_named(net: Net, full: Lowered) -> None:
    weights = np.frombuffer(full.weights, np.float32).copy()
    offset, _ = net.store.where["head"]
    weights[offset // 4] = 70_000.0
    with pytest.raises(LoweringError, match=r"head: a weight does not fit half precision.*70000"):
        to_half(replace(full, weights=weights.tobytes()))
    weights[offset // 4] = np.nan
    with pytest.raises(LoweringError, match=r"head: a weight does not fit half precision.*nan"):
        to_half(replace(full, weights=weights.tobytes()))


@pytest.mark.parametrize(("kind", "opset"), [("Celu", 20), ("IsInf", 17)])
def test_what_half_precision_cannot_have_is_named(kind: str, opset: int) -> None:
    node = helper.make_node(kind, ["x"], ["y"], name="layer.act")
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([node], "one", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    one = Lowered(b"", {"one": model.SerializeToString()}, {}, ANY)
    with pytest.raises(LoweringError, match=rf"path one, layer.act: ONNX has no {kind}"):
        to_half(one)


def test_control_flow_is_refused() -> None:
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    branch = helper.make_graph([helper.make_node("Neg", ["x"], ["b"])], "branch", [], [])
    branch.output.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [1]))
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])]
    graph = helper.make_graph([node], "one", inputs, [value])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    one = Lowered(b"", {"one": model.SerializeToString()}, {}, ANY)
    with pytest.raises(LoweringError, match="path one: control flow has no half precision"):
        to_half(one)


def test_a_place_with_two_types_is_refused(full: Lowered) -> None:
    """Halving moves what lies behind: integers within it would be read from elsewhere."""
    model = onnx.load_from_string(full.graphs["full"])
    stored = next(t for t in model.graph.initializer if t.data_location == TensorProto.EXTERNAL)
    other = TensorProto()
    other.CopyFrom(stored)
    other.name, other.data_type = "other", TensorProto.INT32
    model.graph.initializer.append(other)
    with pytest.raises(LoweringError, match="several types share bytes"):
        to_half(replace(full, graphs={"full": model.SerializeToString()}))


def test_what_means_endless_fits(net: Net, full: Lowered) -> None:
    weights = np.frombuffer(full.weights, np.float32).copy()
    offset, _ = net.store.where["head"]
    lowest = np.finfo(np.float32).min  # as masks of attention have it, where it is not infinity
    weights[offset // 4 : offset // 4 + 2] = -np.inf, lowest
    half = to_half(replace(full, weights=weights.tobytes()))
    stored = np.frombuffer(half.weights, np.float16)
    assert stored[np.isinf(stored)].tolist() == [-np.inf]
    assert (stored == np.finfo(np.float16).min).sum() == 1


@pytest.mark.skipif(api.installed() is None, reason="tensorrt-rtx-cu12 has no wheel here")
def test_nvidia_parses_and_builds_it_strongly_typed(
    net: Net, full: Lowered, tmp_path: Path
) -> None:
    buildable = {path: full.graphs[path] for path in ("shallow", "full")}
    half, file = to_half(replace(full, graphs=buildable)), tmp_path / "half.tipsc"
    manifest = replace(net.manifest(list(buildable)), recipe={"precision": "fp16"})
    half.write(file, manifest)
    for check in check_engine(file, list(buildable)):
        assert check.problem == ""
        assert check.plan_bytes > 0


def quantised(folder: Path) -> bytes:
    """A convolution, calibrated to int8 by ONNX Runtime's own quantiser."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    generator = np.random.default_rng(0)
    weights = {
        "w1": generator.standard_normal((8, 3, 3, 3)).astype(np.float32) / 5,
        "w2": generator.standard_normal((8, 8, 3, 3)).astype(np.float32) / 9,
    }
    three = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "w1"], ["a"], "first", **three),
            helper.make_node("Relu", ["a"], ["b"], "relu"),
            helper.make_node("Conv", ["b", "w2"], ["logits"], "second", **three),
        ],
        "path",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 8, 16, 16])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "float.onnx")

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(generator.standard_normal((8, 1, 3, 16, 16)).astype(np.float32))

        def get_next(self) -> dict[str, np.ndarray] | None:
            image = next(self.left, None)
            return None if image is None else {"image": image}

    quantize_static(
        folder / "float.onnx", folder / "int8.onnx", Images(), per_channel=True,
        weight_type=QuantType.QInt8, activation_type=QuantType.QInt8,
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True,
                       "QuantizeBias": False},
    )  # fmt: skip
    return (folder / "int8.onnx").read_bytes()


@pytest.mark.skipif(api.installed() is None, reason="tensorrt-rtx-cu12 has no wheel here")
def test_a_calibrated_graph_with_quantise_nodes_is_built(net: Net, tmp_path: Path) -> None:
    graph = quantised(tmp_path)
    kinds = {node.op_type for node in onnx.load_from_string(graph).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    x = np.random.default_rng(1).standard_normal((1, 3, 16, 16)).astype(np.float32)
    right = ort.InferenceSession((tmp_path / "float.onnx").read_bytes()).run(None, {"image": x})[0]
    found = ort.InferenceSession(graph).run(None, {"image": x})[0]
    # On average: what was beyond the calibrated range is cut off.
    assert 0 < np.abs(found - right).mean() / np.abs(right).mean() < 0.1
    file = tmp_path / "int8.tipsc"
    taken = net.manifest(["one"])
    given = TensorSpec("logits", "float32", (1, 8, 16, 16), "NCHW")
    signature = replace(taken.signature, outputs=(given,))
    manifest = replace(taken, signature=signature, recipe={"precision": "int8"})
    write_engine(file, manifest, b"", {"one": graph})
    (check,) = check_engine(file, ["one"])
    assert check.problem == ""
    assert check.plan_bytes > 0


@pytest.mark.parametrize("name", ["mobilenet", "transformer-tokens"])
def test_lowered_supernets_keep_their_outputs_and_are_built(name: str, tmp_path: Path) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "elastic"))
    import torch
    from supernets import ARGUMENTS

    from tipsc.elastic import family
    from tipsc.lower import lower
    from tipsc.train import calibrate

    torch.manual_seed(0)
    supernet = family(name, **ARGUMENTS[name]).eval()
    tokens = supernet.inputs[0].dtype == "int64"
    shape = (32, *supernet.inputs[0].shape[1:])
    inputs = torch.randint(0, 11, shape) if tokens else torch.randn(shape)
    paths = [supernet.space.smallest, supernet.space.largest]
    statistics = {path.id: calibrate(supernet, path, [inputs]) for path in paths}
    full = lower(supernet, paths, statistics)
    half = to_half(full)
    assert len(half.weights) < 0.6 * len(full.weights)
    for path in paths:
        found = {}
        for kind, made in (("full", full), ("half", half)):
            folder = tmp_path / kind
            folder.mkdir(exist_ok=True)
            (folder / "weights").write_bytes(made.weights)
            (folder / f"{path.id}.onnx").write_bytes(made.graphs[path.id])
            session = ort.InferenceSession(str(folder / f"{path.id}.onnx"))
            found[kind] = session.run(None, {session.get_inputs()[0].name: inputs[:1].numpy()})[0]
        difference = np.abs(found["half"] - found["full"]).max() / np.abs(found["full"]).max()
        assert difference < TOLERANCE
    if api.installed() is not None:
        manifest = _manifest(half)
        half.write(tmp_path / "half.tipsc", manifest)
        for check in check_engine(tmp_path / "half.tipsc", [path.id for path in paths]):
            assert check.problem == ""


def _manifest(half: Lowered) -> Manifest:
    net = tiny_net()
    made = net.manifest(list(half.graphs))
    return replace(
        made,
        signature=half.signature,
        recipe={"precision": "fp16"},
    )
