"""tipsc train under torchrun: one answer for all processes, and what is left when one is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from conftest import write_project
from test_cli_build import TRAIN

from tipsc.train import History
from tipsc.train.learner import HISTORY_FILE

STEPS = 1200 // 64  # of an epoch


def start(folder: Path, processes: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes)]
    command += ["-m", "tipsc", "train", str(folder), "--format", "json"]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder.parent)},
    )


def train_by_two(folder: Path) -> dict:
    """What the first of two processes prints; nothing else prints."""
    process = start(folder, 2)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return json.loads(said)


def test_two_processes_train_under_torchrun(tmp_path):
    folder = write_project(tmp_path / "digits", train={**TRAIN, "epochs": 1, "narrow": 0})
    for cached in (False, True):
        found = train_by_two(folder)
        assert found["stage"]["cached"] is cached
        assert found["steps"] == STEPS


def test_two_processes_train_the_paths_that_the_first_has_chosen(tmp_path):
    folder = write_project(tmp_path / "digits", train={**TRAIN, "epochs": 2, "narrow": 0.5})
    found = train_by_two(folder)
    assert found["steps"] == 2 * STEPS  # in the whole space, and of the paths that ship
    assert found["stage"]["name"] == "narrow"
    (chosen,) = (folder / "runs" / "digits").glob("choose-*/chosen.json")
    assert len(json.loads(chosen.read_text())) == 4
    weights = torch.load(found["weights"], weights_only=True)
    (before,) = (folder / "runs" / "digits").glob("train-*/weights.pt")
    wide = torch.load(before, weights_only=True)
    assert any(not torch.equal(weights[name], wide[name]) for name in weights)


def process_of(parent: int, rank: int) -> int:
    """The id of a rank's process, by what torchrun put into its environment."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            started_by = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if started_by == parent and f"RANK={rank}" in (place / "environ").read_text().split(
                "\0"
            ):
                return int(place.name)
        except OSError:  # it has just ended
            continue
    raise AssertionError(f"no process of rank {rank}")


def test_a_killed_process_ends_all_and_training_goes_on_with_one_less(tmp_path):
    settings = {**TRAIN, "epochs": 12, "narrow": 0, "checkpoint_seconds": 0}
    folder = write_project(tmp_path / "digits", train=settings)
    process, end = start(folder, 3), time.monotonic() + 120
    while not (found := list(folder.glob(f"runs/digits/**/{HISTORY_FILE}"))):
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)
    os.kill(process_of(process.pid, 2), signal.SIGKILL)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 1 and not said
    ours = [json.loads(line)["error"] for line in errors.splitlines() if '{"error"' in line]
    assert ours and {error["kind"] for error in ours} == {"TrainingError"}, errors
    assert ours[0]["what"] == "another process of this training has ended or does not answer"
    before = list(History.read(found[0]))
    assert 0 < len(before) < 12 * STEPS

    done = train_by_two(folder)
    assert done["steps"] == 12 * STEPS
    after = list(History.read(Path(done["history"])))
    assert after[: len(before)] == before  # to the time that each step took
    assert after[-1].loss < before[0].loss


def test_a_rehearsal_is_of_one_process(call, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = call("train", tmp_path, "--rehearse", 8)
    assert done.returncode == 2 and "--rehearse: a rehearsal is of one process" in done.stderr
