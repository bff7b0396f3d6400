"""What adb alone does: the system's client and server, before a stand-in for the phone."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest_adb import AdbDevice, adb_says, free_port
from left_running import gone, hang, processes_of, works

from tipsc.cli import main
from tipsc.device.client import connect
from tipsc.device.link import parse_link
from tipsc.errors import DeviceLinkError

Start = Callable[..., AdbDevice]


@pytest.mark.parametrize(
    "options", [(), ("--version", "0x01000000", "--most", "4096")], ids=["today", "oldest"]
)
def test_every_byte_arrives_as_it_was_sent(
    options: tuple[str, ...], adb_device: Start, root: Path
) -> None:
    text = bytes(range(256)) + b"\r\n\n\r\x04\x1a~." * 100 + random.Random(0).randbytes(3 << 20)
    with connect(adb_device(*options).url(root)) as device:
        name = device.push_bytes(text)
        assert (root / "blobs" / name).read_bytes() == text
        assert device.ping() > 0
    assert gone(root)


def test_a_client_that_goes_lets_the_agent_clean_up(adb: str, root: Path) -> None:
    # adbd tells it by a SIGHUP, of which a process would die at once.
    with pytest.raises(DeviceLinkError), connect(adb) as device:
        hang(device, device.cut)
    assert gone(root)
    assert not list((root / "jobs").iterdir())


def test_a_device_that_dies_in_a_job_is_named(adb_device: Start, root: Path) -> None:
    phone = adb_device()
    url = phone.url(root)
    with pytest.raises(DeviceLinkError, match=r"the link to the device broke.*adb devices"):  # noqa: SIM117
        with connect(url) as device:
            hang(device, phone.kill)
    assert gone(root)
    with pytest.raises(DeviceLinkError, match="adb does not reach the device"), connect(url):
        pass
    phone.restart()
    assert works(url)


def test_a_device_that_dies_in_a_transfer_is_named(adb_device: Start, root: Path) -> None:
    phone, content = adb_device(), random.Random(0).randbytes(20 << 20)
    with pytest.raises(DeviceLinkError, match="broke"), connect(phone.url(root)) as device:
        original, parts = device._send, iter(range(1000))

        def send(message: object, binary: bytes = b"") -> None:
            if binary and next(parts) == 5:  # of 20
                phone.kill()
            original(message, binary)  # type: ignore[arg-type]

        device._send = send  # type: ignore[method-assign, assignment]
        device.push_bytes(content)
    assert gone(root)
    phone.restart()
    with connect(phone.url(root)) as device:
        assert (root / "blobs" / device.push_bytes(content)).read_bytes() == content


def test_a_server_that_is_stopped_ends_the_job(adb: str, root: Path) -> None:
    serial = parse_link(adb).command[2]
    with pytest.raises(DeviceLinkError), connect(adb) as device:
        hang(device, lambda: adb_says("disconnect", serial))
    assert gone(root)


def test_on_a_phone_files_go_where_its_shell_may_write(adb_device: Start, tmp_path: Path) -> None:
    phone = adb_device(HOME="/proc", TMPDIR=str(tmp_path))
    url = f"adb://{phone.serial}?python={sys.executable}"
    root = tmp_path / "tipsc-device"
    with connect(url) as device:
        assert device.run("selftest", {"how": "nothing"}).result == "done"
        assert len(processes_of(root)) == 1
        device.clean()
    assert gone(root)
    assert not root.exists()


def test_a_script_may_choose_user_and_home(adb_device: Start, tmp_path: Path) -> None:
    script = tmp_path / "python3"  # as one that calls run-as or su
    script.write_text(f'#!/bin/sh\nHOME="{tmp_path}" exec {sys.executable} "$@"\n')
    script.chmod(0o755)
    assert works(f"adb://{adb_device(HOME='/proc').serial}?python={script}")
    assert (tmp_path / ".cache" / "tipsc-device" / "blobs").is_dir()


def refused(url: str) -> str:
    with pytest.raises(DeviceLinkError) as told, connect(url):
        pass
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_phone_without_python_is_told_what_to_do(adb_device: Start) -> None:
    text = refused(f"adb://{adb_device().serial}?python=/data/data/com.termux/files/usr/bin/python")
    assert "com.termux/files/usr/bin/python does not run on the device" in text
    assert "install Python 3.8" in text
    assert "reach Termux by ssh://" in text


def test_what_adb_says_is_told_in_one_line(adb_device: Start) -> None:
    assert "(got error: device 'nothing' not found)" in refused("adb://nothing")
    assert "adb connect HOST:PORT" in refused("adb://10.0.0.1:5555")
    locked = adb_device("--locked")
    assert "failed to authenticate" in locked.answer
    assert "(got error: device unauthorized); unlock" in refused(f"adb://{locked.serial}")
    assert "Android 7 or newer" in refused(f"adb://{adb_device('--old-shell').serial}")


def test_a_server_that_adb_starts_first_hides_nothing(
    adb_server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    for name in ("HOME", "TMPDIR"):  # where it keeps its keys and its log
        monkeypatch.setenv(name, str(tmp_path))
    try:
        assert "(got error: device 'nothing' not found)" in refused("adb://nothing")
    finally:
        adb_says("kill-server")


def test_a_machine_without_adb_is_told_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt-get install adb" in refused("adb://any")


def test_a_serial_is_taken_as_it_is() -> None:
    serials = {"usb:1-4": "usb:1-4", "R58M%20(2)": "R58M (2)", "10.0.0.1:5555": "10.0.0.1:5555"}
    for given, serial in serials.items():
        assert parse_link(f"adb://{given}").command[:3] == ("adb", "-s", serial)


def test_the_commands_take_a_device_over_adb(
    adb: str, engine_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(*words: str) -> dict[str, dict[str, object]]:
        with pytest.raises(SystemExit) as end:
            main([*words, "--format", "json", "--quiet"])
        assert not end.value.code
        document: dict[str, dict[str, object]] = json.loads(capsys.readouterr().out)
        return document

    assert call("device", "info", adb)["url"] == adb
    checks = call("device", "selftest", adb)
    assert {checks[name]["status"] for name in ("link", "failures", "facts")} == {"ok"}
    assert len(call("bench", str(engine_file), "--device", adb)["paths"]) == 4
    assert call("device", "clean", adb) == {"cleaned": adb, "left": []}
