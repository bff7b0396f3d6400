"""TensorRT 8.6 itself, from ``make tensorrt86``: its names, and what it says without a GPU."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from test_tensorrt_names import EXPECTED, VERSIONS

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".tensorrt86" / "bin" / "python"
no_gpu = pytest.mark.skipif(any(Path("/dev").glob("nvidia*")), reason="a GPU is here")
pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="make tensorrt86 was not run")

FOUND = """
import json
from dataclasses import asdict
from tipsc.backends.tensorrt import api, check
from tipsc.backends.tensorrt.execute import choose
found = api.probe(api.load())
print("ANSWER" + json.dumps([dict(check()), asdict(found), asdict(choose(found))]))
"""
BUILDER = """
from tipsc.backends.tensorrt import api
from tipsc.backends.tensorrt.plans import PlanBuilder
PlanBuilder(api.load(), memoryview(b""))
"""


def said(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PYTHON, "-c", program], cwd=ROOT, capture_output=True, text=True)


def test_its_capabilities_are_those_of_the_list_of_names() -> None:
    done = said(FOUND)
    assert done.returncode == 0, done.stderr
    versions, capabilities, choices = json.loads(done.stdout.partition("ANSWER")[2])
    assert versions == {"tensorrt": "8.6.0", "module": "tensorrt"}
    assert capabilities == {name: first == VERSIONS[0] for name, (first, _) in EXPECTED.items()}
    assert choices == {
        "context": "without_memory",
        "memory": "device_memory",
        "size": "device_memory_size",
    }


@no_gpu
def test_its_builder_says_what_it_needs() -> None:
    done = said(BUILDER)
    assert done.returncode == 1
    assert "the builder of tensorrt 8.6.0 does not start" in done.stderr
    assert "it needs a GPU" in done.stderr


@no_gpu
def test_the_benchmark_of_gpus_goes_to_its_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [PYTHON, ROOT / "benchmarks" / "gpu.py", "--engines", tmp_path, "--results", tmp_path],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "gpu.json").read_text())
    status = {result["name"]: result["status"] for result in results}
    assert status["machine"] == status["tensorrt"] == "ok"
    assert set(status.values()) == {"ok", "absent"}, results
