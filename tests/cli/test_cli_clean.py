"""tipsc clean: old stages go, those of the last builds stay."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tipsc.pipeline.unchanged import KeptBuild, Watch, keep_build


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "tipsc.yaml").write_text("name: m")
    folder = tmp_path / "runs" / "m"
    for name, size in (("train-0123456789ab", 10), ("train-ba9876543210", 2000), ("compiled", 5)):
        (folder / name).mkdir(parents=True)
        (folder / name / "weights.pt").write_bytes(bytes(size))
    (folder / "train-0123456789ab" / "stage.json").write_text('{"seconds": 1}')
    return folder


def build(runs: Path) -> None:
    """Ends a build that used the first stage."""
    used = str(runs / "train-0123456789ab")
    keep_build(runs.parents[1], {}, Watch(), [], KeptBuild({}, (), (), {}, (used,)))


def test_stages_that_no_build_uses_are_removed(call, runs):
    build(runs)
    planned = call("clean", runs.parents[1], "--dry-run")
    assert planned.returncode == 0 and "1 stage would be removed, 2.00 kB" in planned.stdout
    assert "train-ba9876543210  (not finished)" in planned.stdout
    assert (runs / "train-ba9876543210").is_dir()
    done = call("clean", runs.parents[1] / "tipsc.yaml", "--format", "json")
    found = json.loads(done.stdout)
    assert found["bytes"] == 2000 and [stage["name"] for stage in found["stages"]] == ["train"]
    left = {place.name for place in runs.iterdir() if place.is_dir()}
    assert left == {"train-0123456789ab", "compiled"}
    assert "0 stages removed" in call("clean", runs.parents[1]).stdout


def test_without_a_build_nothing_is_known_to_be_old(call, runs):
    refused = call("clean", runs.parents[1])
    assert refused.returncode == 2 and "--all" in refused.stderr
    assert "2 stages removed" in call("clean", runs.parents[1], "--all").stdout
    assert (runs / "compiled").is_dir()
    assert call("clean", runs.parents[1]).returncode == 0


def test_a_build_at_work_is_not_disturbed(call, runs):
    from tipsc.pipeline.stages import only_one_build

    build(runs)
    with only_one_build(runs):
        refused = call("clean", runs.parents[1])
        planned = call("clean", runs.parents[1], "--dry-run")
    assert refused.returncode == 2 and (runs / "train-ba9876543210").is_dir()
    assert planned.returncode == 2 and "another build is at work" in planned.stderr


def test_a_project_that_was_moved_or_copied_keeps_its_own_stages(call, runs, tmp_path_factory):
    build(runs)
    project, place = runs.parents[1], tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(project, place / "copy")
    project.rename(place / "moved")
    for name in ("copy", "moved"):
        done = call("clean", place / name, "--format", "json")
        found = json.loads(done.stdout)
        assert [Path(s["folder"]).name for s in found["stages"]] == ["train-ba9876543210"]
        assert [kept["stages"] for kept in found["kept"]] == [1]
        assert (place / name / "runs" / "m" / "train-0123456789ab").is_dir()
