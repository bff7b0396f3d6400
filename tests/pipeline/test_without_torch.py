"""What a device does by itself needs no torch there: finishing an engine, measuring it."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
sys.modules["torch"] = sys.modules["onnx"] = None  # importing them fails
import {module}
"""


@pytest.mark.parametrize(
    "module", ["tipsc.pipeline.finish", "tipsc.pipeline.bench", "tipsc.pipeline.device_report"]
)
def test_it_imports_neither_torch_nor_onnx(module: str) -> None:
    program = PROGRAM.format(module=module)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
