"""``benchmarks/gpu.py`` from one end to the other, on what stands for TensorRT and for CUDA."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_engine import Net

from tipsc.engine import write_engine

HERE = Path(__file__).parent
GPU = HERE.parents[1] / "benchmarks" / "gpu.py"
CHECKS = (
    "machine", "tensorrt", "cuda 0", "build tiny", "outputs tiny", "one plan tiny", "refit",
    "training",
)  # fmt: skip


@pytest.fixture
def with_stand_ins(tmp_path: Path) -> dict[str, str]:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is here")
    source, library = HERE / "stand_in_cudart.c", tmp_path / "cuda" / "libcudart.so"
    library.parent.mkdir()
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return {
        **os.environ,
        "PYTHONPATH": str(HERE / "stand_ins"),
        "LD_LIBRARY_PATH": str(library.parent),
        "OMP_NUM_THREADS": "1",
    }


def results_of(folder: Path, environment: dict[str, str], *arguments: object) -> dict[str, dict]:
    command = [sys.executable, GPU, "--results", folder, *arguments]
    subprocess.run([str(word) for word in command], env=environment, check=True)
    assert "| machine | ok |" in (folder / "gpu.md").read_text()
    return {one["name"]: one for one in json.loads((folder / "gpu.json").read_text())}


def test_plans_are_built_run_and_compared(
    net: Net, tmp_path: Path, with_stand_ins: dict[str, str]
) -> None:
    graphs = {
        "shallow": net.graph(net.options(3, full=False), seed=0),
        "full": net.graph(net.options(3), seed=1),
    }
    file = tmp_path / "tiny.tipsc"
    manifest = replace(net.manifest(list(graphs)), backend="tensorrt", recipe={"precision": "fp32"})
    write_engine(file, manifest, net.store.blob, graphs)
    arrays = {"input.0": np.zeros((1, 3, 16, 16), np.float32)}
    arrays["shallow.0"] = arrays["full.0"] = np.full((1, 10), 1e6, np.float32)  # not what they give
    np.savez(file.with_suffix(".npz"), **arrays)
    only = [*CHECKS, *(f"refused {how}" for how in ("version", "GPU", "damaged", "cut"))]
    found = results_of(tmp_path / "out", with_stand_ins, "--engine", file, "--only", *only)
    status = {name: one["status"] for name, one in found.items()}
    absent = ("one plan tiny", "refit", "training")
    assert status == {
        name: "failed" if name == "outputs tiny" else "absent" if name in absent else "ok"
        for name in only
    }
    assert found["build tiny"]["figures"]["plans"] == 2
    assert "a path is off by" in found["outputs tiny"]["words"]
    assert "another version" in found["refused version"]["figures"]["said"]


def test_what_ends_a_process_is_told_and_the_next_check_is_made(
    tmp_path: Path, with_stand_ins: dict[str, str]
) -> None:
    broken = tmp_path / "broken" / "tensorrt"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("import ctypes\nctypes.string_at(0)\n")
    environment = {**with_stand_ins, "PYTHONPATH": str(broken.parent)}
    found = results_of(
        tmp_path / "out", environment, "--only", "machine", "tensorrt", "cuda 0", "cuda 3"
    )
    assert [one["status"] for one in found.values()] == ["ok", "failed", "ok", "absent"]
    assert "ended by signal 11" in found["tensorrt"]["words"]
