"""The log of calls: complete lines, from several threads and processes, and no end of the work."""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from test_governor import PATHS, Device, governed

from tipsc.errors import UsageError
from tipsc.runtime import CallLog, CallRecord, Governor, Mode, Reason, call_log

RECORD = CallRecord(
    PATHS[1], Mode.DEADLINE, Reason.TRIED, 3.0, 2.25, 3.5, math.inf, 1.125, 7.0
)  # fmt: skip


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_has_what_is_known_of_the_call(tmp_path: Path) -> None:
    with CallLog(tmp_path / "log", clock=lambda: 1.7e9) as log:
        log(RECORD)
        log.of("new")(RECORD)
    one, two = lines(tmp_path / "log")
    assert one == {
        "unix_s": 1.7e9, "engine": "", "path": "p1", "mode": "deadline", "reason": "tried",
        "budget_ms": 3.0, "predicted_ms": 2.25, "elapsed_ms": 3.5, "gap_ms": None,
        "slowdown": 1.125, "in_time": False,
    }  # fmt: skip
    assert two == {**one, "engine": "new"}


def test_a_line_has_the_energy_of_a_path_that_has_one(tmp_path: Path) -> None:
    with CallLog(tmp_path / "log", clock=lambda: 1.7e9) as log:
        log(RECORD)
        log(replace(RECORD, path=replace(PATHS[1], energy_mj=2.5)))
    assert [line.get("energy_mj") for line in lines(tmp_path / "log")] == [None, 2.5]


def test_lines_are_written_once_a_second_or_for_each_thousand(tmp_path: Path) -> None:
    file, now = tmp_path / "log", [10.0]
    log = CallLog(file, clock=lambda: now[0])
    log(RECORD)
    assert file.read_text() == ""
    now[0] = 11.0
    log(RECORD)
    assert len(lines(file)) == 2
    for _ in range(call_log.LINES):
        log(RECORD)
    assert len(lines(file)) == 2 + call_log.LINES
    log(RECORD)
    log.close()
    log(RECORD)  # too late, and no error
    assert len(lines(file)) == 3 + call_log.LINES


def test_threads_leave_a_line_for_each_call(tmp_path: Path) -> None:
    with CallLog(tmp_path / "log") as log:
        threads = [
            threading.Thread(target=lambda: [log(RECORD) for _ in range(700)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(lines(tmp_path / "log")) == 2800


def test_processes_may_append_to_one_file(tmp_path: Path) -> None:
    program = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from test_call_log import RECORD, CallLog\n"
        "with CallLog(sys.argv[1]) as log:\n"
        "    for _ in range(2500): log(RECORD)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "log"), *sys.path]
    running = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(120) for process in running] == [0, 0]
    assert len(lines(tmp_path / "log")) == 5000


def test_a_governor_writes_there(tmp_path: Path) -> None:
    device = Device()
    with CallLog(tmp_path / "log") as log:
        governor = Governor(device, clock=device.clock, on_call=log)
        governor.run(0, budget_ms=9)
        governor.run(0, path="p0")
    deadline, pinned = lines(tmp_path / "log")
    assert (deadline["path"], deadline["in_time"]) == ("p3", True)
    assert (pinned["mode"], pinned["budget_ms"]) == ("pinned", None)


def test_a_file_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none/log: the log of calls cannot be written: No such"):
        CallLog(tmp_path / "none" / "log")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_ends_the_log_and_not_the_application(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = Device()
    log = CallLog("/dev/full", clock=device.clock)
    governor = governed(device)
    governor._on_call = log
    with caplog.at_level(logging.WARNING, "tipsc"):
        for _ in range(300):  # 16 ms each: four times a second is due
            governor.run(0, budget_ms=18)
        log.close()
    assert [r.message for r in caplog.records] == [
        "the log of calls ends here: /dev/full: No space left on device"
    ]
