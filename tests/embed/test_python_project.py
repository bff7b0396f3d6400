"""The project that tipsc embed writes in Python: it runs as it is, and says how it goes."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tipsc.embed import LANGUAGES, write_project
from tipsc.engine import read_engine, write_engine
from tipsc.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "main.py", "--seconds", "2.5", *map(str, words)]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def test_it_runs_as_it_is(engine_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "app"
    files = write_project(engine_file, "python", folder).files
    assert {file.name for file in files} == {
        "main.py", "requirements.txt", "README.md", "engine.tipsc",
    }  # fmt: skip
    assert (folder / "engine.tipsc").read_bytes() == engine_file.read_bytes()
    done = run(folder, "--fps", 50, "--calls", "calls.jsonl")
    assert done.returncode == 0, done.stderr
    calls = [json.loads(line) for line in (folder / "calls.jsonl").read_text().splitlines()]
    # Budgets are what is left of a frame's time, so that some frames may be skipped, but not most.
    assert 30 < len(calls) <= 126
    assert all(0 < call["budget_ms"] <= 0.81 * 1000 / 50 for call in calls)
    assert f"{len(calls)} frames" in done.stderr.splitlines()[-1]
    assert "slowdown" in done.stderr  # a line a second
    paths = {path.id for path in read_engine(engine_file).manifest.paths}
    assert {call["path"] for call in calls} <= paths


def test_its_code_is_as_this_project_s_own(engine_file: Path, tmp_path: Path) -> None:
    write_project(engine_file, "python", tmp_path / "app")
    command = [sys.executable, "-m", "ruff", "check", "--config", ROOT / "pyproject.toml"]
    done = subprocess.run(
        [*map(str, command), str(tmp_path / "app" / "main.py")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_a_key_is_asked_for_where_one_is_given(engine_file: Path, tmp_path: Path) -> None:
    write_project(engine_file, "python", tmp_path / "app")
    (tmp_path / "key.pub").write_bytes(b"none")
    done = run(tmp_path / "app", "--key", tmp_path / "key.pub")
    assert done.returncode != 0 and "not a public key of Ed25519" in done.stderr


def test_signatures_come_along(engine_file: Path, tmp_path: Path) -> None:
    engine_file.with_name(engine_file.name + ".sig").write_bytes(b"signed")
    files = write_project(engine_file, "python", tmp_path / "app").files
    assert tmp_path / "app" / "engine.tipsc.sig" in files
    assert (tmp_path / "app" / "engine.tipsc.sig").read_bytes() == b"signed"


def changed(engine: Path, file: Path, **changes: Any) -> Path:
    found = read_engine(engine)
    manifest = dataclasses.replace(found.manifest, **changes)
    write_engine(file, manifest, found.weights, {p: found.graph(p) for p in found.order})
    return file


def test_names_of_an_engine_open_no_code(engine_file: Path, tmp_path: Path) -> None:
    name = '"""\nimport os; os.abort()\n`$(false)` | <script> ${engine}'
    hostile = changed(engine_file, tmp_path / "h.tipsc", name=name, target=name)
    write_project(hostile, "python", tmp_path / "app")
    assert run(tmp_path / "app").returncode == 0
    readme = (tmp_path / "app" / "README.md").read_text()
    assert "<script>" not in readme and "$(" not in readme


def test_an_engine_without_latencies_is_refused(engine_file: Path, tmp_path: Path) -> None:
    manifest = read_engine(engine_file).manifest
    paths = tuple(dataclasses.replace(path, latency=None) for path in manifest.paths)
    unmeasured = changed(engine_file, tmp_path / "u.tipsc", paths=paths)
    with pytest.raises(UsageError, match="no path of this engine has a measured latency"):
        write_project(unmeasured, "python", tmp_path / "app")
    assert not (tmp_path / "app").exists()


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_there_is_not_overwritten(engine_file: Path, tmp_path: Path, language: str) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"there is one already.*name another folder by -o"):
        write_project(engine_file, language, tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_language_that_is_not_there_is_refused(engine_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no project is written in 'cobol'; known: "):
        write_project(engine_file, "cobol", tmp_path)


def test_a_slow_engine_gets_a_slow_camera(engine_file: Path, tmp_path: Path) -> None:
    manifest = read_engine(engine_file).manifest
    paths = tuple(
        dataclasses.replace(path, latency=dataclasses.replace(path.latency, p95_ms=400.0))
        for path in manifest.paths
        if path.latency
    )
    write_project(changed(engine_file, tmp_path / "s.tipsc", paths=paths), "python", tmp_path)
    assert "default=2)" in (tmp_path / "main.py").read_text()  # 400 ms and a fifth of the time
