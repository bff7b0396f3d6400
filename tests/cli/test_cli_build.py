"""From a configuration to an engine on real images, killed in the middle and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import MODEL, run_tipsc, write_project

from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.profile import most_measured
from tipsc.runtime import Engine

TRAIN = {
    "epochs": 3,
    "frozen_epochs": 1,
    "paths_per_step": 1,
    "batch_size": 64,
    "learning_rate": 0.03,
}
STAGES = ["precheck", "train", "profile", "search", "choose", "narrow", "ship", "engine"]


def build(folder: Path, *options: str) -> dict:
    done = run_tipsc("build", folder, "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose first build got kill -9 just after its training."""
    folder = write_project(tmp_path_factory.mktemp("build") / "digits", train=TRAIN)
    process = subprocess.Popen(
        [sys.executable, "-m", "tipsc", "build", str(folder)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("train: done"):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    assert not (folder / "digits-host.tipsc").exists()
    return folder


@pytest.fixture(scope="module")
def resumed(killed: Path) -> dict:
    """What the second build says."""
    return build(killed)


def test_the_resumed_build_does_not_train_again(resumed):
    assert [stage["name"] for stage in resumed["stages"]] == STAGES
    cached = [stage["cached"] for stage in resumed["stages"]]
    assert cached[0] and cached[1] and not all(cached)


def test_the_engine_has_the_paths_that_were_promised(resumed):
    with Engine.open(resumed["engine"]) as engine:
        assert [path.id for path in engine.paths] == [path["id"] for path in resumed["paths"]]
    assert len(resumed["paths"]) + len(resumed["left_out"]) == 4
    assert all(path["latency"]["p50_ms"] > 0 for path in resumed["paths"])
    # Ten classes: a net that learnt nothing is right in a tenth.
    assert max(path["quality"]["value"] for path in resumed["paths"]) > 0.3


def test_report_and_profile_are_where_the_build_says(resumed):
    assert Path(resumed["report"]).read_text(encoding="utf-8").startswith("<!")
    assert json.loads(Path(resumed["profile"]).read_text())["target"] == "host"


def test_a_third_build_does_nothing_but_say_so(resumed, killed):
    done = run_tipsc("build", killed)
    assert done.returncode == 0, done.stderr
    stages = [line for line in done.stderr.splitlines() if not line.startswith("model: done")]
    assert stages and all("from cache" in line for line in stages), done.stderr
    assert all(path["id"] in done.stdout for path in resumed["paths"])
    assert resumed["engine"] in done.stdout
    assert "\x1b" not in done.stdout + done.stderr


def test_the_engine_verifies_against_its_configuration_only(call, resumed, killed, built_engine):
    done = call("verify", resumed["engine"], killed, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["paths"]) == len(resumed["paths"])
    assert all(path["difference"] <= found["tolerance"] for path in found["paths"])
    other = call("verify", built_engine, killed)
    assert other.returncode == 1
    assert "not made from this configuration's weights" in other.stderr


def test_verify_takes_the_file_of_the_target(call, resumed, killed, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("name: mine\nextends: host\n")
    built = call("build", killed, "--target", file, "--format", "json")
    assert built.returncode == 0, built.stderr
    engine = json.loads(built.stdout)["engine"]
    assert call("verify", engine, killed, "--target", file).returncode == 0
    unnamed = call("verify", engine, killed)
    assert unnamed.returncode == 2 and "--target FILE" in unnamed.stderr
    other = call("verify", resumed["engine"], killed, "--target", file)
    assert other.returncode == 2 and "built for another target" in other.stderr


def test_verify_never_begins_to_train(call, built_engine, tmp_path):
    folder = write_project(tmp_path / "digits")
    done = call("verify", built_engine, folder)
    assert done.returncode == 2
    assert "stage train has not been done" in done.stderr and "tipsc build" in done.stderr
    assert not list((folder / "runs").rglob("*.pt"))


def test_train_and_profile_give_the_stages_of_the_build(call, resumed, killed):
    trained = call("train", killed, "--format", "json")
    found = json.loads(trained.stdout)
    assert found["stage"]["cached"] and Path(found["weights"]).is_file()
    assert found["loss"]["last"] < found["loss"]["first"]
    measured = json.loads(call("profile", killed, "--format", "json").stdout)
    # The space is so small that every path of it was measured.
    assert {path["id"] for path in resumed["paths"]} <= {path["id"] for path in measured["paths"]}


def test_a_rehearsal_says_what_a_training_takes_and_leaves_nothing(call, tmp_path):
    folder = write_project(tmp_path / "digits")
    found = json.loads(call("train", folder, "--rehearse", "6", "--format", "json").stdout)
    assert found["steps"] > 6 and found["bound"] in ("data", "host", "device")
    said = call("train", folder, "--rehearse", "6").stdout
    assert "steps a second on" in said and "limited by" in said
    assert not list((folder / "runs").rglob("*.pt"))


def test_profile_predicts_what_it_does_not_measure_and_checks_itself(call, tmp_path):
    stage = {"channels": 8, "depths": [1, 2, 3], "expansions": [1, 2, 4]}
    model = {"family": "mobilenet", "arguments": {**MODEL, "stages": [stage]}}
    sizes = {"paths": 3, "evaluations": 14, "measured": 10}
    folder = write_project(
        tmp_path / "digits",
        model=model,
        train={"epochs": 1, "frozen_epochs": 0, "paths_per_step": 1, "batch_size": 64},
        build={**sizes, "calibration_images": 64, "verify_examples": 16},
    )
    done = call("profile", folder, "--check", 5, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["paths"]) == 10 and len(found["forecast"]["paths"]) > 10
    assert found["check"]["paths"] == 5
    said = call("profile", folder, "--check", 5).stdout
    assert (
        f"predicted {len(found['forecast']['paths'])} more paths" in said and "a constant:" in said
    )
    assert "5 paths cannot show that 95 % fit" in said
    # The search takes predictions; what ships was measured all the same.
    built = json.loads(call("build", folder, "--format", "json").stdout)
    assert len(built["paths"]) + len(built["left_out"]) == 3
    assert all(path["latency"]["p50_ms"] > 0 for path in built["paths"])


def test_a_check_needs_enough_measured_paths(call, killed, resumed):
    done = call("profile", killed, "--check", 5)
    assert done.returncode != 0
    assert "too few paths were measured to predict others" in done.stderr


def test_a_target_may_have_fewer_paths_measured(project):
    extends = {"name": "costly", "description": "each path costs minutes", "extends": "host"}
    target = project / "costly.yaml"
    target.write_text(json.dumps({**extends, "measure": {"paths": 12}}))
    assert most_measured(Pipeline(project)) == 50
    assert most_measured(Pipeline(project, str(target))) == 12


def test_another_build_at_the_same_time_is_refused(call, killed):
    from tipsc.pipeline.stages import only_one_build

    with only_one_build(killed / "runs" / "digits"):
        done = call("build", killed, "--look")
    assert done.returncode == 2 and "another build is at work" in done.stderr


def test_a_build_that_was_killed_while_its_paths_were_trained_goes_on(tmp_path):
    settings = {**TRAIN, "epochs": 40, "checkpoint_seconds": 0.0, "narrow": 0.9}
    folder = write_project(tmp_path / "digits", train=settings)
    process = subprocess.Popen(
        [sys.executable, "-m", "tipsc", "build", str(folder)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    runs, found = folder / "runs" / "digits", None
    while found is None and process.poll() is None:
        time.sleep(0.05)
        found = next(runs.glob("narrow-*/checkpoint.pt"), None)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert found is not None and not (found.parent / "weights.pt").exists()
    resumed = build(folder)
    cached = {stage["name"]: stage["cached"] for stage in resumed["stages"]}
    assert cached["choose"] and not cached["narrow"]
    lines = (found.parent / "history.jsonl").read_text().splitlines()
    steps = [json.loads(line)["step"] for line in lines]
    assert steps == list(range(36 * (1200 // 64)))
