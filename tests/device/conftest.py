"""Devices of the tests: this machine, and itself behind a real sshd and a real adb."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The makers of synthetic engines live with the tests of the engine file.
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from conftest_adb import *  # noqa: F403
from conftest_engine import *  # noqa: F403
from loopback import SSHD, sshd


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
    with sshd(tmp_path_factory.mktemp("sshd")) as port:
        yield port


@pytest.fixture
def ssh(ssh_port: int, root: Path) -> str:
    return f"ssh://127.0.0.1:{ssh_port}?python={sys.executable}&root={root}"
