"""A profile that was measured among other work: told, kept, and measured again on demand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hog import hog, needs_schedstat

from tipsc.engine import read_engine
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.profile import FILE as PROFILE
from tipsc.pipeline.profile import measured_key
from tipsc.pipeline.stages import Stages
from tipsc.profile import Profile
from tipsc.report.build import report_of, write_build

FILES = {
    "tipsc.yaml": """
name: tiny
model: {callable: "tiny_model.py:load"}
data: {callable: "tiny_data.py:load"}
train: {epochs: 1, frozen_epochs: 0}
build: {paths: 2, measured: 10, evaluations: 4}
""",
    "tiny_model.py": """
import torch
def load():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)
    ).eval()
""",
    "tiny_data.py": """
import torch
from tipsc.tasks import Classification
from tipsc.train import Data, Split
def load():
    x = torch.randn(900, 8, generator=torch.Generator().manual_seed(1))
    y = x[:, :4].argmax(1)
    splits = (Split(x[i:i+300], y[i:i+300]) for i in (0, 300, 600))
    return Data(*splits, Classification(tuple("abcd")))
""",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    Pipeline(folder).trained()  # here, since other work would only make it slower
    return folder


def taken(pipeline: Pipeline) -> tuple[bool, Profile]:
    stage = pipeline.profile()
    return stage.cached, Profile.load(stage.folder / PROFILE)


@needs_schedstat
def test_a_disturbed_profile_is_told_and_measured_again_only_on_demand(project: Path) -> None:
    with hog():
        cached, noisy = taken(Pipeline(project))
        assert not cached
        assert "other work took" in noisy.noise
        assert taken(Pipeline(project)) == (True, noisy)
        waits = Pipeline(project, wait_quiet_s=0.6)
        cached, again = taken(waits)
    assert not cached
    assert again.disturbance.paused_s >= 0.6
    assert again.taken >= noisy.taken
    # What was chosen by the noisy one is chosen anew.
    assert measured_key(Pipeline(project)) == measured_key(waits)
    assert Profile.load(waits.published) == again


@needs_schedstat
def test_an_engine_that_was_measured_among_other_work_says_so(project: Path) -> None:
    with hog():
        built = Pipeline(project).run()
    assert "other work took" in read_engine(built.engine).manifest.noise
    assert any("other work took" in noise for noise in report_of(built).noise)
    assert "Warning: " in write_build(built).read_text()
    assert "other work while measuring" in report_of(built).protocol


def test_a_quiet_profile_stays_however_long_one_would_wait(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Profile, "noise", "")  # as it is where nothing else runs
    first = taken(Pipeline(project))[1]
    assert taken(Pipeline(project, wait_quiet_s=0.6)) == (True, first)


def test_a_stage_that_is_not_good_enough_is_done_again(tmp_path: Path) -> None:
    done: list[Path] = []

    def work(folder: Path) -> None:
        assert not list(folder.iterdir())
        (folder / "n").write_text(str(len(done)))
        done.append(folder)

    stages = Stages(tmp_path)
    assert not stages.run("s", {}, work).cached
    assert stages.run("s", {}, work, good=lambda folder: (folder / "n").read_text() == "0").cached
    assert not stages.run("s", {}, work, good=lambda folder: False).cached
    assert (done[-1] / "n").read_text() == "1"
