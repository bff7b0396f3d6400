"""Paths that differ in depth as one plan: merged and built for real, timed by a clock of ours."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from tipsc.backends.finishing import PlanTrial
from tipsc.backends.tensorrt import api, job, trial
from tipsc.backends.tensorrt.examine import check_engine
from tipsc.backends.tensorrt.merge import depth_groups, merge_graphs
from tipsc.backends.tensorrt.plans import PlanBuilder, Unsupported, UnsupportedGraph
from tipsc.convert import convert
from tipsc.elastic import Supernet
from tipsc.engine import Manifest, PathEntry, write_engine
from tipsc.engine.plan import plan_name, switches
from tipsc.errors import EngineDeviceError
from tipsc.lower import Lowered, lower
from tipsc.lower.half import to_half
from tipsc.lower.int8 import to_int8
from tipsc.lower.plain import in_older_opset, with_plain_weights
from tipsc.measure.loop import collect_times
from tipsc.train.calibrate import calibrate

needs_nvidia = pytest.mark.skipif(
    api.installed() is None, reason="tensorrt-rtx-cu12 has no wheel for this platform or Python"
)
DEPTHS = (2, 3, 4, 6)


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(torch.relu(self.norm(self.first(x)))))


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    blocks = [Block(48) for _ in range(max(DEPTHS))]
    net = nn.Sequential(
        nn.Conv2d(3, 48, 3, padding=1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(48, 10),
    )
    return convert(net.eval(), torch.randn(1, 3, 12, 12))


@pytest.fixture(scope="module")
def lowered(supernet: Supernet) -> Lowered:
    """The depths at full width, and last the smallest path: all narrow."""
    widest = dict(supernet.space.largest.options)
    paths = []
    for depth in DEPTHS:
        options = {**widest, "depth": depth}
        active = {n: o for n, o in options.items() if supernet.space.is_active(n, options)}
        paths.append(supernet.space.path(active))
    paths.append(supernet.space.smallest)
    images = [torch.randn(16, 3, 12, 12)]
    return lower(supernet, paths, {p.id: calibrate(supernet, p, images) for p in paths})


@pytest.fixture(scope="module")
def engine_file(lowered: Lowered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    entries = tuple(
        PathEntry(name, {"path": place}, None, None, place, place, 0, 0)
        for place, name in enumerate(lowered.graphs)
    )
    manifest = Manifest(
        "depths",
        "jetson",
        "tensorrt",
        lowered.signature,
        entries,
        [{"name": "path", "options": list(range(len(entries))), "gate": None, "gate_from": 0}],
        recipe={"precision": "fp32"},
    )
    file = tmp_path_factory.mktemp("depths") / "depths.tipsc"
    write_engine(file, manifest, lowered.weights, lowered.graphs)
    return file


def session(folder: Path, model: bytes) -> ort.InferenceSession:
    (folder / "model.onnx").write_bytes(model)
    return ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def test_depths_of_the_same_widths_are_a_group_and_other_widths_are_not(lowered: Lowered) -> None:
    *depths, narrow = lowered.graphs
    assert depth_groups(lowered.graphs) == (tuple(depths),)
    assert depth_groups({name: lowered.graphs[name] for name in (depths[0], narrow)}) == ()


def test_each_branch_computes_what_its_path_computes(lowered: Lowered, tmp_path: Path) -> None:
    (tmp_path / "weights").write_bytes(lowered.weights)
    (group,) = depth_groups(lowered.graphs)
    merged = merge_graphs([lowered.graphs[name] for name in group])
    shared = session(tmp_path, merged)
    onnx.checker.check_model(str(tmp_path / "model.onnx"))
    given, shape = lowered.signature.inputs[0].name, lowered.signature.inputs[0].shape
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    seen = []
    for place, name in enumerate(group):
        flags = {n: np.array(value) for n, value in switches(place, len(group)).items()}
        (got,) = shared.run(None, {given: x, **flags})
        (expected,) = session(tmp_path, lowered.graphs[name]).run(None, {given: x})
        # Kernels are chosen anew within a branch: equal but for the order of sums.
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        seen.append(got)
    assert all(np.abs(a - b).max() > 1e-3 for a, b in pairwise(seen))


def test_constants_of_the_same_name_and_another_value_stay_apart(tmp_path: Path) -> None:
    def graph(value: float) -> bytes:
        make = onnx.helper
        spec = [make.make_tensor_value_info(n, 1, [1]) for n in ("input", "output")]
        constant = onnx.numpy_helper.from_array(np.array([value], np.float32), "c")
        node = make.make_node("Add", ["input", "c"], ["output"], name="add")
        model = make.make_model(make.make_graph([node], "path", spec[:1], spec[1:], [constant]))
        model.ir_version = 10
        return model.SerializeToString()

    shared = session(tmp_path, merge_graphs([graph(1), graph(2), graph(1)]))
    for place, value in enumerate((1, 2, 1)):
        flags = {n: np.array(v) for n, v in switches(place, 3).items()}
        assert shared.run(None, {"input": np.zeros(1, np.float32), **flags})[0] == [value]


@needs_nvidia
def test_nvidias_builder_keeps_the_weights_of_all_depths_once(
    lowered: Lowered, engine_file: Path
) -> None:
    (group,) = depth_groups(lowered.graphs)
    *alone, shared = check_engine(engine_file, [*group, plan_name(group)])
    assert not [check.problem for check in (*alone, shared) if check.problem]
    largest, smallest = alone[-1], alone[0]
    weights = largest.plan_bytes - smallest.plan_bytes  # of the blocks that only the deepest has
    beyond = shared.plan_bytes - largest.plan_bytes
    fixed = smallest.plan_bytes - lowered.sizes[group[0]].shared  # what any plan has
    assert weights > 100_000
    assert beyond < (len(group) - 1) * 1.05 * fixed  # graphs, and none of the weights again


class Clock:
    """Stands still unless a path runs."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@dataclass
class Shared:
    """What the test says of paths in a shared plan: their time, and their output, of 1 alone."""

    slowdowns: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, float] = field(default_factory=dict)


@pytest.fixture
def on_a_device(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    """A device whose paths take 1 ms and put out 1, unless the test says another thing."""
    shared, clock = Shared(), Clock()

    def executors(trt: Any, cuda: Any, plans: Any, *specs: Any) -> dict[str, Any]:
        def run(plan: Any, path: str, feeds: Any) -> list[np.ndarray]:
            alone = len(plan.paths) == 1
            clock.now += int(1e6 * (1.0 if alone else shared.slowdowns.get(path, 1.0)))
            return [np.full((1, 10), 1.0 if alone else shared.outputs.get(path, 1.0))]

        return {
            path: SimpleNamespace(run=partial(run, plan, path), close=lambda: None)
            for plan in plans
            for path in plan.paths
        }

    monkeypatch.setattr(trial, "make_executors", executors)
    monkeypatch.setattr(trial, "collect_times", partial(collect_times, clock=clock))
    device = SimpleNamespace(compute_capability=lambda: "8.7")
    monkeypatch.setattr(job.cuda, "load", lambda: device)
    monkeypatch.setattr(job, "in_own_process", lambda work: work())  # where all this is known
    yield shared


def build(lowered: Lowered, file: Path, folder: Path) -> tuple[dict[str, Any], set[str]]:
    (group,) = depth_groups(lowered.graphs)
    merged = folder / "merged.onnx"
    merged.write_bytes(merge_graphs([lowered.graphs[name] for name in group]))
    out = folder / "jobs" / "1" / "out"
    out.mkdir(parents=True)
    asked = {"run": True, "precision": "fp32", "strip": False, "groups": [list(group)]}
    blobs = {"engine": file, plan_name(group): merged}
    result = job.build_plans(asked, blobs, out, lambda *share: None)
    return result, {plan.name.removesuffix(".plan") for plan in out.iterdir()}


@needs_nvidia
@pytest.mark.parametrize(("slowest", "kept"), [(1.0, True), (1.09, True), (1.12, False)])
def test_a_plan_is_shared_where_each_path_stays_within_the_limit(
    lowered: Lowered,
    engine_file: Path,
    on_a_device: Shared,
    tmp_path: Path,
    slowest: float,
    kept: bool,
) -> None:
    *depths, narrow = lowered.graphs
    on_a_device.slowdowns[depths[1]] = slowest
    result, plans = build(lowered, engine_file, tmp_path)
    (found,) = result["trials"]
    assert found["kept"] is kept
    assert found["plan_bytes"] < found["alone_bytes"]
    assert found["slowdowns"][depths[1]] == pytest.approx(slowest)
    assert plans == ({plan_name(depths), narrow} if kept else {*depths, narrow})


@needs_nvidia
def test_a_group_that_cannot_be_built_leaves_its_paths_their_plans(
    lowered: Lowered, engine_file: Path, on_a_device: Shared, tmp_path: Path
) -> None:
    (group,) = depth_groups(lowered.graphs)
    broken = onnx.load_from_string(lowered.graphs[group[0]])
    broken.graph.node[0].op_type = "Unique"
    graphs = {**lowered.graphs, group[0]: broken.SerializeToString()}
    result, plans = build(replace(lowered, graphs=graphs), engine_file, tmp_path)
    (found,) = result["trials"]
    assert not found["kept"]
    assert "Unique" in found["problem"]
    assert plans == set(lowered.graphs)


def test_a_trial_that_ends_its_process_is_one_named_error() -> None:
    with pytest.raises(EngineDeviceError, match="ended the process"):
        job.in_own_process(os.abort)
    found = job.in_own_process(partial(PlanTrial, ("a", "b"), False, 1, 2))
    assert found == PlanTrial(("a", "b"), False, 1, 2)


class Old:
    """A TensorRT 8.6: its networks have no types."""

    def __getattr__(self, name: str) -> Any:
        if name == "NetworkDefinitionCreationFlag":
            return SimpleNamespace(EXPLICIT_BATCH=0)
        return getattr(api.load(), name)


@needs_nvidia
def test_an_old_tensorrt_is_not_given_what_it_would_get_wrong(lowered: Lowered) -> None:
    name, graph = next(iter(lowered.graphs.items()))
    old = PlanBuilder(Old(), memoryview(lowered.weights))
    with pytest.raises(EngineDeviceError, match=rf"path {name}: .*too old.*opset 20.*17 at most"):
        old.build(name, graph)
    plain = with_plain_weights(in_older_opset(lowered))
    assert old.build(name, plain.graphs[name])
    int8 = PlanBuilder(Old(), memoryview(plain.weights), precision="int8")
    with pytest.raises(EngineDeviceError, match=r"too old.*weights in int8.*fp32 or fp16"):
        int8.build(name, plain.graphs[name])


@needs_nvidia
@pytest.mark.parametrize("output", [1.2, -1.0, float("nan"), 1.001])
def test_a_shared_plan_that_computes_something_else_is_not_kept(
    lowered: Lowered, engine_file: Path, on_a_device: Shared, tmp_path: Path, output: float
) -> None:
    *depths, narrow = lowered.graphs
    on_a_device.outputs[depths[2]] = output
    result, plans = build(lowered, engine_file, tmp_path)
    (found,) = result["trials"]
    if output == 1.001:  # other kernels
        assert found["kept"]
        return
    assert not found["kept"]
    assert found["problem"].startswith(f"{depths[2]} computes something else")
    assert plans == {*depths, narrow}


@needs_nvidia
def test_whatever_fails_in_a_trial_the_plans_are_there(
    lowered: Lowered,
    engine_file: Path,
    on_a_device: Shared,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(work: Any) -> Any:
        assert work().kept  # the shared plan is written, and then the process ends
        raise RuntimeError("from a binding")

    monkeypatch.setattr(job, "in_own_process", fail)
    result, plans = build(lowered, engine_file, tmp_path)
    assert result["trials"][0]["problem"] == "RuntimeError: from a binding"
    assert plans == set(lowered.graphs)


def test_what_a_parser_refuses_keeps_its_nodes_between_processes() -> None:
    error = UnsupportedGraph("a", (Unsupported("layer/0/", "Unique", "no"),))
    again = pickle.loads(pickle.dumps(error))
    assert (again.nodes, str(again)) == (error.nodes, str(error))


def test_a_child_whose_parent_is_gone_ends() -> None:
    program = "from tipsc.backends.tensorrt.job import _die_with_parent; _die_with_parent(1)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 1


@needs_nvidia
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_depths_share_a_plan_in_each_precision(lowered: Lowered, precision: str) -> None:
    older = in_older_opset(lowered)
    images = np.random.default_rng(0).standard_normal((8, *lowered.signature.inputs[0].shape[1:]))
    precise = to_half(older) if precision == "fp16" else to_int8(older, [images.astype(np.float32)])
    plain = with_plain_weights(precise)
    builder = PlanBuilder(api.load(), memoryview(plain.weights), precision=precision)
    (group,) = depth_groups(plain.graphs)
    shared = builder.build("all", merge_graphs([plain.graphs[name] for name in group]))
    alone = [builder.build(name, plain.graphs[name]) for name in group]
    assert len(shared) < sum(map(len, alone))


def test_nodes_are_called_after_their_layers(lowered: Lowered) -> None:
    graph = onnx.load_from_string(lowered.graphs[next(iter(lowered.graphs))]).graph
    named = [node.name for node in graph.node if node.op_type == "Conv"]
    assert named[0].startswith("0/")
    assert len(set(named)) == len(named)
