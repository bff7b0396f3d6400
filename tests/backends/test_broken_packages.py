"""A package that is there and cannot be loaded is not called missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPEN = """
import sys
from tipsc.errors import TipscError
try:
    from tipsc.backends import onnxruntime
except TipscError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "raise ImportError('libgomp.so.1: cannot open shared object file')",
            "MissingExtraError the package onnxruntime cannot be loaded: libgomp.so.1",
        ),
        ("import no_such_part", "MissingExtraError the package onnxruntime cannot be loaded"),
        (
            "raise ModuleNotFoundError('none', name='onnxruntime')",
            "MissingExtraError the backend onnxruntime needs the package onnxruntime, which is not",
        ),
    ],
)
def test_a_broken_library_is_not_called_missing(code: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text(code)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", OPEN],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(says), done.stdout + done.stderr
