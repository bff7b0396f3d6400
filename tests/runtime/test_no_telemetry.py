"""What a run leaves in the user's home: nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

OPEN = """
    import sys
    import numpy as np
    from tipsc.runtime import Engine
    with Engine.open(sys.argv[1]) as engine:
        spec = engine.manifest.signature.inputs[0]
        engine.run(np.zeros(spec.shape, spec.dtype), path=engine.paths[0])
"""


def files_left(code: str, home: Path, *arguments: str, **environment: str) -> list[str]:
    home.mkdir()
    known = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "TMPDIR")}
    places = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    subprocess.run(command, env=known | places | environment, check=True)
    return [str(file.relative_to(home)) for file in home.rglob("*") if file.is_file()]


def test_opening_and_running_leaves_no_file_in_the_home(engine_file, tmp_path):
    assert files_left(OPEN, tmp_path / "home", str(engine_file)) == []


def test_what_is_switched_off_is_there_otherwise(tmp_path):
    """Or else the other test shows nothing."""
    if not files_left("import onnxruntime", tmp_path / "home"):
        pytest.skip("this ONNX Runtime leaves nothing by itself")


def test_who_wants_the_telemetry_keeps_it():
    code = "import os, tipsc; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, expected in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        known = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
        found = subprocess.check_output([sys.executable, "-c", code], env=known | given, text=True)
        assert found.strip() == expected
