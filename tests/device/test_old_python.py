"""What an old device has to run needs no newer Python than it has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "tipsc"
#: what answers ``tipsc device info`` and ``tipsc device selftest``
OLD = (
    "__init__.py", "errors.py", "extras.py", "printable.py",
    "device/__init__.py", "device/agent.py", "device/jobs.py",
    "device/selftest.py", "measure/__init__.py", "measure/facts.py", "measure/gpu.py",
    "measure/jetson.py",
)  # fmt: skip


def needs(version: str, *files: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("vermin")
    command = [program, f"-t={version}-", "--no-tips", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_agent_and_what_tells_about_a_device_run_on_python_3_8() -> None:
    done = needs("3.8", *(PACKAGE / name for name in OLD))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "text", ["match 1:\n    case _: pass\n", "'a'.removeprefix('b')\n", "{1: 2} | {}\n"]
)
def test_what_newer_pythons_have_would_be_seen(text: str, tmp_path: Path) -> None:
    (tmp_path / "newer.py").write_text(text)
    assert needs("3.8", tmp_path / "newer.py").returncode != 0
