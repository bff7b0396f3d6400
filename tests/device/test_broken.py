"""What a user is told when there is no link: from what ssh and others really write."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from loopback import free_port

from tipsc.device.broken import explain_break
from tipsc.device.client import connect
from tipsc.device.link import parse_link
from tipsc.errors import DeviceError, DeviceLinkError, DeviceProtocolError


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("pi@a: Permission denied (publickey).", "does not let this user in"),
        ("@@@@\nHost key verification failed.", "host key is not the one"),
        ("ssh: Could not resolve hostname a: Name or service not known", "no host has this name"),
        ("ssh: connect to host a port 22: Connection timed out", "cannot be reached"),
        ("ssh: connect to host a port 22: No route to host", "cannot be reached"),
        ("Connection timed out during banner exchange\n", "cannot be reached"),
        ("Python 3.7.16 is too old for tipsc", "Python is too old"),
        ("TypeError: makedirs() got an unexpected keyword argument 'exist_ok'", "is too old"),
        ("OSError: [Errno 28] No space left on device: '/x/blobs'", "disk is full"),
        ("what nobody foresaw", "no agent answers"),
    ],
)
def test_each_reason_has_its_sentence(said: str, what: str) -> None:
    link = parse_link("ssh://a")
    error = explain_break(link, 255, f"Welcome\n{said}\n", greeted=False)
    assert what in error.what
    assert error.fix
    assert error.got == said.splitlines()[-1]


def test_a_link_that_broke_says_what_was_said_last() -> None:
    error = explain_break(parse_link("ssh://a"), 255, "timed out\ntwo\n\n", greeted=True)
    assert "broke" in error.what
    assert error.got == "two"


def refused(url: str) -> DeviceError:
    with pytest.raises(DeviceError) as caught, connect(url):
        pass
    return caught.value


def test_nothing_listens(ssh_port: int) -> None:
    error = refused(f"ssh://127.0.0.1:{free_port()}")
    assert error.what == "the device cannot be reached"


def test_a_key_that_is_not_known(
    ssh_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(
        f'#!/bin/sh\nexec {shutil.which("ssh")} -o PubkeyAuthentication=no "$@"\n'
    )
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    assert "does not let this user in" in refused(f"ssh://127.0.0.1:{ssh_port}").what


def test_what_a_login_script_prints_is_shown(tmp_path: Path) -> None:
    noisy = tmp_path / "python3"
    noisy.write_text("#!/bin/sh\necho Welcome to this device\ncat\n")
    noisy.chmod(0o755)
    error = refused(f"local?python={noisy}")
    assert isinstance(error, DeviceProtocolError)
    assert "'Welcome to this device'" in str(error)


def test_an_old_python_is_named(tmp_path: Path) -> None:
    """The agent's own look at its Python, in one that says it is old."""
    old = tmp_path / "sitecustomize.py"
    old.write_text("import sys, platform\nsys.version_info = (3, 7, 16, 'final', 0)\n"
                   "platform.python_version = lambda: '3.7.16'\n")  # fmt: skip
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    error = refused(f"local?python={python}&root={tmp_path}/root")
    assert isinstance(error, DeviceLinkError)
    assert error.what == "the device's Python is too old"
    assert subprocess.run([str(python), "-c", "pass"], check=False).returncode == 0
