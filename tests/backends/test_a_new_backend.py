"""A backend is one file and one line in the table: everything else works with it."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tipsc
from tipsc.backends import BACKENDS
from tipsc.backends.reference import REFERENCE, ReferenceExecutor
from tipsc.device.doctor import examine
from tipsc.device.new_target import target_text
from tipsc.engine import read_engine
from tipsc.errors import EngineDamagedError, VerificationError
from tipsc.pipeline.build import Pipeline
from tipsc.profile import Profile
from tipsc.runtime import Engine

ROOM = Path(tipsc.__file__).parent
FILES = {
    "tipsc.yaml": """
name: tiny
model: {callable: "model.py:load"}
data: {callable: "data.py:load"}
train: {epochs: 1, frozen_epochs: 0}
build: {paths: 2, measured: 10, evaluations: 3, verify_examples: 20}
""",
    "model.py": """
import torch
def load():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)
    ).eval()
""",
    "data.py": """
import torch
from tipsc.tasks import Classification
from tipsc.train import Data, Split
def load():
    x = torch.randn(300, 8, generator=torch.Generator().manual_seed(1))
    y = x[:, :4].argmax(1)
    splits = (Split(x[i:i+100], y[i:i+100]) for i in (0, 100, 200))
    return Data(*splits, Classification(tuple("abcd")))
""",
    "slow.yaml": """
name: slow
description: of a test
backend: reference
measure: {pin: none, warm_up_ms: 0, rounds: 4, batch_ms: 0.1}
""",
}


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS, REFERENCE.name, REFERENCE)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_it_compiles_verifies_measures_and_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(project, str(project / "slow.yaml"))
    built = pipeline.run()
    assert built.measured is not None
    assert Profile.load(built.measured.file).backend.name == "reference"
    manifest = read_engine(built.engine).manifest
    assert manifest.backend == "reference"
    assert all(path.latency is not None for path in manifest.paths)
    x = pipeline.data.test.inputs[:1].numpy()
    with Engine.open(built.engine) as engine:
        outputs = {path.id: engine.run(x, path=path.id) for path in engine.paths}
    assert len({output.tobytes() for output in outputs.values()}) == len(outputs) == 2

    # What it computes is compared with torch: a wrong backend ends the build.
    run = ReferenceExecutor.run
    monkeypatch.setattr(
        ReferenceExecutor, "run", lambda self, feeds: [y + np.float32(1) for y in run(self, feeds)]
    )
    config = project / "tipsc.yaml"
    config.write_text(config.read_text().replace("evaluations", "tolerance: 0.001, evaluations"))
    with pytest.raises(VerificationError, match="something else than torch"):
        Pipeline(project, str(project / "slow.yaml")).engine()


def test_it_is_examined_and_gets_targets() -> None:
    (found,) = (f for f in examine().findings if (f.group, f.name) == ("backends", "reference"))
    assert found.status == "ok"
    info = {"backends": {"onnx": "1.19"}, "architecture": "made up"}
    assert "extends: host" in target_text("made-up", info)


def test_an_engine_that_holds_something_else_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline(project, str(project / "slow.yaml"))
    pipeline.engine()
    monkeypatch.setitem(BACKENDS, "reference", replace(REFERENCE, form="tflite"))
    with pytest.raises(EngineDamagedError, match="holds something else than it runs"):
        Engine.open(pipeline.output)


#: beside its folder: the table, what brings its packages, what an application needs of a system,
#: and the form that its parser wants
KNOW_TENSORRT = {"backends/table.py", "embed/facts.py", "extras.py", "lower/plain.py"}


def test_a_backend_stands_by_name_in_the_table_and_nowhere_else() -> None:
    """Of TensorRT, which takes most: its name is in no text of the program beside its folder."""
    found = set()
    for file in sorted(ROOM.rglob("*.py")):
        tree = ast.parse(file.read_text())
        told = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}  # docstrings
        texts = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in told)
        if any(isinstance(n.value, str) and "tensorrt" in n.value.lower() for n in texts):
            found.add(str(file.relative_to(ROOM)))
    assert {name for name in found if not name.startswith("backends/tensorrt/")} == KNOW_TENSORRT
