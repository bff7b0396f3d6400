"""Every way to fail has its error, nothing is left running, and a retry succeeds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from left_running import gone, hang, processes_of, works

from tipsc.device.client import connect
from tipsc.device.link import parse_link
from tipsc.device.probe import survive
from tipsc.errors import (
    DeviceLinkError,
    DeviceProtocolError,
    DeviceStorageError,
    UsageError,
)


@pytest.mark.parametrize("link", ["local", "ssh", "adb"])
def test_failed_jobs_are_told_apart_and_the_next_job_works(
    link: str, root: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(link)
    with connect(url) as device:
        assert set(survive(device)) == {"ping", "crash", "memory", "hang", "raise"}
        device.clean()
    assert not root.exists()
    assert gone(root)


@pytest.mark.parametrize("link", ["local", "ssh", "adb"])
def test_a_killed_agent_takes_its_job_along(
    link: str, root: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(link)

    def kill() -> None:
        for pid in processes_of(root):
            if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    with (
        pytest.raises(
            DeviceLinkError, match="the link to the device broke, or its agent was killed"
        ),
        connect(url) as it,
    ):
        hang(it, kill)
    assert gone(root)
    assert works(url)


@pytest.mark.parametrize("link", ["local", "ssh", "adb"])
def test_a_cut_link_ends_the_job(link: str, root: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(link)
    with pytest.raises(DeviceLinkError), connect(url) as device:
        hang(device, lambda: device._process.kill())
    if link != "local":  # the local link is the agent itself, killed in the test above
        assert gone(root)
    assert works(url)


@pytest.mark.parametrize("link", ["ssh", "adb"])
def test_a_link_cut_within_a_transfer_leaves_nothing_half_done(
    link: str, root: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(link)
    content = random.Random(0).randbytes(30 << 20)
    with pytest.raises(DeviceLinkError), connect(url) as device:
        original, parts = device._send, iter(range(1000))

        def send(message: object, binary: bytes = b"") -> None:
            if binary and next(parts) == 5:  # of 30
                device._process.kill()
            original(message, binary)  # type: ignore[arg-type]

        device._send = send  # type: ignore[method-assign, assignment]
        device.push_bytes(content)
    assert gone(root)
    with connect(url) as device:
        assert not list((root / "blobs").iterdir())
        name = device.push_bytes(content)
        assert (root / "blobs" / name).read_bytes() == content


def test_blobs_travel_once_and_the_store_is_bounded(local: str, root: Path) -> None:
    with connect(local, quota=3_000_000) as device:
        first = device.push_bytes(b"a" * 1_500_000)
        assert device.push_bytes(b"a" * 1_500_000) == first
        with pytest.raises(DeviceStorageError, match="no room on the device"):
            device.push_bytes(b"b" * 3_500_000)
        assert device.ping() > 0
    with connect(local, quota=3_000_000) as device:  # nothing is in use any more
        second = device.push_bytes(b"c" * 2_000_000)
        assert [file.name for file in (root / "blobs").iterdir()] == [second]


def test_a_device_that_talks_nonsense_is_named(tmp_path: Path) -> None:
    noisy = tmp_path / "python3"
    noisy.write_text("#!/bin/sh\necho Welcome to this device\ncat\n")
    noisy.chmod(0o755)
    with pytest.raises(DeviceProtocolError, match="login script"), connect(f"local?python={noisy}"):
        pass


def test_a_device_without_python_is_named(ssh_port: int) -> None:
    url = f"ssh://127.0.0.1:{ssh_port}?python=/nowhere/python3"
    with pytest.raises(DeviceLinkError, match="install Python") as told, connect(url):
        pass
    assert "/nowhere/python3 does not run on the device" in str(told.value)


@pytest.mark.parametrize("link", ["local", "ssh", "adb"])
def test_a_device_that_may_write_nowhere_is_named(
    link: str, root: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(link).replace(str(root), "/proc/nowhere")
    with pytest.raises(DeviceLinkError, match="no folder for tipsc's files"), connect(url):
        pass


@pytest.mark.parametrize(
    "url",
    ["", "pi", "ssh://", "ssh://a:b@c", "ssh://-oProxyCommand=x", "ssh://a/b", "http://a",
     "ssh://a:x", "ssh://[", "local?shell=1", "adb://", "adb://a/b", "adb://-H", "adb://a?shell=1"],
)  # fmt: skip
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError):
        parse_link(url)


def test_the_runtime_on_a_device_needs_no_pydantic(local: str) -> None:
    """The archive alone, in a Python that finds neither pydantic nor torch nor onnx."""
    from tipsc.device.archive import runtime_archive

    program = (
        "import sys\n"
        "for name in ('pydantic', 'torch', 'onnx', 'click'): sys.modules[name] = None\n"
        "sys.path[:0] = [sys.argv[1]]\n"
        "import tipsc.device.jobs, tipsc.measure.loop, tipsc.measure.facts, tipsc.runtime\n"
        "import tipsc.backends.onnxruntime\n"
        "assert tipsc.__file__.startswith(sys.argv[1])\n"
    )
    with connect(local) as device:
        name = device.push_bytes(runtime_archive())
        file = Path(parse_link(local).root) / "blobs" / name
        subprocess.run([sys.executable, "-c", program, str(file)], check=True, cwd="/")


@pytest.mark.parametrize(("text", "size"), [("300", 300), ("2K", 2048), ("3G", 3 << 30)])
def test_a_url_says_how_much_may_be_kept(text: str, size: int) -> None:
    assert parse_link(f"ssh://a?quota={text}").quota == size
    assert parse_link("ssh://a").quota is None
    for wrong in ("", "G", "-1", "1.5G", "8GB"):
        with pytest.raises(UsageError, match="this is no quota"):
            parse_link(f"ssh://a?quota={wrong or 'x'}")


def test_the_quota_of_a_url_holds(local: str) -> None:
    with connect(f"{local}&quota=1M") as device:
        device.push_bytes(bytes(1000))
        with pytest.raises(DeviceStorageError, match="1048576 that tipsc may take"):
            device.push_bytes(os.urandom(2 << 20))
