"""A disk that is full in the middle of a training: what was saved is whole, and it goes on."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from digits import config, load, make

from tipsc.system_errors import shortage
from tipsc.train import train
from tipsc.train.checkpoint import FILE, Checkpoint
from tipsc.train.learner import HISTORY_FILE

FULL_AFTER = 5
SETTINGS = config(epochs=1, frozen_epochs=0, paths_per_step=1, distill=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MB, where the tests may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def interrupted(folder: Path, fill: Callable[[], None]) -> OSError:
    def told(done: int, total: int, fields: Mapping[str, float]) -> None:
        if done == FULL_AFTER:
            fill()

    with pytest.raises(OSError) as found:
        train(make(), load(), SETTINGS, folder=folder, progress=told)
    return found.value


def check_goes_on(folder: Path, undisturbed: Path) -> None:
    assert {file.name for file in folder.iterdir()} == {FILE, HISTORY_FILE}
    saved = Checkpoint.from_bytes((folder / FILE).read_bytes(), "")
    assert saved.step >= FULL_AFTER
    ours, theirs = make(), make()
    history = train(ours, load(), SETTINGS, folder=folder)
    assert history.losses == train(theirs, load(), SETTINGS, folder=undisturbed).losses
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs.state_dict()[name]), name


def test_a_disk_that_is_full(small_disk: Path, tmp_path: Path) -> None:
    folder, junk = small_disk / "run", small_disk / "junk"

    def fill() -> None:
        with pytest.raises(OSError), junk.open("wb", buffering=0) as stream:
            while stream.write(bytes(4096)):
                pass

    problem = shortage(interrupted(folder, fill))
    assert problem is not None and problem.what == "the disk is full"
    junk.unlink()
    check_goes_on(folder, tmp_path / "undisturbed")


def test_a_file_that_may_not_be_so_large_any_more(tmp_path: Path) -> None:
    folder, before = tmp_path / "run", resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        size = (folder / FILE).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))

    try:
        problem = shortage(interrupted(folder, fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert problem is not None and problem.what == "a file may not become so large here"
    check_goes_on(folder, tmp_path / "undisturbed")
