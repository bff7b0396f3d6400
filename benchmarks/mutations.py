"""Whether the tests notice a gate that does not stop what it is there to stop.

    python benchmarks/mutations.py [WORD ...] [--json benchmarks/results/mutations.json]

Each entry of ``mutations.yaml`` breaks one gate of a copy of the package, by replacing text, and
runs the tests that should fail then. "stopped" is right; "SURVIVED" means that the gate could go
without anybody noticing. With words, only the gates whose file or text has one of them.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx  # noqa: F401, loaded once for all tests
import onnxruntime  # noqa: F401
import pytest
import torch  # noqa: F401
import yaml

ROOT = Path(__file__).resolve().parents[1]
#: what a copy needs to run tests in
PARTS = ("tipsc", "tests", "targets", "profiles", "examples", "docs", "pyproject.toml", "README.md")
TABLE = Path(__file__).with_suffix(".yaml")
_FAILED, _PASSED = 1, 0  # exit codes of pytest; others mean that it could not run


@dataclass(frozen=True)
class Mutation:
    """A gate, broken.

    Attributes:
        file: under ``tipsc/``.
        before, after: text of the file that stands there once, and what it becomes.
        tests: arguments of pytest, at least one of which must fail then.
    """

    file: str
    before: str
    after: str
    tests: str

    def applied(self, source: str) -> str:
        """The source, broken.

        Raises:
            ValueError: the text does not stand there just once; the table is out of date.
        """
        if source.count(self.before) != 1:
            raise ValueError(f"{self.file} has {self.before!r} {source.count(self.before)} times")
        return source.replace(self.before, self.after)

    def __str__(self) -> str:
        return f"{self.file}: {' '.join(self.before.split())} -> {' '.join(self.after.split())}"


def table(file: Path = TABLE) -> list[Mutation]:
    """Of the YAML beside this file."""
    return [
        Mutation(part["file"], gate["before"], gate["after"], part["tests"])
        for part in yaml.safe_load(file.read_text())
        for gate in part["gates"]
    ]


def outcome(folder: Path, tests: str) -> int:
    """The exit code of pytest in a copy; it stops at the first test that fails.

    A fork of this process, which has the large libraries and nothing of the package.
    """
    child = os.fork()
    if not child:
        os.chdir(folder)
        sys.path.insert(0, str(folder))
        os.environ["PYTHONPATH"] = str(folder)  # of the processes that tests start
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *shlex.split(tests)])))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def copied(folder: Path) -> None:
    """What tests need, as it stands in the repository."""
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "runs", "*.tipsc", "*.tipsc-cache")
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)


def judge(mutation: Mutation, folder: Path) -> str:
    """How the tests take it: "stopped", "SURVIVED", or why that cannot be told."""
    file = folder / "tipsc" / mutation.file
    source = file.read_text()
    try:
        file.write_text(mutation.applied(source))
    except ValueError as error:
        return f"OUT OF DATE: {error}"
    try:
        code = outcome(folder, mutation.tests)
    finally:
        file.write_text(source)
    return {_FAILED: "stopped", _PASSED: "SURVIVED"}.get(code, f"NOT RUN: pytest ended with {code}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    chosen = [m for m in table() if not options.words or any(w in str(m) for w in options.words)]
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="tipsc-") as name:
        folder = Path(name)
        copied(folder)
        for tests in sorted({mutation.tests for mutation in chosen}):
            if outcome(folder, tests) != _PASSED:
                parser.error(f"without any mutation, {tests} does not pass")
        for mutation in chosen:
            found[str(mutation)] = judge(mutation, folder)
            print(f"{found[str(mutation)]:9} {mutation}", flush=True)
    stopped = sum(text == "stopped" for text in found.values())
    print(f"{stopped} of {len(found)} stopped")
    if options.json:
        options.json.write_text(json.dumps({"gates": found}, indent=1) + "\n")
    return int(stopped < len(found))


if __name__ == "__main__":
    sys.exit(main())
