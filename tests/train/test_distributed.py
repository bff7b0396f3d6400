"""Real processes started by torchrun: equal weights, equal paths, one checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from digits import train_calmly
from torch import distributed as dist

from tipsc.errors import TrainingError, UsageError
from tipsc.train import History
from tipsc.train.checkpoint import FILE
from tipsc.train.distributed import group, started
from tipsc.train.learner import HISTORY_FILE

SCRIPT = Path(__file__).parent / "digits.py"
STEPS = 2 * (1200 // 64)


def torchrun(script: Path, *arguments: object, processes: int = 2) -> str:
    with tempfile.TemporaryDirectory() as logs:  # which torchrun leaves behind
        done = subprocess.run(
            [
                sys.executable, "-m", "torch.distributed.run", "--standalone",
                "--nproc-per-node", str(processes), str(script), *map(str, arguments),
            ],
            capture_output=True,
            text=True,
            timeout=300,  # of a busy machine
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": logs},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_processes_train_one_supernet(tmp_path: Path) -> None:
    arguments = (SCRIPT, tmp_path, json.dumps({"epochs": 2}), 0)
    output = torchrun(*arguments)
    weights = [torch.load(tmp_path / f"weights{r}.pt", weights_only=True) for r in range(2)]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name
    assert weights[0]["stem_norm.scale_frozen"]

    drawn = [json.loads((tmp_path / f"drawn{rank}.json").read_text()) for rank in range(2)]
    assert len(drawn[0]) == STEPS and drawn[0] == drawn[1]
    assert len({tuple(paths) for paths in drawn[0]}) > STEPS / 2

    # Progress is rank 0's alone, and so is the checkpoint.
    assert output.split("\n")[:-1] == [f"{done} {STEPS}" for done in range(1, STEPS + 1)]
    history = History.read(tmp_path / HISTORY_FILE)
    assert history.losses[-1] < history.losses[0]
    assert (tmp_path / FILE).exists()

    # Started again it finds itself at the end, on both ranks.
    for rank in range(2):
        (tmp_path / f"weights{rank}.pt").unlink()
    assert torchrun(*arguments) == ""
    again = [torch.load(tmp_path / f"weights{r}.pt", weights_only=True) for r in range(2)]
    for name, value in weights[0].items():
        assert torch.equal(value, again[0][name]), name
        assert torch.equal(value, again[1][name]), name


def test_three_processes_train_as_one_with_uneven_parts_of_a_batch(tmp_path: Path) -> None:
    """Of 64 examples they have 21, 21 and 22. The sampler tries paths and learns from losses."""
    changes = {"epochs": 1, "sampler": "attentive", "paths_per_step": 2, "distill": False}
    alone = train_calmly(tmp_path / "alone", changes).losses
    arguments = json.dumps({**changes, "calm": True})
    torchrun(SCRIPT, tmp_path / "three", arguments, 0, processes=3)
    found = History.read(tmp_path / "three" / HISTORY_FILE).losses
    assert len(found) == len(alone) == 18
    assert found == pytest.approx(alone, rel=1e-4)  # sums are rounded in another order


def test_gradients_are_of_all_examples_and_those_that_a_rank_lacks_are_zero(
    tmp_path: Path,
) -> None:
    torchrun(SCRIPT.with_name("gradients.py"), tmp_path)
    # Of one example in the first process and three in the other.
    expected = [7.5, 7.5, [[1.75, 1.75], [1.75, 1.75]], [3.0, 3.0, 3.0], None]
    for rank in range(2):
        assert (tmp_path / f"{rank}.txt").read_text() == repr(expected)
    refused = (tmp_path / "refused.txt").read_text()
    assert "differ in batches" in refused and "5 in process 0, 6 in process 1" in refused


@pytest.mark.parametrize("wrong", ["two", "-1", "", "1.5"])
def test_a_number_of_processes_that_is_none(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", wrong)
    with (
        pytest.raises(UsageError, match="environment variable WORLD_SIZE"),
        group(),
    ):
        pass
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert started("WORLD_SIZE", 1) == 3


def test_processes_that_do_not_find_each_other_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def alone(backend: str) -> None:
        raise dist.DistNetworkError("The client socket has timed out after 600000ms\nmore")

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "init_process_group", alone)
    with (
        pytest.raises(TrainingError, match=r"does not answer \(got The client.*600000ms\); see"),
        group(),
    ):
        pass
