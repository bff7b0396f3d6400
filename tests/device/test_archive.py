"""The archive that a device gets has all that its jobs import."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tipsc.backends import BACKENDS
from tipsc.device.archive import runtime_archive
from tipsc.device.jobs import all_jobs


def files() -> dict[str, ast.Module]:
    """By module, what the archive has of it."""
    with zipfile.ZipFile(io.BytesIO(runtime_archive())) as archive:
        return {
            name[:-3].replace("/", ".").removesuffix(".__init__"): ast.parse(archive.read(name))
            for name in archive.namelist()
        }


def imported(tree: ast.Module) -> set[str]:
    """Modules of tipsc's, also those that a function imports; not those for types only."""
    found: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        waiting += ast.iter_child_nodes(node)
    return {name for name in found if name.split(".")[0] == "tipsc"}


@pytest.mark.parametrize("start", sorted({place.split(":")[0] for place in all_jobs().values()}))
def test_all_that_a_job_imports_travels(start: str) -> None:
    there, known, waiting = files(), set[str](), [start, *map(module_of, BACKENDS)]
    while waiting:
        module = waiting.pop()
        if module not in known:
            assert module in there, f"{module} is imported on a device, and not in the archive"
            known.add(module)
            waiting += imported(there[module])
    assert len(known) > 10


def module_of(backend: str) -> str:
    return BACKENDS[backend].runs


CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import tipsc
assert tipsc.__file__.startswith(sys.argv[1]), tipsc.__file__
import tipsc.errors, tipsc.extras, tipsc.runtime, tipsc.device.jobs, tipsc.device.benching
import tipsc.backends.onnxruntime, tipsc.backends.apart, tipsc.backends.tensorrt.job
tipsc.errors.MissingExtraError.of("a package", None, "this")
"""


def test_the_archive_imports_nothing_that_is_not_in_it(tmp_path: Path):
    archive = tmp_path / "tipsc.zip"
    archive.write_bytes(runtime_archive())
    subprocess.run([sys.executable, "-c", CODE, str(archive)], check=True)
