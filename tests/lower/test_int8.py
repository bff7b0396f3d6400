"""Int8 in the graph: numerics in ONNX Runtime, built by NVIDIA's builder."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import ANY

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import nn

from tipsc.backends.tensorrt import api
from tipsc.backends.tensorrt.examine import check_engine
from tipsc.compile import Job, compile_candidates
from tipsc.convert import ConvertedSupernet, convert
from tipsc.elastic import CostModel
from tipsc.engine.external import external_data
from tipsc.engine.format import WEIGHTS_LOCATION
from tipsc.errors import LoweringError, TargetError
from tipsc.lower import Lowered, lower
from tipsc.lower.int8 import to_int8
from tipsc.lower.places import runs
from tipsc.paths import Path as NetPath
from tipsc.pipeline.manifest import make_manifest
from tipsc.project.target import load_target
from tipsc.runtime import Engine
from tipsc.search.candidates import Candidate
from tipsc.train import calibrate

IMAGE = (3, 16, 16)


class Net(nn.Module):
    """Blocks with an inner width, a depthwise and a strided convolution, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.ModuleList(self._block() for _ in range(2))
        self.down = nn.Sequential(nn.Conv2d(16, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU())
        self.head = nn.Linear(24, 10)

    @staticmethod
    def _block() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(16, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Conv2d(48, 48, 3, padding=1, groups=48, bias=False), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Conv2d(48, 16, 1, bias=False), nn.BatchNorm2d(16),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(self.down(x).mean((2, 3)))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(64, *IMAGE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def supernet(images: torch.Tensor) -> ConvertedSupernet:
    torch.manual_seed(0)
    model = Net()
    with torch.no_grad():
        model.train()(images)
    return convert(model.eval(), images[:2], widths=(0.25, 0.5, 1.0))


@pytest.fixture(scope="module")
def paths(supernet: ConvertedSupernet) -> list[NetPath]:
    space = supernet.space
    middle = space.path({c.name: c.options[len(c.options) // 2] for c in space.choices})
    return [space.largest, middle, space.smallest]


@pytest.fixture(scope="module")
def full(supernet: ConvertedSupernet, paths: list[NetPath], images: torch.Tensor) -> Lowered:
    statistics = {path.id: calibrate(supernet, path, [images]) for path in paths}
    return lower(supernet, paths, statistics)


@pytest.fixture(scope="module")
def short(full: Lowered, images: torch.Tensor) -> Lowered:
    return to_int8(full, [images.numpy()])


def write(file: Path, supernet: ConvertedSupernet, paths: list[NetPath], lowered: Lowered) -> Path:
    costs = CostModel(supernet)
    candidates = [
        Candidate(
            p,
            None,
            costs.of(p).macs,
            0,
            calibrate(supernet, p, [torch.zeros(2, *IMAGE)]),
        )
        for p in paths
    ]
    manifest = make_manifest("net", load_target("host"), supernet, candidates, lowered, {})
    lowered.write(file, manifest)
    return file


def test_outputs_are_those_of_fp32_within_its_steps(
    supernet: ConvertedSupernet, paths: list[NetPath], full: Lowered, short: Lowered,
    images: torch.Tensor, tmp_path: Path,
) -> None:  # fmt: skip
    files = [
        write(tmp_path / f"{name}.tipsc", supernet, paths, lowered)
        for name, lowered in (("full", full), ("short", short))
    ]
    with Engine.open(files[0]) as expected, Engine.open(files[1]) as got:
        for path in paths:
            pairs = [
                (expected.run(x[None], path=path.id), got.run(x[None], path=path.id))
                for x in images[:16].numpy()
            ]
            right, found = (np.concatenate(side) for side in zip(*pairs, strict=True))
            assert found.dtype == np.float32
            assert 0 < np.abs(found - right).mean() / np.abs(right).mean() < 0.05


def test_weights_take_a_quarter_of_the_bytes_and_are_shared_as_before(
    full: Lowered, short: Lowered
) -> None:
    graphs = {path: onnx.load_from_string(graph).graph for path, graph in short.graphs.items()}
    kept = 0
    for path, graph in graphs.items():
        before = {t.name: t for t in onnx.load_from_string(full.graphs[path]).graph.initializer}
        for tensor in graph.initializer:
            if tensor.data_location == TensorProto.EXTERNAL:
                is_weight = len(tensor.dims) > 1
                assert (tensor.data_type == TensorProto.INT8) == is_weight
                if tensor.name in before:  # others are parts that are stored by themselves
                    assert tuple(tensor.dims) == tuple(before[tensor.name].dims)
                kept += not is_weight
    assert len(short.weights) < 0.3 * len(full.weights) + 256 * kept
    for path, sizes in short.sizes.items():
        assert sizes.shared > 0.2 * full.sizes[path].shared


def test_every_layer_reads_rounded_inputs_and_weights(short: Lowered) -> None:
    for graph in short.graphs.values():
        inner = onnx.load_from_string(graph).graph
        makers = {name: node.op_type for node in inner.node for name in node.output}
        layers = [node for node in inner.node if node.op_type in ("Conv", "Gemm", "MatMul")]
        assert layers
        for node in layers:
            assert [makers[name] for name in node.input[:2]] == ["DequantizeLinear"] * 2


def test_a_channel_has_one_scale_for_all_paths(short: Lowered, paths: list[NetPath]) -> None:
    """By layer: the narrow path's scales begin the largest path's."""
    largest, narrow = (scales_of(short.graphs[path.id]) for path in paths[:2])
    assert narrow.keys() <= largest.keys() and len(narrow) >= 4
    for name, scales in narrow.items():
        np.testing.assert_array_equal(scales, largest[name][: len(scales)])


def scales_of(graph: bytes) -> dict[str, np.ndarray]:
    """Of the weights of each layer, by the layer's name in the store."""
    tensors = onnx.load_from_string(graph).graph.initializer
    return {
        tensor.name.partition("[")[0]: numpy_helper.to_array(tensor)
        for tensor in tensors
        if tensor.name.endswith(":scales")
    }


def test_nothing_is_stored_that_no_path_reads(
    supernet: ConvertedSupernet, paths: list[NetPath], images: torch.Tensor
) -> None:
    statistics = {path.id: calibrate(supernet, path, [images]) for path in paths[1:]}
    part = to_int8(lower(supernet, paths[1:], statistics), [images.numpy()])
    read = {(d.offset, d.length) for graph in part.graphs.values() for d in external_data(graph)}
    used = sum(end - begin for begin, end in runs(read))
    assert used <= len(part.weights) <= used + 64 * len(read)


class Encoder(nn.Module):
    """Linear layers of three axes, which are matrix products in the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0)
        self.head = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.embed(x)).mean(1))


def test_a_transformers_linear_layers_are_quantised_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(32, 7, 6)
    net = convert(Encoder().eval(), x[:2], widths=(0.5, 1.0))
    paths = [net.space.largest, net.space.smallest]
    full = lower(net, paths)
    short = to_int8(full, [x.numpy()])
    for path in paths:
        inner = onnx.load_from_string(short.graphs[path.id]).graph
        makers = {name: node.op_type for node in inner.node for name in node.output}
        products = [node for node in inner.node if node.op_type in ("MatMul", "Gemm")]
        rounded = [n for n in products if makers.get(n.input[1]) == "DequantizeLinear"]
        assert len(rounded) >= len(products) - 2  # scores, and what they weigh
    assert len(short.weights) < 0.35 * len(full.weights)
    (tmp_path / WEIGHTS_LOCATION).write_bytes(short.weights)
    for path in paths:
        (tmp_path / "path.onnx").write_bytes(short.graphs[path.id])
        session = ort.InferenceSession(tmp_path / "path.onnx")
        found = np.concatenate(
            [session.run(None, {session.get_inputs()[0].name: row[None].numpy()})[0] for row in x]
        )
        with torch.no_grad():
            right = net(x, path).numpy()
        assert 0 < np.abs(found - right).mean() / np.abs(right).mean() < 0.05


def test_layers_that_all_read_the_input_need_no_inner_ranges() -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 3, 12)
    net = convert(
        nn.Sequential(nn.Conv1d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(160, 5)).eval(), x[:2]
    )
    assert to_int8(lower(net, [net.space.largest]), [x.numpy()]).graphs
    with pytest.raises(LoweringError, match="not finite"):
        to_int8(lower(net, [net.space.largest]), [np.full((2, 3, 12), np.nan, np.float32)])


@pytest.mark.parametrize("backend", ["onnxruntime", "tensorrt"])
def test_it_is_compiled_for_tensorrt_only(
    supernet: ConvertedSupernet, paths: list[NetPath], images: torch.Tensor, backend: str
) -> None:
    target = load_target("jetson-int8").model_copy(update={"backend": backend})
    assert target.precision == "int8"
    candidates = [
        Candidate(
            paths[0],
            None,
            0,
            0,
            calibrate(supernet, paths[0], [images]),
        )
    ]
    job = Job(target, supernet, candidates, images, None, lambda done, total, note="": None)
    if backend == "tensorrt":
        compiled = compile_candidates(job)
        assert isinstance(compiled, Lowered) and scales_of(compiled.graphs[paths[0].id])
    else:
        with pytest.raises(TargetError, match="not compiled in int8 for the backend"):
            compile_candidates(job)


def test_it_needs_images(full: Lowered) -> None:
    with pytest.raises(LoweringError, match="need images"):
        to_int8(full, [np.zeros((0, *IMAGE), np.float32)])


@pytest.mark.skipif(api.installed() is None, reason="tensorrt-rtx-cu12 has no wheel here")
def test_nvidia_parses_and_builds_it(
    supernet: ConvertedSupernet, paths: list[NetPath], short: Lowered, tmp_path: Path
) -> None:
    from dataclasses import replace

    from tipsc.engine import read_engine

    file = write(tmp_path / "net.tipsc", supernet, paths, short)
    manifest = replace(read_engine(file).manifest, recipe={"precision": "int8"})
    short.write(file, manifest)
    for check in check_engine(file, [path.id for path in paths]):
        assert check.problem == ""
        assert check.plan_bytes > 0


def test_a_path_without_a_layer_to_quantise_is_named() -> None:
    values = [onnx.helper.make_tensor_value_info(n, 1, [1, 4]) for n in ("input", "output")]
    node = onnx.helper.make_node("Relu", ["input"], ["output"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "one", values[:1], values[1:]))
    one = Lowered(b"", {"one": model.SerializeToString()}, {}, ANY)
    with pytest.raises(LoweringError, match="path one: none of its layers can be quantised"):
        to_int8(one, [np.zeros((2, 4), np.float32)])
