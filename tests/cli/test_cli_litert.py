"""The command with an engine of LiteRT, whose library speaks when a process ends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "compile"))

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")

from plain_tflite import engine_of, two_widths

from tipsc.compile.tflite.merge import merge
from tipsc.engine import Manifest, read_engine, write_tflite_engine
from tipsc.quality import Quality

Tipsc = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = two_widths()
    return engine_of(
        tmp_path_factory.mktemp("litert") / "two.tipsc", merge(models).model, list(models)
    )


def test_the_last_line_of_stderr_is_the_error(tipsc: Tipsc, engine: Path) -> None:
    done = tipsc("run", engine, "--random", "1", "--budget-ms", "1e-9", "--format", "json")
    assert done.returncode == 2
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["kind"] == "BudgetError"
    fine = tipsc("run", engine, "--random", "1", "--format", "json", "--quiet")
    assert fine.returncode == 0
    assert fine.stderr == ""


def test_of_two_paths_that_are_as_accurate_the_faster_runs(
    tipsc: Tipsc, engine: Path, tmp_path: Path
) -> None:
    read = read_engine(engine)
    paths = tuple(
        replace(path, quality=Quality("accuracy", 0.9, "share")) for path in read.manifest.paths
    )
    manifest: Manifest = replace(read.manifest, paths=paths)
    write_tflite_engine(tmp_path / "even.tipsc", manifest, read.weights)
    done = tipsc("run", tmp_path / "even.tipsc", "--random", "1", "--format", "json")
    assert json.loads(done.stdout)["path"] == manifest.paths[0].id
