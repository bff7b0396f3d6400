"""Devices of the tests: this machine, and itself behind a real sshd and a real adb."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

# The makers of synthetic engines live with the tests of the engine file.
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from conftest_adb import *  # noqa: F403
from conftest_engine import *  # noqa: F403

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the agent keeps its files."""
    return tmp_path / "agent"


@pytest.fixture
def local(root: Path) -> str:
    return f"local?root={root}"


@pytest.fixture(scope="session")
def ssh_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an sshd to which the `ssh` on PATH has a key."""
    if SSHD is None:
        pytest.skip("openssh-server is not installed (.ci/run installs it)")
    folder = tmp_path_factory.mktemp("sshd")
    folder.chmod(0o700)
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True)
    (folder / "authorized").write_bytes((folder / "user.pub").read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nPasswordAuthentication no\n"
        "PermitRootLogin yes\n"
    )
    # The link takes the `ssh` on PATH with its configuration: give it one that has the key.
    ssh = folder / "bin" / "ssh"
    ssh.parent.mkdir()
    (folder / "config").write_text(
        f"Host *\n IdentityFile {folder}/user\n UserKnownHostsFile {folder}/known\n"
        " StrictHostKeyChecking accept-new\n"
    )
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    ssh.chmod(0o755)
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "sshd_config")])
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{ssh.parent}:{before}"
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
    finally:
        os.environ["PATH"] = before
        server.terminate()
        server.wait()


@pytest.fixture
def ssh(ssh_port: int, root: Path) -> str:
    return f"ssh://127.0.0.1:{ssh_port}?python={sys.executable}&root={root}"
