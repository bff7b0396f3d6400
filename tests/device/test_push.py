"""Blobs on their way: what travels, what is refused, and what a failure leaves in the store."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tipsc.device import agent, stream
from tipsc.device.client import Connection, connect
from tipsc.errors import DeviceLinkError, DeviceProtocolError, DeviceStorageError, UsageError

LARGE = random.Random(0).randbytes((3 << 20) + 7)  # more than the head by which it is asked for


@pytest.fixture
def device(local: str) -> Iterator[Connection]:
    with connect(local) as connection:
        yield connection


@contextmanager
def counted(device: Connection) -> Iterator[list[int]]:
    """The lengths of the binary parts that are sent."""
    sent: list[int] = []
    original = device._send

    def send(message: object, binary: bytes = b"") -> None:
        if binary:
            sent.append(len(binary))
        original(message, binary)  # type: ignore[arg-type]

    device._send = send  # type: ignore[method-assign, assignment]
    try:
        yield sent
    finally:
        device._send = original  # type: ignore[method-assign]


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
def test_a_blob_travels_once(
    device: Connection, root: Path, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with counted(device) as sent:
        name = device.push(file)
        assert sum(sent) == len(content)
        assert device.push(file) == device.push_bytes(content) == name
        assert sum(sent) == len(content)
    assert name == hashlib.sha256(content).hexdigest()
    assert (root / "blobs" / name).read_bytes() == content


def test_one_that_begins_as_another_is_sent(device: Connection, root: Path) -> None:
    other = LARGE[:-1] + bytes([LARGE[-1] ^ 1])
    for content in (LARGE, other):
        assert (root / "blobs" / device.push_bytes(content)).read_bytes() == content


def test_another_content_than_announced_is_refused(device: Connection, root: Path) -> None:
    device._send({"op": "put", "size": 5})
    device._send({}, b"right")
    device._send({"digest": hashlib.sha256(b"wrong").hexdigest()})
    with pytest.raises(DeviceProtocolError, match="another content"):
        device._answer(agent.time.monotonic() + 60)
    assert device.ping() > 0
    assert not list((root / "blobs").iterdir())


def test_a_file_that_shrinks_while_it_is_sent(
    device: Connection, root: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_bytes(LARGE)
    original = device._send

    def send(message: object, binary: bytes = b"") -> None:
        if binary:
            os.truncate(file, 1 << 20)
        original(message, binary)  # type: ignore[arg-type]

    device._send = send  # type: ignore[method-assign, assignment]
    with pytest.raises(UsageError, match="changed while it was sent"):
        device.push(file)
    assert device.ping() > 0
    assert not list((root / "blobs").iterdir())


def test_what_does_not_fit_is_refused_before_it_travels(local: str) -> None:
    with (
        connect(local, quota=1 << 20) as device,
        counted(device) as sent,
        pytest.raises(DeviceStorageError, match=r"of the 1048576 that tipsc may take are in use"),
    ):
        device.push_bytes(LARGE)
    assert not sent


def test_a_disk_that_fills_up_is_told_when_the_whole_stream_is_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = agent.Store(str(root))
    there, here = os.pipe()
    parts = [LARGE[place : place + 20_000] for place in range(0, 60_000, 20_000)]
    for part in parts:
        agent.send(here, {}, part)
    agent.send(here, {"digest": "0" * 64})

    def full(descriptor: int, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(agent, "write_all", full)
    with pytest.raises(OSError, match="No space left"):
        store.put(60_000, there)
    os.close(here)
    assert os.read(there, 1) == b""
    os.close(there)
    assert not list((root / "blobs").iterdir())


def test_a_blob_that_another_client_prunes_meanwhile_is_no_failure(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = agent.Store(str(root))
    gone = "0" * 64
    monkeypatch.setattr(agent.os, "listdir", lambda folder: [gone])
    store.make_room(1)
    assert not store.like(1, "")


def test_a_device_that_stops_reading_is_told(local: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceLinkError, match="does not answer"), connect(local) as device:
        monkeypatch.setattr(stream, "ANSWER_S", 0.5)
        device._process.send_signal(signal.SIGSTOP)
        device._send({"op": "put", "size": len(LARGE) * 2})
        for _ in range(2):
            for place in range(0, len(LARGE), 1 << 20):
                device._send({}, LARGE[place : place + (1 << 20)])
