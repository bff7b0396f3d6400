"""Devices of the tests: this machine, and itself behind a real sshd and a real adb."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

# The makers of synthetic engines live with the tests of the engine file.
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from conftest_adb import *  # noqa: F403
from conftest_engine import *  # noqa: F403
from loopback import SSHD, sshd

from tipsc.device import measuring
from tipsc.measure import resources
from tipsc.measure.resources import input_power, measure_energies


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


@pytest.fixture
def sensor(tmp_path: Path) -> Path:
    """A root with the files of https://docs.kernel.org/hwmon/ina3221.html: 5 V and 1.2 A."""
    folder = tmp_path / "root/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    folder.mkdir(parents=True)
    for name, text in {"in1_label": "VDD_IN", "in1_input": "5000", "curr1_input": "1200"}.items():
        (folder / name).write_text(text)
    return tmp_path / "root"


@pytest.fixture
def with_sensor(sensor: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine has it, and each path is measured for a moment."""
    for module in (measuring, resources):
        monkeypatch.setattr(module, "input_power", partial(input_power, sensor))
        shorter = partial(measure_energies, seconds=0.1)
        monkeypatch.setattr(module, "measure_energies", shorter)
