"""The wheel, as a device or a PC gets it: built once, installed and tried on each Python.

``make wheel`` also installs PyTorch into each of them, a gigabyte apiece, and builds an engine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]
VERSIONS = ("3.10", "3.11", "3.12", "3.13")
CPU_ONLY = ("--extra-index-url", "https://download.pytorch.org/whl/cpu")


def python_of(version: str) -> str | None:
    """An interpreter: the one that runs this, one on the path, or one of pyenv's."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(root.glob(f"versions/{version}.*/bin/python"))
    for candidate in (shutil.which(f"python{version}"), *map(str, reversed(kept))):
        if candidate is not None and "VERSION" in done_by(candidate, "-c", "print('VERSION')"):
            return candidate
    return None


def done_by(*words: object, expect: int | None = None, cwd: Path | None = None) -> str:
    """What a command prints on stdout, away from the clone."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, env=environment, cwd=cwd, check=False
    )
    if expect is not None:
        assert done.returncode == expect, f"{words}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done_by(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, CLONE, expect=0)
    (file,) = folder.glob("tipsc-*.whl")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """pytest keeps the folders of its last runs, and these are large."""
    yield tmp_path
    shutil.rmtree(tmp_path / "env", ignore_errors=True)


def installed(version: str, folder: Path, *words: object) -> Path:
    """The commands of an environment of its own, into which pip has installed `words`."""
    python = python_of(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    done_by(python, "-m", "venv", "--without-pip", folder / "env", expect=0)
    binaries = folder / "env" / "bin"
    pip_install(binaries, *words)
    return binaries


def pip_install(binaries: Path, *words: object) -> None:
    pip = (sys.executable, "-m", "pip", "--python", binaries / "python", "install", "-q")
    done_by(*pip, "--no-compile", "--prefer-binary", *words, expect=0)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_wheel_runs_engines_without_torch(
    version: str, wheel: Path, built_engine: Path, folder: Path
) -> None:
    binaries = installed(version, folder, wheel)
    tipsc = binaries / "tipsc"
    assert "build" in done_by(tipsc, "--help", expect=0, cwd=folder)
    found = json.loads(done_by(tipsc, "doctor", "--format", "json", expect=0, cwd=folder))
    versions = {finding["name"]: finding["found"] for finding in found["findings"]}
    assert found["healthy"] and f" {version}." in versions["python"]
    assert versions["torch"] == "not installed" and "onnxruntime" in versions["host"]
    done_by(tipsc, "init", "new", "--task", "series", expect=0, cwd=folder)
    ran = (tipsc, "run", built_engine, "--random", 0, "--format", "json")
    assert json.loads(done_by(*ran, expect=0, cwd=folder))["path"]


@pytest.mark.skipif(not os.environ.get("TIPSC_SLOW"), reason="make wheel")
@pytest.mark.parametrize("version", VERSIONS)
def test_the_wheel_builds_engines(version: str, wheel: Path, folder: Path) -> None:
    # as docs/how-to/install.md says: PyTorch first, from the index of its CPU builds
    binaries = installed(version, folder, *CPU_ONLY, "torch>=2.13,<2.14")
    pip_install(binaries, f"tipsc[train] @ {wheel.as_uri()}")
    done_by(binaries / "tipsc", "init", "new", "--task", "regression", expect=0, cwd=folder)
    done_by(binaries / "tipsc", "build", "new", expect=0, cwd=folder)
    assert (folder / "new" / "my_model-host.tipsc").is_file()
