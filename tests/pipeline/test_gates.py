"""What a build must stop: each gate is given what it is there for, and the build ends there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from tipsc.backends import finisher
from tipsc.backends.tensorrt import api
from tipsc.compile import Job, compile_candidates
from tipsc.convert import check, convert
from tipsc.convert.given import given_of
from tipsc.elastic import CostModel
from tipsc.engine import read_engine, write_engine
from tipsc.errors import BudgetError, ConversionError, VerificationError
from tipsc.lower import Lowered
from tipsc.pipeline import choose, engine, finish
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.limits import SearchRecord
from tipsc.project.target import load_target
from tipsc.runtime import Engine

FILES = {
    "model.py": """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv1d(1, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU())
        self.inner = nn.Sequential(
            nn.Conv1d(8, 24, 3, padding=1, bias=False), nn.BatchNorm1d(24), nn.ReLU(),
            nn.Conv1d(24, 8, 3, padding=1, bias=False), nn.BatchNorm1d(8),
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.stem(x)
        return self.head((x + self.inner(x)).mean(2))


def load():
    net = Net().train()
    with torch.no_grad():
        net(torch.randn(64, 1, 8, generator=torch.Generator().manual_seed(3)))
    return net.eval()
""",
    "data.py": """
import torch
from tipsc.tasks import Classification
from tipsc.train import Data, Split


def load():
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(900) % 4
    x = 0.3 * torch.randn(900, 1, 8, generator=generator) + y[:, None, None] / 2 - 0.75
    splits = (Split(x[i:i + 300], y[i:i + 300]) for i in (0, 300, 600))
    return Data(*splits, Classification(tuple("abcd")))
""",
    "half.yaml": """
name: half
description: of a test
backend: onnxruntime
precision: fp16
""",
}
BUILD = {"paths": 2, "measured": 10, "evaluations": 4, "verify_examples": 200}


def configure(folder: Path, train: Mapping[str, Any] | None = None, **keys: Any) -> Path:
    config = {
        "name": "tiny",
        "model": {"callable": "model.py:load"},
        "data": {"callable": "data.py:load"},
        "train": {
            "epochs": 5,
            "frozen_epochs": 1,
            "batch_size": 16,
            "learning_rate": 0.01,
            "teacher_share": 0.0,  # the original has learned nothing
            **(train or {}),
        },
        "convert": {"widths": [0.25, 0.5, 1.0]},
        "build": {**BUILD, **keys},
    }
    (folder / "tipsc.yaml").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose paths are profiled, chosen and trained for all targets."""
    folder = tmp_path_factory.mktemp("trained")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    configure(folder)
    for target in ("host", str(folder / "half.yaml")):
        Pipeline(folder, target).weights()
    Pipeline(folder, "jetson-int8").weights()
    return folder


@pytest.fixture
def project(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "project"))


def engine_of(project: Path, target: str = "host", **keys: Any) -> Path:
    """The engine alone, without a page: what is before it was done already."""
    pipeline = Pipeline(configure(project, **keys), target)
    pipeline.engine()
    return pipeline.output


def pushed(compile_paths: Callable[[Job], Any], by: float) -> Callable[[Job], Lowered]:
    """A compiler that makes one class of one path too likely."""

    def compile_wrong(job: Job) -> Lowered:
        lowered: Lowered = compile_paths(job)
        path, graph = next(iter(lowered.graphs.items()))
        model = onnx.load_from_string(graph)
        for node in model.graph.node:
            node.output[:] = ["before" if name == "output" else name for name in node.output]
        push = numpy_helper.from_array(np.array([[by, 0, 0, 0]], np.float32), "push")
        model.graph.initializer.append(push)
        model.graph.node.append(helper.make_node("Add", ["before", "push"], ["output"]))
        return replace(lowered, graphs={**lowered.graphs, path: model.SerializeToString()})

    return compile_wrong


def test_a_build_stops_where_a_path_is_not_torch_s(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "compile_candidates", pushed(compile_candidates, 0.01))
    with pytest.raises(VerificationError, match="something else than torch"):
        engine_of(project)
    assert not list(project.glob("*.tipsc"))  # what is wrong does not lie there
    assert engine_of(project, tolerance=0.5).is_file()


def test_a_build_stops_where_a_rounded_path_loses_too_much(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "compile_candidates", pushed(compile_candidates, 0.4))
    target = str(project / "half.yaml")
    with pytest.raises(VerificationError, match="loses too much accuracy"):
        engine_of(project, target, quantised_loss=0.0)
    assert engine_of(project, target, quantised_loss=0.9).is_file()


def test_a_build_without_the_device_stops_as_well(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "compile_candidates", pushed(compile_candidates, 0.4))
    monkeypatch.setattr(finisher("tensorrt"), "installed", lambda: None)
    for target, allowed in (
        ("jetson", {"tolerance": 0.5}),
        ("jetson-int8", {"quantised_loss": 0.9}),
    ):
        with pytest.raises(VerificationError, match=r"something else than torch|too much accuracy"):
            Pipeline(configure(project, quantised_loss=0.0), target).engine()
        assert not list(project.glob(f"*-{target}.tipsc"))
        Pipeline(configure(project, **allowed), target).engine()
        assert list(project.glob(f"*-{target}.tipsc"))


@pytest.mark.skipif(api.installed() is None, reason="tensorrt-rtx-cu12 has no wheel here")
def test_a_path_that_nvidia_s_builder_refuses_stops_the_build(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_wrong(job: Job) -> Lowered:
        lowered = compile_candidates(job)
        assert isinstance(lowered, Lowered)
        path, graph = next(iter(lowered.graphs.items()))
        model = onnx.load_from_string(graph)
        (node,) = (n for n in model.graph.node if "output" in n.output)
        node.output[:] = ["before"]
        # Computes the same in ONNX Runtime; TensorRT has no such operator for floats.
        model.graph.node.append(helper.make_node("Unique", ["before"], ["values", "", "places"]))
        model.graph.node.append(helper.make_node("Gather", ["values", "places"], ["flat"]))
        shape = numpy_helper.from_array(np.array([1, 4]), "shape")
        model.graph.initializer.append(shape)
        model.graph.node.append(helper.make_node("Reshape", ["flat", "shape"], ["output"]))
        return replace(lowered, graphs={**lowered.graphs, path: model.SerializeToString()})

    monkeypatch.setattr(engine, "compile_candidates", compile_wrong)
    with pytest.raises(VerificationError, match=r"refuses 1 of 2 paths.*Unique"):
        Pipeline(configure(project), "jetson").engine()
    assert not list(project.glob("*-jetson.tipsc"))


def test_a_finished_engine_that_exceeds_a_limit_is_no_engine(project: Path) -> None:
    size = engine_of(project).stat().st_size
    with pytest.raises(BudgetError, match="larger than this limit"):
        engine_of(project, limits={"file_bytes": size / 2})
    assert engine_of(project, limits={"file_bytes": 2 * size}).is_file()


def test_two_paths_within_the_noise_are_not_both_chosen(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(configure(project, train={"narrow": 0.0}, paths=3), "host")
    pipeline.searched()
    times = {"a": (0.5, 10.0), "b": (0.69, 10.1), "c": (0.7, 15.0), "d": (0.8, 20.0)}
    records = {k: SearchRecord(k, merit, ms, True) for k, (merit, ms) in times.items()}
    monkeypatch.setattr(choose, "load_records", lambda folder: records)
    for noise, expected in ((0.0, ["a", "b", "d"]), (0.05, ["a", "c", "d"])):
        profile = SimpleNamespace(noise_floor=SimpleNamespace(p95=noise))
        monkeypatch.setattr(choose, "load_profile", lambda _, profile=profile: profile)
        assert [s.path_id for s in choose.select(pipeline)] == expected


class Elsewhere:
    """A device whose plans are the portable graphs, but for what one path puts out."""

    def __init__(self, file: Path, wrong: float) -> None:
        self.file, self.wrong = file, wrong

    @contextmanager
    def opened(self, *_: object) -> Iterator[Any]:
        with Engine.open(self.file) as engine:
            last = engine.paths[-1].id

            def run(example: list[np.ndarray], path: str) -> list[np.ndarray]:
                output: np.ndarray = engine.run(example, path=path)
                return [output * np.float32(self.wrong if path == last else 1.0)]

            yield run


@pytest.mark.parametrize("wrong", [1.0, 1.01, -1.0, np.nan, np.inf, 0.0])
def test_plans_that_compute_something_else_than_their_graphs_are_refused(
    project: Path, tmp_path: Path, wrong: float
) -> None:
    file = engine_of(project)
    ours, tolerance = read_engine(file), finish.TOLERANCES["fp32"]
    draft = tmp_path / "draft.tipsc"
    graphs = {path.id: ours.graph(path.id) for path in ours.manifest.paths}
    write_engine(draft, ours.manifest, bytes(ours.weights), graphs)
    device: Any = Elsewhere(draft, wrong)
    found = finish._compare(ours, draft, load_target("host"), device, tmp_path)
    if wrong == 1.0:
        finish._judge(found, tolerance)
        return
    with pytest.raises(VerificationError, match="1 plans compute something else"):
        finish._judge(found, tolerance)


def test_a_conversion_that_computes_something_else_is_refused() -> None:
    torch.manual_seed(0)
    model, x = (
        nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval(),
        torch.randn(2, 8),
    )
    supernet = convert(model, x)
    costs, given = CostModel(supernet), given_of(model, x)
    check.check_same(model, supernet, given)
    check.check_paths(supernet, costs, given.first(1))
    for wrong in (1e-4, np.nan):
        hook = supernet.register_forward_hook(lambda *a, wrong=wrong: a[-1] + wrong)
        with pytest.raises(ConversionError, match="computes something else"):
            check.check_same(model, supernet, given)
        with pytest.raises(ConversionError, match="does not equal its extraction"):
            check.check_paths(supernet, costs, given.first(1))
        hook.remove()
