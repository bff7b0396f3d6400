"""The project that tipsc embed writes in Kotlin, built and run by the commands of its README."""

from __future__ import annotations

import shlex
import signal
import subprocess
from pathlib import Path

import pytest
from building import EMBED, run
from kotlin_program import compiler, compiler_jars
from library import runtime_of_litert, runtime_of_package
from synthetic_engine import Net

from tipsc.embed import LANGUAGES, write_project
from tipsc.engine import Latency, write_engine
from tipsc.report.trace import read_trace


@pytest.fixture(scope="module")
def kotlin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as that of a Kotlin compiler; warnings are errors here."""
    folder = tmp_path_factory.mktemp("a compiler")
    (folder / "bin").mkdir()
    (folder / "lib").mkdir()
    (folder / "lib" / "kotlin-stdlib.jar").symlink_to(compiler_jars()[1])
    script = folder / "bin" / "kotlinc"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(compiler())} "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def app(
    kotlin: Path, net: Net, graphs: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a project that is built."""
    folder = tmp_path_factory.mktemp("project") / "app"
    engine = folder.parent / "tiny.tipsc"
    write_engine(engine, net.manifest(list(graphs)), net.store.blob, graphs)
    return built_project(engine, kotlin, folder)


def built_project(engine: Path, kotlin: Path, folder: Path) -> Path:
    """`folder`, with the project that is built by the commands of its README."""
    write_project(engine, "kotlin", folder)
    readme = (folder / "README.md").read_text()
    for command in LANGUAGES["kotlin"].run:
        assert command in readme
    for command in commands(kotlin)[:-1]:
        run(["sh", "-c", command], cwd=folder)
    return folder


def commands(kotlin: Path, runtime: str = "") -> list[str]:
    """Those of the README, with what its capital words stand for."""
    return [
        command.replace("$TIPSC", shlex.quote(str(EMBED.parent)))
        .replace("$KOTLIN", shlex.quote(str(kotlin)))
        .replace("$RUNTIME", shlex.quote(runtime or runtime_of_package()))
        for command in LANGUAGES["kotlin"].run
    ]


def started(app: Path, kotlin: Path, *words: object, runtime: str = "") -> subprocess.Popen[str]:
    command = commands(kotlin, runtime)[-1].replace("--seconds 5", "")
    line = f"exec {command} {shlex.join(map(str, words))}"
    return subprocess.Popen(["sh", "-c", line], cwd=app, stderr=subprocess.PIPE, text=True)


def test_it_builds_and_runs_as_it_is(app: Path, kotlin: Path) -> None:
    process = started(app, kotlin, "--seconds", 2.5, "--fps", 50, "--calls", "run.jsonl")
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    trace = read_trace(app / "run.jsonl")  # what Python reads of it
    assert 30 < len(trace.calls) <= 126
    assert all(0 < call.budget_ms <= 0.81 * 1000 / 50 for call in trace.calls)
    assert said.splitlines()[-1] == f"{len(trace.calls)} frames in all"
    assert "late, slowdown" in said


def test_an_engine_of_a_tflite_runs_by_litert(kotlin: Path, tmp_path: Path) -> None:
    """By the library of the Python package, as the README says."""
    pytest.importorskip("ai_edge_litert")
    from plain_tflite import engine_of, two_widths

    from tipsc.compile.tflite.merge import merge

    engine = engine_of(
        tmp_path / "plain.tipsc", merge(two_widths()).model, ["narrow", "wide"],
        Latency(0.1, 0.1, 0.2),
    )  # fmt: skip
    app = built_project(engine, kotlin, tmp_path / "app")
    calls = ("--seconds", 1, "--calls", "run.jsonl")
    process = started(app, kotlin, *calls, runtime=runtime_of_litert())
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    trace = read_trace(app / "run.jsonl")
    assert len(trace.calls) > 5 and {call.path for call in trace.calls} <= {"narrow", "wide"}


def test_it_ends_when_it_is_told_to(app: Path, kotlin: Path) -> None:
    process = started(app, kotlin, "--calls", "stopped.jsonl")
    assert process.stderr is not None
    while "late, slowdown" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert said.splitlines()[-1].endswith("frames in all")
    assert not read_trace(app / "stopped.jsonl").cut_short


def test_what_is_no_engine_is_one_sentence(app: Path, kotlin: Path) -> None:
    (app / "none.tipsc").write_bytes(b"none")
    process = started(app, kotlin, "none.tipsc", "--seconds", 1)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert len(said.splitlines()) == 1 and said.startswith("error: ")
