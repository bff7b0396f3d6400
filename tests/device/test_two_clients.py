"""Two clients at one folder of one device: neither takes away what the other uses."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tipsc.device.client import Connection, connect
from tipsc.errors import DeviceStorageError

BLOB = random.Random(1).randbytes(5 << 20)


def push(url: str) -> str:
    with connect(url) as device:
        return device.push_bytes(BLOB)


def test_both_push_the_same_blob(local: str, root: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        names = set(pool.map(push, [local] * 4))
    assert [file.name for file in (root / "blobs").iterdir()] == [*names]
    assert (root / "blobs" / names.pop()).read_bytes() == BLOB


def test_what_a_running_job_uses_is_not_cleaned_away(local: str, root: Path) -> None:
    refused: list[str] = []

    def clean(*_: object) -> None:
        with (
            connect(local) as other,
            pytest.raises(DeviceStorageError, match="in use") as caught,
        ):
            other.clean()
        refused.append(str(caught.value))
        device.cut()

    with connect(local) as device:
        try:
            device.run("selftest", {"how": "hang"}, timeout_s=60, progress=clean)
        except Exception:
            assert refused
    assert refused


def test_a_client_goes_on_after_another_has_cleaned(local: str, root: Path) -> None:
    with connect(local) as device:
        assert done(device)
        with connect(local) as other:
            other.clean()
        assert not root.exists()
        assert done(device)
        device.clean()
    assert not root.exists()


def done(device: Connection) -> bool:
    return device.run("selftest", {"how": "nothing"}).result == "done"


def test_a_job_keeps_what_is_pruned_meanwhile(local: str, root: Path) -> None:
    """The blob's name in the store goes, the job's own name of it stays."""
    seen: list[bool] = []

    def prune(*_: object) -> None:
        for file in (root / "blobs").iterdir():
            file.unlink()
        folder = next((root / "jobs").iterdir()) / "blobs"
        seen.append((folder / name).read_bytes() == BLOB)
        device.cut()

    with connect(local) as device:
        name = device.push_bytes(BLOB)
        try:
            device.run("selftest", {"how": "hang"}, {"x": name}, timeout_s=60, progress=prune)
        except Exception:
            assert seen
    assert seen == [True]


def test_the_rests_of_a_killed_agent_are_no_client(local: str, root: Path) -> None:
    """Its number may be another process's by now."""
    for folder in ("jobs", "blobs"):
        (root / folder).mkdir(parents=True)
    (root / "jobs" / str(os.getpid())).mkdir()
    (root / "blobs" / f"blob.{os.getpid()}.part").write_bytes(b"half")
    with connect(local) as device:
        assert not list((root / "jobs").iterdir())
        assert not list((root / "blobs").iterdir())
        device.clean()
    assert not root.exists()
