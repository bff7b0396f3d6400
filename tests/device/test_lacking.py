"""What a device lacks: packages, libraries, a Python, memory, room. Each is called what it is."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from tipsc.device import agent, jobs
from tipsc.device.client import connect
from tipsc.errors import (
    DeviceCrashError,
    DeviceMemoryError,
    DevicePackageError,
    DeviceStorageError,
    MissingExtraError,
)


def lacking(folder: Path, error: str) -> str:
    """A device in whose jobs importing onnxruntime raises this."""
    (folder / "sitecustomize.py").write_text(
        "import sys\nclass Lacking:\n    def find_spec(self, name, *_):\n"
        f"        if name == 'onnxruntime': raise {error}\n"
        "sys.meta_path.insert(0, Lacking())\n"
    )
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return f"local?python={python}&root={folder}/root"


@pytest.mark.parametrize(
    ("raised", "error", "says"),
    [
        ('ModuleNotFoundError("No module named onnxruntime", name="onnxruntime")',
         DevicePackageError, r"package is missing on the device.*No module named onnxruntime"),
        ('ImportError("libcudart.so.12: cannot open shared object file")',
         DevicePackageError, r"libcudart\.so\.12"),
        ('ImportError("x.so: failed to map segment from shared object")',
         DeviceMemoryError, "out of memory"),
        ('OSError(28, "No space left on device")', DeviceStorageError, "no room on the device"),
    ],
)  # fmt: skip
def test_an_import_that_fails(
    tmp_path: Path, raised: str, error: type[Exception], says: str
) -> None:
    with connect(lacking(tmp_path, raised)) as device:
        with pytest.raises(error, match=says) as caught:
            device.run("describe", {"backend": "onnxruntime"})
        assert caught.value.exit_code == 4  # type: ignore[attr-defined]
        assert device.run("selftest", {"how": "nothing"}).result == "done"


def test_a_library_that_says_there_is_no_memory_and_ends_the_process(tmp_path: Path) -> None:
    ends = "sys.stderr.write('OpenBLAS error: Memory allocation still failed') and __import__('os')"
    url = lacking(tmp_path, f"({ends}._exit(1))")
    with connect(url) as device, pytest.raises(DeviceMemoryError, match="OpenBLAS"):
        device.run("describe", {"backend": "onnxruntime"})


@pytest.mark.skipif(agent.memory_kills() is None, reason="this system counts no kills")
def test_a_job_that_somebody_kills_is_not_out_of_memory(local: str, root: Path) -> None:
    def kill(*_: object) -> None:
        for folder in Path("/proc").iterdir():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"job" in words and any(word.startswith(str(root).encode()) for word in words):
                os.kill(int(folder.name), signal.SIGKILL)

    with connect(local) as device, pytest.raises(DeviceCrashError, match="somebody"):
        device.run("selftest", {"how": "hang"}, timeout_s=60, progress=kill)


def test_an_old_python_does_what_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs.sys, "version_info", (3, 9, 18))
    assert jobs.run("selftest", {"how": "nothing"}, {}, str(tmp_path), print) == "done"
    with pytest.raises(DevicePackageError, match=r"too old \(expected 3\.10 or newer"):
        jobs.run("describe", {"backend": "onnxruntime"}, {}, str(tmp_path), print)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "storage"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (RuntimeError("std::bad_alloc"), "memory"),
        (ModuleNotFoundError("No module named 'numpy'"), "package"),
        (MissingExtraError("no TensorRT"), "package"),
        (ValueError("x"), "failed"),
    ],
)
def test_kinds(error: Exception, kind: str) -> None:
    assert agent.kind_of(error) == kind
