"""The folder on a device is tipsc's own, or is left alone; nobody else reads what is in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tipsc.device import agent
from tipsc.device.client import connect
from tipsc.errors import DeviceLinkError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(root: Path, *parts: str) -> None:
    with (
        pytest.raises(DeviceLinkError, match="no folder for tipsc's files") as error,
        connect(f"local?root={root}"),
    ):
        pass
    for part in parts:
        assert part in str(error.value), str(error.value)


def test_a_folder_of_somebody_else_s_files_is_neither_used_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "blobs").mkdir()
    before = stat.S_IMODE(tmp_path.stat().st_mode)
    refused(tmp_path, "holds what tipsc did not put there, such as thesis.tex", "new or empty")
    assert names(tmp_path) == ["blobs", "thesis.tex"]
    assert stat.S_IMODE(tmp_path.stat().st_mode) == before


def test_what_others_put_into_tipsc_s_folder_stays(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with connect(f"local?root={root}") as device:
        device.push_bytes(b"x" * 100)
        (root / "notes.txt").write_text("mine")
        (root / "deep").mkdir()
        assert sorted(device.clean()) == ["deep", "notes.txt"]
    assert names(root) == ["deep", "notes.txt"]
    refused(root, "deep")  # it is no longer marked


def test_a_link_to_a_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    refused(tmp_path / "root", "is a symbolic link")
    assert names(tmp_path / "real") == []


def test_blobs_behind_a_link_are_not_removed(tmp_path: Path) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with connect(f"local?root={root}") as device:
        if (root / "jobs").is_dir():
            (root / "jobs").rmdir()
        (root / "jobs").symlink_to(other)
        device.clean()
    assert (other / "thesis.tex").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.chown(root, 54321, 54321)
    refused(root, "belongs to another user")
    assert names(root) == []


def test_nobody_else_reads_what_is_sent(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o777)
    root.chmod(0o777)
    with connect(f"local?root={root}") as device:
        digest = device.push_bytes(b"secret")
        modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (root / "blobs").iterdir()}
        assert modes == {digest: 0o600}
        for folder in (root, root / "blobs"):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for file in root.glob("agent-*"):
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0


def test_a_folder_that_tipsc_used_before_there_were_marks_is_taken(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "blobs").mkdir(parents=True)
    (root / "agent-0123456789abcdef.py").write_text("")
    with connect(f"local?root={root}") as device:
        assert (root / agent.MARKER).is_file()
        assert device.clean() == []
    assert not root.exists()
