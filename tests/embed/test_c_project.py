"""The projects that tipsc embed writes in C and C++: they build without a warning, and run."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from building import run
from library import runtime_of_litert, runtime_of_package
from stand_in_tensorrt import finished, plan

from tipsc.embed import write_project
from tipsc.engine import Latency
from tipsc.report.trace import read_trace


@pytest.fixture(scope="module")
def installed(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """libtipsc, as its README installs it."""
    prefix = tmp_path_factory.mktemp("prefix")
    run(["cmake", "--install", str(programs), "--prefix", str(prefix)])
    return prefix


@pytest.fixture(params=["c", "cpp"])
def app(engine_file: Path, installed: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return built_project(engine_file, request.param, installed, tmp_path / "app")


def built_project(engine: Path, language: str, installed: Path, folder: Path) -> Path:
    """`folder`, with the project that is built."""
    write_project(engine, language, folder)
    strict = [f"-DCMAKE_{language}_FLAGS=-Werror -Wpedantic" for language in ("C", "CXX")]
    run(["cmake", "-B", "build", f"-DCMAKE_PREFIX_PATH={installed}", *strict], cwd=folder)
    run(["cmake", "--build", "build"], cwd=folder)
    return folder


def started(app: Path, *words: object, runtime: str = "") -> subprocess.Popen[str]:
    command = ["build/app", "--runtime", runtime or runtime_of_package(), *map(str, words)]
    return subprocess.Popen(command, cwd=app, stderr=subprocess.PIPE, text=True)


def test_it_builds_and_runs_as_it_is(app: Path) -> None:
    process = started(app, "--seconds", 2.5, "--fps", 50, "--calls", "calls.jsonl")
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    trace = read_trace(app / "calls.jsonl")  # what Python reads of it
    assert 30 < len(trace.calls) <= 126
    assert all(0 < call.budget_ms <= 0.81 * 1000 / 50 for call in trace.calls)
    assert said.splitlines()[-1] == f"{len(trace.calls)} frames in all"
    assert "late, slowdown" in said


@pytest.mark.parametrize("language", ["c", "cpp"])
def test_an_engine_of_a_tflite_runs_by_litert(
    language: str, installed: Path, tmp_path: Path
) -> None:
    """By the library of the Python package, as the README says."""
    pytest.importorskip("ai_edge_litert")
    from plain_tflite import engine_of, two_widths

    from tipsc.compile.tflite.merge import merge

    engine = engine_of(
        tmp_path / "plain.tipsc", merge(two_widths()).model, ["narrow", "wide"],
        Latency(0.1, 0.1, 0.2),
    )  # fmt: skip
    app = built_project(engine, language, installed, tmp_path / "app")
    readme = (app / "README.md").read_text()
    assert "`libLiteRt.so` of LiteRT: in `ai_edge_litert` of the Python package" in readme
    calls = ("--seconds", 1, "--calls", "calls.jsonl")
    process = started(app, *calls, runtime=runtime_of_litert())
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    trace = read_trace(app / "calls.jsonl")
    assert len(trace.calls) > 5 and {call.path for call in trace.calls} <= {"narrow", "wide"}


def test_the_commands_of_the_readme_build_and_run_it_as_they_stand(
    engine_file: Path, tmp_path: Path
) -> None:
    project = write_project(engine_file, "c", tmp_path / "app")
    readme = (tmp_path / "app" / "README.md").read_text()
    assert "\n".join(project.run) in readme
    assert f"RUNTIME={runtime_of_package()}" in project.run
    run(["sh", "-ec", "\n".join(project.run)], cwd=tmp_path / "app")


def test_an_engine_of_tensorrt_runs_with_its_headers_named(
    installed: Path, nvinfer: Path, tmp_path: Path
) -> None:
    """By what stands for TensorRT: nothing of a GPU is shown."""
    engine = finished(tmp_path / "a.tipsc", [plan("a", factors=[2]), plan("b", factors=[3])])
    write_project(engine, "cpp", tmp_path / "cpp")
    app = built_project(engine, "c", installed, tmp_path / "app")
    for folder in (app, tmp_path / "cpp"):
        readme = (folder / "README.md").read_text()
        assert "cmake -S $TIPSC/embed -B libtipsc -DTIPSC_TENSORRT=ON" in readme
        assert "libnvonnxparsers-dev" in readme and "RUNTIME=" not in readme
    process = started(app, "--seconds", 1, "--calls", "calls.jsonl", runtime=str(nvinfer))
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert {call.path for call in read_trace(app / "calls.jsonl").calls} <= {"a", "b"}


def test_it_ends_when_it_is_told_to(app: Path) -> None:
    process = started(app, "--calls", "calls.jsonl")
    assert process.stderr is not None
    while "late, slowdown" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not read_trace(app / "calls.jsonl").cut_short


def test_what_is_no_engine_is_one_sentence(app: Path) -> None:
    (app / "engine.tipsc").write_bytes(b"none")
    process = started(app, "--seconds", 1)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert len(said.splitlines()) == 1 and said.startswith("error: ")
