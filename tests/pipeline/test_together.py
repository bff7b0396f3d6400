"""One training of the paths that ship, for two targets: built for real, on this machine.

Both are measured in short here; with TIPSC_SLOW=1 the second is a backend of its own, whose
conversions take a minute.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from tipsc.cli import main
from tipsc.device.measuring import ThisMachine
from tipsc.engine import read_engine
from tipsc.errors import ConfigError, UsageError
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.choose import shipping
from tipsc.pipeline.narrow import NARROW, trained_paths
from tipsc.pipeline.together import Together
from tipsc.pipeline.train import TRAIN
from tipsc.runtime import Engine
from tipsc.train.history import History
from tipsc.train.learner import HISTORY_FILE

QUICK = """
name: {name}
description: this computer, measured in short
extends: {extends}
measure: {{warm_up_ms: 0, rounds: 4, batch_ms: 0.5, pin: none}}
"""
OTHER = "mobile-cpu" if os.environ.get("TIPSC_SLOW") else "host"
FILES = {
    "one.yaml": QUICK.format(name="one", extends="host"),
    "two.yaml": QUICK.format(name="two", extends=OTHER),
    "tipsc.yaml": """
name: tiny
model: {callable: "tiny_model.py:load"}
data: {callable: "tiny_data.py:load"}
train: {epochs: 2, frozen_epochs: 0, batch_size: 30}
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


def tipsc(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    return subprocess.CompletedProcess(
        arguments, int(end.value.code or 0), out.getvalue(), err.getvalue()
    )


def options(folder: Path) -> list[str]:
    return [word for target in targets(folder) for word in ("--target", target)]


class Log:
    """Keeps the stages that were done, and whether they had been."""

    def __init__(self) -> None:
        self.done: list[tuple[str, bool]] = []

    def begin(self, stage: str):
        return lambda done, total, note="": None

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        self.done.append((stage, cached))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("together")
    for name, text in FILES.items():
        (place / name).write_text(text)
    return place


def targets(folder: Path) -> list[str]:
    return [str(folder / name) for name in ("two.yaml", "one.yaml")]


@pytest.fixture(scope="module")
def commanded(folder: Path) -> tuple[dict, str]:
    """What the first build says, on stdout and on stderr."""
    done = tipsc("build", folder, *options(folder), "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def built(commanded: tuple[dict, str], folder: Path) -> tuple[Together, Log]:
    """The same from Python, in another order."""
    log = Log()
    together = Together(folder, targets(folder)[::-1], reporter=log)
    records = together.run()
    assert [record.target.name for record in records] == ["one", "two"]
    return together, log


def test_each_engine_has_its_own_paths_from_the_same_weights(
    built: tuple[Together, Log], folder: Path
) -> None:
    together, _ = built
    weights, inputs = set(), np.zeros((1, 8), np.float32)
    for pipeline in together.pipelines:
        engine = read_engine(pipeline.output)
        assert {path.id for path in engine.manifest.paths} <= {p.id for p in shipping(pipeline)}
        weights.add(engine.manifest.provenance["weights"])
        with Engine.open(pipeline.output) as opened:
            assert opened.run(inputs, path=engine.manifest.paths[0].id) is not None
    assert weights == {together.pipelines[0].done(NARROW).key}


def test_each_stage_is_done_and_told_of_once(commanded: tuple[dict, str]) -> None:
    document, said = commanded
    done = [line.split(":")[0] for line in said.splitlines() if ": done in" in line]
    assert len(set(done)) == len(done)
    assert {"model", "train", "narrow", "one profile", "two profile", "one engine"} <= set(done)
    assert said.index("one training for 2 targets") < said.index("narrow: done")
    forecast = said[said.index("about ") : said.index("one profile: done")]
    for title in ("one profile", "two profile", "narrow", "two engine"):
        assert len(re.findall(rf"{title}\s", forecast)) == 1, forecast
    for one in document["targets"]:
        expected = {stage["name"]: stage["expected_s"] for stage in one["stages"]}
        assert expected["profile"] > 0 and expected["narrow"] > 0


def test_the_union_is_trained_in_the_steps_of_one_target(built: tuple[Together, Log]) -> None:
    together, _ = built
    first = together.pipelines[0]
    drawn, each = trained_paths(first), [set(shipping(one)) for one in together.pipelines]
    assert set(drawn.paths) == set.union(*each)
    share = dict(zip(drawn.paths, drawn.weights, strict=True))
    for paths in each:  # a half for each target, and what the other one has of the same paths
        assert sum(share[path] for path in paths) >= 0.5 - 1e-9
    assert sum(drawn.weights) == pytest.approx(1.0)
    history = History.read(first.done(NARROW).folder / HISTORY_FILE)
    assert len(history) == 2 * 300 // 30
    said = str(together.sharing())
    assert said.startswith(f"one training for 2 targets: {len(drawn.paths)} paths (")


def test_built_again_nothing_is_done_whatever_the_order(built: tuple[Together, Log]) -> None:
    _, log = built
    assert {stage for stage, cached in log.done if not cached} == {"model"}
    assert [cached for stage, cached in log.done if stage == "narrow"] == [True]


def test_one_target_alone_is_what_it_was(built: tuple[Together, Log], folder: Path) -> None:
    """The paths are those that were chosen together; its training is its own."""
    together, _ = built
    alone, one = Pipeline(folder, str(folder / "one.yaml")), together.pipelines[0]
    assert alone.done(TRAIN).cached and alone.chosen().cached
    assert shipping(alone) == shipping(one)
    assert NARROW.inputs(alone)["paths"] == [path.id for path in shipping(alone)]
    assert "paths_together" not in NARROW.inputs(alone)


def test_the_document_has_what_is_shared_and_each_engine(
    built: tuple[Together, Log], commanded: tuple[dict, str]
) -> None:
    sharing, (document, _) = built[0].sharing(), commanded
    assert [one["target"] for one in document["targets"]] == ["one", "two"]
    training = document["training"]
    assert training["shared"] and tuple(training["trained"]) == sharing.trained
    assert {name: tuple(ids) for name, ids in training["paths"].items()} == dict(sharing.paths)
    for one in document["targets"]:
        assert {path["id"] for path in one["paths"]} <= set(training["paths"][one["target"]])
        page = Path(one["report"]).read_text(encoding="utf-8")
        assert "--target one --target two" in page


def test_the_command_says_it_again_whatever_the_order(
    commanded: tuple[dict, str], folder: Path
) -> None:
    done = tipsc("build", folder, *options(folder)[2:], *options(folder)[:2])
    assert done.returncode == 0, done.stderr
    assert "model: done" not in done.stderr and "two engine: from cache" in done.stderr
    for one in commanded[0]["targets"]:
        assert f"target   {one['target']}" in done.stdout and one["engine"] in done.stdout
    assert "shared   one training for 2 targets" in done.stdout


def test_clean_leaves_the_stages_of_a_joint_build_and_says_what_they_are(
    built: tuple[Together, Log], commanded: tuple[dict, str], folder: Path
) -> None:
    narrow = built[0].pipelines[0].done(NARROW).folder
    shutil.copytree(narrow, old := narrow.with_name("narrow-0123456789ab"))
    planned = tipsc("clean", folder, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert f"{old}  (one training for 2 targets)" in planned.stdout
    assert "of the build for one and two, which have one training" in planned.stdout
    found = json.loads(tipsc("clean", folder, "--format", "json").stdout)
    assert [stage["targets"] for stage in found["stages"]] == [2]
    assert [stages["targets"] for stages in found["kept"]] == [["one", "two"]]
    assert not old.exists() and (narrow / "weights.pt").is_file()
    log = Log()
    Together(folder, targets(folder), reporter=log).run()
    assert {stage for stage, cached in log.done if not cached} == {"model"}


def test_the_page_for_those_who_decide_says_that_the_training_is_of_both(
    commanded: tuple[dict, str], folder: Path
) -> None:
    engines = [one["engine"] for one in commanded[0]["targets"]]
    done = tipsc("report", *engines, "--no-measure", "--format", "json")
    assert done.returncode == 0, done.stderr
    for facts in json.loads(done.stdout)["engines"]:
        assert facts["trained_for"] == 2 and facts["seconds"]["narrow"] > 0


def test_what_is_of_one_target_is_refused_for_several(folder: Path, tmp_path: Path) -> None:
    several = ("--target", "host", "--target", "jetson")
    for arguments, said in (
        ((*several, "--output", tmp_path / "a.tipsc"), "--output is for one target"),
        ((*several, "--like", tmp_path / "a.tipsc"), "--like is for one target"),
        ((*several, "--device", "local"), "a device is for one of them"),
        ((*several, "--device", "ssh://pi@raspberrypi?a=b"), "a device is for one of them"),
        (("--device", "local", "--device", "local"), "there is one target"),
        ((*several, "--target", "host"), "no several targets"),
    ):
        done = tipsc("build", folder, *arguments)
        assert done.returncode == 2 and said in done.stderr, (arguments, done.stderr)


def test_an_error_names_its_target(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, place := tmp_path / "m", ignore=shutil.ignore_patterns("runs"))
    config = place / "tipsc.yaml"
    config.write_text(config.read_text().replace("{paths: 2", "{budgets_ms: [1], paths: 2"))
    with pytest.raises(ConfigError, match=r"^target jetson, build\.budgets_ms: milliseconds"):
        Together(place, ["host", "jetson"])


def test_what_is_given_for_another_target_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="target that is not built"):
        Together(folder, targets(folder), devices={"three": ThisMachine()})


def test_a_target_twice_or_alone_is_refused(folder: Path) -> None:
    for targets in (("host",), ("host", "host")):
        with pytest.raises(UsageError, match="no several targets"):
            Together(folder, targets)
