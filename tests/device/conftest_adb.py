"""A real adb server of its own, and stand-in devices that it is connected to."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import free_port, wait_for

DAEMON = Path(__file__).with_name("adb_daemon.py")


def adb_says(*words: str) -> str:
    """What the system's adb prints."""
    return subprocess.run(["adb", *words], capture_output=True, text=True, check=False).stdout


class AdbDevice:
    """A stand-in device, started with options of :mod:`adb_daemon` and variables of its shell."""

    def __init__(self, *options: str, **environment: str) -> None:
        self._environment = {**os.environ, **environment}
        self._options = options
        self._start(0)
        self.serial = f"127.0.0.1:{self._port}"
        self.answer = adb_says("connect", self.serial)

    def _start(self, port: int) -> None:
        command = [sys.executable, str(DAEMON), "--port", str(port), *self._options]
        self._process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self._port = int(self._process.stdout.readline())

    def url(self, root: Path) -> str:
        return f"adb://{self.serial}?python={sys.executable}&root={root}"

    def kill(self) -> None:
        """As if its battery was empty."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def restart(self) -> None:
        adb_says("disconnect", self.serial)
        self._start(self._port)
        self.answer = adb_says("connect", self.serial)


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an adb server that no other adb here talks to; `adb` takes it from now on."""
    if shutil.which("adb") is None:
        pytest.skip("adb is not installed (.ci/run installs it)")
    folder = tmp_path_factory.mktemp("adb")
    port = free_port()
    with pytest.MonkeyPatch.context() as patch, (folder / "log").open("wb") as log:
        patch.delenv("ADB_SERVER_SOCKET", raising=False)
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
        server = subprocess.Popen(
            ["adb", "nodaemon", "server"],
            env={**os.environ, "HOME": str(folder)},  # its keys go there
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            wait_for(port)
            yield port
        finally:
            adb_says("kill-server")
            server.terminate()
            server.wait()


@pytest.fixture
def adb_device(adb_server: int) -> Iterator[Callable[..., AdbDevice]]:
    """Starts devices; they end with the test."""
    devices: list[AdbDevice] = []

    def start(*options: str, **environment: str) -> AdbDevice:
        devices.append(AdbDevice(*options, **environment))
        return devices[-1]

    yield start
    for device in devices:
        adb_says("disconnect", device.serial)
        device.kill()


@pytest.fixture
def adb(adb_device: Callable[..., AdbDevice], root: Path) -> str:
    return adb_device().url(root)
