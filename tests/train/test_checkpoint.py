"""Killed at any time, training resumes to the same bits; what does not fit is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from digits import config, load, make

from tipsc.elastic import Supernet, family
from tipsc.errors import TrainingError
from tipsc.train import Data, History, Split, TrainConfig, restore, train
from tipsc.train.checkpoint import FILE, write_whole
from tipsc.train.learner import HISTORY_FILE

SCRIPT = Path(__file__).parent / "digits.py"
STEPS = 72


def start(folder: Path, seconds_a_step: float, **changes: object) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder, json.dumps(changes), str(seconds_a_step)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def curve(folder: Path) -> list[tuple[float, float, float, float]]:
    history = History.read(folder / HISTORY_FILE)
    return [(r.loss, r.largest, r.smallest, r.learning_rate) for r in history]


def test_killed_with_9_it_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", 0)
    assert whole.wait(400) == 0, whole.stderr and whole.stderr.read()
    # In the first phase, in the middle of a checkpoint as likely as not, and in the frozen phase.
    for stop_after in (7, 33, 60):
        process = start(tmp_path / "killed", 0)
        assert process.stdout is not None
        first = None
        for line in process.stdout:
            done = int(line.split()[0])
            first = first or done
            if done >= stop_after:
                process.send_signal(signal.SIGKILL)
                break
        assert process.wait(120) == -signal.SIGKILL
        assert first is not None
        assert (first == 1) == (stop_after == 7)  # later runs went on where they had stopped
    last = start(tmp_path / "killed", 0)
    output, errors = last.communicate(timeout=400)
    assert last.returncode == 0, errors
    assert 60 <= int(output.split()[0]) < STEPS

    assert len(curve(tmp_path / "whole")) == STEPS
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    ours, theirs = (
        torch.load(tmp_path / name / "weights0.pt", weights_only=True)
        for name in ("killed", "whole")
    )
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    train(make(), load(), config(epochs=1), folder=folder)
    return folder


def test_a_finished_training_is_not_repeated(folder: Path) -> None:
    supernet = make()
    history = train(supernet, load(), config(epochs=1), folder=folder)
    assert len(history) == 18
    saved = torch.load(folder / FILE, weights_only=True)["model"]
    assert all(torch.equal(value, saved[name]) for name, value in supernet.state_dict().items())


def test_threads_and_checkpoint_times_may_change(folder: Path) -> None:
    settings = config(epochs=1, threads=None, checkpoint_seconds=99.0)
    assert len(train(make(), load(), settings, folder=folder)) == 18


def other_data() -> Data:
    data = load()
    changed = Split(data.train.inputs + 1, data.train.targets)
    return Data(changed, data.validation, data.test, data.task)


def other_widths() -> Supernet:
    from digits import ARGUMENTS

    return family("mobilenet", **{**ARGUMENTS, "head": 40})


def other_options() -> Supernet:
    """The same weights, other paths through them."""
    from digits import ARGUMENTS

    stages = [dict(stage) for stage in ARGUMENTS["stages"]]
    stages[0]["expansions"] = [1, 3, 4]
    return family("mobilenet", **{**ARGUMENTS, "stages": stages})


@pytest.mark.parametrize(
    ("supernet", "data", "settings", "message"),
    [
        (make, load, config(epochs=2), "config epochs differs.*expected 2, got 1"),
        (make, load, config(epochs=1, seed=3, batch_size=32), "and 1 more"),
        (make, load, config(epochs=1, precision="bf16"), "precision differs.*bf16, got fp32"),
        (other_widths, load, config(epochs=1), "model classifier.weight differs.*10x40.*10x32"),
        (other_options, load, config(epochs=1), r"space stage0.block0.width differs.*\[8, 24"),
        (make, other_data, config(epochs=1), "data train differs"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    folder: Path, supernet: object, data: object, settings: TrainConfig, message: str
) -> None:
    before = (folder / FILE).read_bytes()
    with pytest.raises(TrainingError, match=f"belongs to another training: .*{message}"):
        train(supernet(), data(), settings, folder=folder)  # type: ignore[operator]
    assert (folder / FILE).read_bytes() == before


def test_restore_refuses_another_architecture_and_an_empty_folder(
    folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"classifier\.weight differs"):
        restore(other_widths(), folder)
    with pytest.raises(TrainingError, match=r"there is no checkpoint.*train first"):
        restore(make(), tmp_path)


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign", "pickle"])
def test_damaged_checkpoints_are_refused(folder: Path, tmp_path: Path, damage: str) -> None:
    data = (folder / FILE).read_bytes()
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flipped":
        data = data[:40] + bytes(byte ^ 255 for byte in data[40:400]) + data[400:]
    elif damage == "foreign":
        torch.save({"model": {}}, tmp_path / "other.pt")
        data = (tmp_path / "other.pt").read_bytes()
    else:
        torch.save(Mischief(tmp_path / "mischief"), tmp_path / "evil.pt")
        data = (tmp_path / "evil.pt").read_bytes()
    (tmp_path / FILE).write_bytes(data)
    with pytest.raises(TrainingError, match="checkpoint"):
        train(make(), load(), config(epochs=1), folder=tmp_path)
    assert not (tmp_path / "mischief").exists()


class Mischief:
    """Would run code if it were unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.file,))


def test_a_failed_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    write_whole(file, b"old")

    def full(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(file, b"new")
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_interruption_between_checkpoints_costs_only_time(tmp_path: Path) -> None:
    """Checkpoints are older than the interruption; the steps since then are done again."""

    def interrupt(done: int, total: int, fields: Mapping[str, float]) -> None:
        if done == 10:
            raise KeyboardInterrupt

    settings = config(epochs=1, checkpoint_seconds=99.0)
    with pytest.raises(KeyboardInterrupt):
        train(make(), load(), settings, folder=tmp_path / "a", progress=interrupt)
    again = train(make(), load(), settings, folder=tmp_path / "a")
    assert again.losses == train(make(), load(), settings, folder=tmp_path / "b").losses
