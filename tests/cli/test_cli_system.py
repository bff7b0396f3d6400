"""What the system lacks is told as that, at whatever place a verb meets it."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from pathlib import Path

import pytest
from conftest import write_project

from tipsc.cli.failures import report_failure
from tipsc.engine.atomic import write_atomically
from tipsc.errors import LoweringError
from tipsc.system_errors import naming, shortage


def largest_file(size: int):
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize(
    ("verb", "sizes"),
    [("train", (100, 4000)), ("build", (50_000,))],
)
def test_a_file_that_may_not_grow(tipsc, tmp_path, verb, sizes):
    folder = write_project(tmp_path / "p", train={"epochs": 1, "frozen_epochs": 0})
    for size in sizes:
        done = tipsc(verb, folder, preexec_fn=largest_file(size))
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode == 2 and "defect" not in last, last
        assert str(folder) in last and "a file may not become so large" in last, last
        assert "started again, it goes on from here" in last


@pytest.mark.parametrize("words", [("run", "--random", 0, "--output", "OUT"), ("unpack", "OUT")])
def test_an_engine_s_verbs_without_space(tipsc, built_engine, tmp_path, words):
    verb, *rest = words
    assert tipsc("run", built_engine, "--random", 0).returncode == 0  # its cache is there then
    out = tmp_path / "out"
    done = tipsc(verb, built_engine, *(out if w == "OUT" else w for w in rest),
                 preexec_fn=largest_file(10))  # fmt: skip
    assert done.returncode == 2 and "a file may not become so large" in done.stderr, done.stderr
    assert str(out) in done.stderr and "defect" not in done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 24 kB, where the tests may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(tipsc, small_disk):
    done = tipsc("train", write_project(small_disk / "p"))
    assert done.returncode == 2, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert str(small_disk / "p") in last and "the disk is full" in last and "defect" not in last


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/a/b"), "/a/b: the user's share"),
        (OSError(errno.EROFS, "Read-only file system", "/a/b"), "/a/b: the file system is read-on"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OSError("2000000 requested and 131056 written"), "the disk is full"),
        (MemoryError(), "not enough memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory"),
            "not enough memory",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/a/b"), "/a/b: permission denied"),
        (OSError(errno.ENOTSUP, "Operation not supported"), "operation not supported"),
    ],
)
def test_no_word_of_a_defect(capsys, error, says):
    assert report_failure(error, ["bench"]) == 2
    said = capsys.readouterr().err
    assert says in said and "defect" not in said, said


def test_a_shortage_is_found_behind_what_was_raised_from_it(capsys):
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/a/b")
        except OSError as cause:
            raise LoweringError("ONNX Runtime refuses path 1", fix="report this model") from cause
    except LoweringError as error:
        assert report_failure(error, ["build"]) == 2
    said = capsys.readouterr().err
    assert "/a/b: the disk is full" in said and "report" not in said


def test_other_errors_are_no_shortage():
    for error in (RuntimeError("x"), ValueError("no space left on device"), KeyError("x")):
        assert shortage(error) is None
    assert shortage(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None


def test_what_memory_there_is_not_is_seen_in_libraries_words():
    import numpy as np
    import torch

    for ask in (lambda: torch.empty(10**14), lambda: np.empty(10**15)):
        with pytest.raises((RuntimeError, MemoryError)) as found:
            ask()
        assert shortage(found.value) is not None


def test_an_error_without_a_name_gets_one(tmp_path: Path) -> None:
    with pytest.raises(OSError) as found, naming(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert found.value.filename == str(tmp_path) and found.value.errno == errno.ENOSPC
    with pytest.raises(OSError) as found, naming(tmp_path):
        raise RuntimeError("PytorchStreamWriter: file write failed")
    assert found.value.errno == errno.ENOSPC
    with pytest.raises(RuntimeError, match="shapes"), naming(tmp_path):
        raise RuntimeError("shapes differ")
    folder = tmp_path / "f"
    folder.mkdir()
    with pytest.raises(IsADirectoryError) as found:
        write_atomically(folder, [b"x"])
    assert found.value.filename == str(folder) and list(tmp_path.iterdir()) == [folder]
