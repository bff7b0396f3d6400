"""A build in which nothing has changed is told by its files; any change is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tipsc.pipeline import unchanged
from tipsc.pipeline.unchanged import KeptBuild, Watch, keep_build, kept_build, used_stages

REQUEST = {"target": "host"}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / "data.bin"
    file.write_text("1")
    return file


@pytest.fixture
def project(tmp_path: Path, outside: Path) -> Path:
    """A project that was built: it read a file of its own, and one elsewhere."""
    folder = tmp_path / "project"
    stage = folder / "runs" / "m" / "train-1"
    stage.mkdir(parents=True)
    (stage / "weights.pt").write_text("w")
    (folder / "tipsc.yaml").write_text("name: m")
    _past(outside.parent, folder)
    build(folder, outside, stage)
    return folder


def build(folder: Path, outside: Path, stage: Path) -> None:
    watch, engine = Watch(), folder / "m-host.tipsc"
    (folder / "tipsc.yaml").read_text()
    outside.read_text()
    list(outside.parent.iterdir())
    engine.write_text("engine")
    said = KeptBuild({"a": 1}, ("line",), ("note",), {"train": 2.0}, (str(stage),))
    keep_build(folder, REQUEST, watch, [engine], said)


def _past(*places: Path) -> None:
    """Nothing was changed just now."""
    long_ago = time.time() - 100
    for place in places:
        for file in [place, *place.rglob("*")]:
            os.utime(file, (long_ago, long_ago))


def test_what_was_said_is_said_again(project: Path) -> None:
    kept = kept_build(project, REQUEST)
    assert kept is not None
    assert (kept.document, kept.lines, kept.notes) == ({"a": 1}, ("line",), ("note",))
    assert kept.stages == {"train": 2.0}
    assert kept_build(project, {"target": "other"}) is None
    assert [used.folders for used in used_stages(project)] == [
        (project / "runs" / "m" / "train-1",)
    ]


CHANGES: dict[str, Callable[[Path, Path], object]] = {
    "a source": lambda project, out: (project / "tipsc.yaml").write_text("name: n"),
    "the time of a source": lambda project, out: os.utime(project / "tipsc.yaml"),
    "a new source": lambda project, out: (project / "more.py").write_text(""),
    "a source that goes": lambda project, out: (project / "tipsc.yaml").unlink(),
    "data elsewhere": lambda project, out: out.write_text("2"),
    "more data elsewhere": lambda project, out: (out.parent / "b").write_text("2"),
    "the engine": lambda project, out: (project / "m-host.tipsc").unlink(),
    "a stage": lambda project, out: (project / "runs/m/train-1/weights.pt").write_text("other"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen(what: str, project: Path, outside: Path) -> None:
    CHANGES[what](project, outside)
    assert kept_build(project, REQUEST) is None


def test_what_nobody_reads_is_no_change(project: Path) -> None:
    for name in (".git", "__pycache__", "m-host.tipsc-cache", "profiles"):
        (project / name).mkdir()
        (project / name / "file").write_text("x")
    assert kept_build(project, REQUEST) is not None


@pytest.mark.parametrize("name", ["code_of", "_processor"])
def test_another_tipsc_or_processor_is_seen(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unchanged, name, lambda *_: "another")
    assert kept_build(project, REQUEST) is None


def test_a_file_that_changes_while_a_build_runs_leaves_nothing_kept(
    project: Path, outside: Path
) -> None:
    (project / "runs").joinpath(next((project / "runs").glob("built-*")).name).unlink()
    watch = Watch()
    (project / "tipsc.yaml").read_text()
    time.sleep(0.02)
    (project / "tipsc.yaml").write_text("name: later")
    keep_build(project, REQUEST, watch, [], KeptBuild({}, (), (), {}, ()))
    assert kept_build(project, REQUEST) is None


def test_a_record_that_is_damaged_is_none(project: Path) -> None:
    (record,) = (project / "runs").glob("built-*.json")
    for text in ("", "{}", "[]", record.read_text()[:-9]):
        record.write_text(text)
        assert kept_build(project, REQUEST) is None
        assert list(used_stages(project)) == []


def test_to_look_needs_no_torch() -> None:
    code = (
        "import sys, tipsc.cli.build, tipsc.cli.kept; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'onnx', 'numpy', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
