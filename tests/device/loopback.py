"""A real sshd on loopback with throw-away keys, and an `ssh` and `scp` that log into it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_for(port: int) -> None:
    """Returns when something listens on loopback, or after ten seconds."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)


@contextmanager
def sshd(folder: Path, more: str = "") -> Iterator[int]:
    """The port of such a server; while it runs, `ssh` and `scp` on PATH have a key for it.

    Args:
        folder: empty, for keys and configuration; ``known`` has the keys of hosts.
        more: lines for the end of the server's configuration.
    """
    assert SSHD is not None
    folder.chmod(0o700)
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(make, check=True)
    shutil.copyfile(folder / "user.pub", folder / "authorized")
    port = free_port()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    (folder / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nPasswordAuthentication no\n"
        f"PermitRootLogin yes\nSubsystem sftp internal-sftp\n{more}"
    )
    # The link takes the `ssh` on PATH with its configuration: give it one that has the key.
    (folder / "config").write_text(
        f"Host *\n IdentityFile {folder}/user\n IdentitiesOnly yes\n"
        f" UserKnownHostsFile {folder}/known\n StrictHostKeyChecking accept-new\n LogLevel ERROR\n"
    )
    (folder / "bin").mkdir()
    for name in ("ssh", "scp"):
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {shutil.which(name)} -F {folder}/config "$@"\n')
        program.chmod(0o755)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    before = os.environ["PATH"]
    os.environ["PATH"] = f"{folder / 'bin'}:{before}"
    try:
        wait_for(port)
        yield port
    finally:
        os.environ["PATH"] = before
        server.terminate()
        server.wait()
