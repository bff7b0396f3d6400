"""What the runtime exports, and what it does not import."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np

import tipsc.runtime
from tipsc.runtime import Engine

COMPILER = [
    "torch", "onnx", "onnx_ir", "onnxscript", "pydantic", "scipy", "matplotlib",
    "tipsc.dtmc", "tipsc.elastic", "tipsc.train", "tipsc.profile", "tipsc.lower", "tipsc.pipeline",
]  # fmt: skip


def test_the_public_names():
    assert sorted(tipsc.runtime.__all__) == [
        "CallLog",
        "CallRecord",
        "Context",
        "Engine",
        "Explanation",
        "Governor",
        "Latency",
        "Limits",
        "Manifest",
        "Mode",
        "Outlook",
        "PathEntry",
        "Reason",
        "Result",
        "SideBySide",
        "Signature",
        "Stream",
        "TensorSpec",
        "pick",
    ]
    assert all(hasattr(tipsc.runtime, name) for name in tipsc.runtime.__all__)


WITHOUT_COMPILER = """
import json, sys
blocked = json.loads(sys.argv[2])
sys.modules.update(dict.fromkeys(blocked))  # an import of one of them now fails
import numpy as np
from tipsc.runtime import Engine, Governor
with Engine.open(sys.argv[1]) as engine:
    x = np.load(sys.argv[3])
    y = engine.run(x, path=engine.pick(budget_ms=2.5))
    Governor(engine).run(x, budget_ms=100)
np.save(sys.argv[4], y)
roots = [name for name in blocked if sys.modules[name] is not None]
print(json.dumps(roots))
"""


def test_opening_and_running_needs_nothing_of_the_compiler(engine_file, image, tmp_path):
    np.save(tmp_path / "x.npy", image)
    command = [sys.executable, "-c", WITHOUT_COMPILER, str(engine_file), json.dumps(COMPILER)]
    command += [str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    printed = subprocess.check_output(command, text=True)
    assert json.loads(printed) == []
    with Engine.open(engine_file) as engine:
        expected = engine.run(image, path=engine.pick(budget_ms=2.5))
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected)


def test_importing_the_runtime_loads_nothing_of_the_compiler():
    # Nothing is blocked here: this is what an application with torch installed would see.
    code = "import json, sys, tipsc.runtime, tipsc.backends; print(json.dumps(list(sys.modules)))"
    loaded = json.loads(subprocess.check_output([sys.executable, "-c", code], text=True))
    assert set(COMPILER).isdisjoint(loaded)
    assert "onnxruntime" not in loaded  # loaded when an engine is opened
