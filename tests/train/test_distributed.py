"""Real processes started by torchrun: equal weights, different paths, one checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from tipsc.errors import UsageError
from tipsc.train import History
from tipsc.train.checkpoint import FILE
from tipsc.train.distributed import group, started
from tipsc.train.learner import HISTORY_FILE

SCRIPT = Path(__file__).parent / "digits.py"
STEPS = 2 * (1200 // (2 * 64))


def torchrun(script: Path, *arguments: object) -> str:
    with tempfile.TemporaryDirectory() as logs:  # which torchrun leaves behind
        done = subprocess.run(
            [
                sys.executable, "-m", "torch.distributed.run", "--standalone",
                "--nproc-per-node", "2", str(script), *map(str, arguments),
            ],
            capture_output=True,
            text=True,
            timeout=150,
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
    assert len(drawn[0]) == len(drawn[1]) == STEPS
    same = sum(ours[-1] == theirs[-1] for ours, theirs in zip(*drawn, strict=True))
    assert same < STEPS / 2  # 140 random paths: they rarely meet

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


def test_gradients_that_a_rank_lacks_count_as_zero(tmp_path: Path) -> None:
    torchrun(SCRIPT.with_name("gradients.py"), tmp_path)
    expected = [5.0, [[1.5, 1.5], [1.5, 1.5]], [2.0, 2.0, 2.0], None]
    for rank in range(2):
        assert (tmp_path / f"{rank}.txt").read_text() == repr(expected)


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
