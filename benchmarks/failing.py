"""Commands that are made to fail: what is done to them while they run, and what they leave.

For ``benchmarks/device_failures.py``, which has the cases.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

for _room in ("device", "engine"):  # where the tests' sshd and synthetic engines are
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / _room))

LARGE = 300_000_000  # bytes of weights, to have time to cut their transfer
PATIENCE_S = 120.0
Act = Callable[["Case", "subprocess.Popen[str]"], None]


@dataclass
class Case:
    """One failure: what is run, what is done to it meanwhile, and what it is run on again."""

    name: str
    words: list[str]  # of the command; the URL of the device follows
    url: str
    root: Path
    act: Act | None = None
    again: list[str] | None = None
    again_url: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)  # what else was seen


@dataclass
class Seen:
    """What came of it.

    Attributes:
        provoked: what was done.
        message: as it was printed.
        retry: whether the command then succeeded.
        running: processes left behind.
        lying: files left behind by what was killed.
        after: processes and files left behind after the retry.
    """

    provoked: str
    exit_code: int
    message: str
    retry: str
    running: list[str]
    lying: list[str]
    after: list[str]


# --- what is looked at -------------------------------------------------------------------------


def processes(mark: bytes, file: str = "cmdline") -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                text = (folder / file).read_bytes()
                zombie = b") Z " in (folder / "stat").read_bytes()
            except OSError:
                continue
            if mark in text and not zombie:
                found.append(int(folder.name))
    return found


def there(case: Case, role: bytes) -> list[int]:
    """Processes of the device: the agent (b"serve") or its job (b"job")."""
    own = b"\0" + role + b"\0" + str(case.root).encode()
    return processes(own)


def links(case: Case) -> list[int]:
    """The ssh of the client."""
    return [p for p in marked(case) if Path(f"/proc/{p}/comm").read_text() == "ssh\n"]


def marked(case: Case) -> list[int]:
    return processes(f"TIPSC_CASE={case.root}\0".encode(), "environ")


def left_running(case: Case) -> list[str]:
    """Processes that do not end within ten seconds of the command."""
    end = time.monotonic() + 10
    while True:
        left = [f"process here: {name_of(p)}" for p in marked(case)]
        agents = there(case, b"serve") + there(case, b"job")
        left += [f"process there: {name_of(p)}" for p in agents]
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.2)


def left_lying(case: Case, temporary: Path) -> list[str]:
    """Files that are no whole blobs there, and tipsc's temporary ones here."""
    left = [f"file there: {f.name}" for f in case.root.rglob("*.part")]
    left += [f"job there: {f.name}" for f in case.root.glob("jobs/*")]
    return left + [f"file here: {f.name}" for f in temporary.glob("tipsc*")]


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:80]
    except OSError:
        return str(pid)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the moment to disturb it never came")
        time.sleep(0.005)


# --- what is done to a command that runs ---------------------------------------------------------


def job_runs(case: Case, job: str) -> bool:
    """Whether the job of this name runs on the device."""
    try:
        return any(
            f'"job": "{job}"' in file.read_text() for file in case.root.glob("jobs/*/job.json")
        ) and bool(there(case, b"job"))
    except OSError:
        return False


def during(job: str, act: Act) -> Act:
    def wait(case: Case, process: subprocess.Popen[str]) -> None:
        until(lambda: job_runs(case, job) or process.poll() is not None)
        time.sleep(0.5)
        act(case, process)

    return wait


def in_transfer(act: Act) -> Act:
    def half(case: Case) -> bool:
        return any(f.stat().st_size > LARGE // 10 for f in case.root.glob("blobs/*.part"))

    def wait(case: Case, process: subprocess.Popen[str]) -> None:
        until(lambda: half(case) or process.poll() is not None)
        act(case, process)

    return wait


def kill(which: Callable[[Case], list[int]], number: int) -> Act:
    def act(case: Case, process: subprocess.Popen[str]) -> None:
        for pid in which(case):
            os.kill(pid, number)

    return act


def stop_client(number: int, *, group: bool) -> Act:
    """As a terminal (the whole group) or another program (the client alone) does it."""

    def act(case: Case, process: subprocess.Popen[str]) -> None:
        (os.killpg if group else os.kill)(process.pid, number)

    return act


def sleep(case: Case, process: subprocess.Popen[str]) -> None:
    stopped = marked(case)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(30)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)


def session_of(case: Case) -> list[int]:
    """The sshd process that serves the agent."""
    found = []
    for pid in there(case, b"serve"):
        text = Path(f"/proc/{pid}/stat").read_text()
        found.append(int(text.rsplit(")", 1)[1].split()[1]))
    return found


# --- running -------------------------------------------------------------------------------------


def run(case: Case) -> Seen:
    with tempfile.TemporaryDirectory(prefix="case-") as name:
        own = {"TMPDIR": name, "TIPSC_CASE": str(case.root), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, "-m", "tipsc", *case.words, case.url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **own, **case.environment},
            start_new_session=True,
        )
        if case.act is not None:
            case.act(case, process)
        _, said = process.communicate(timeout=PATIENCE_S * 5)
        running, lying = left_running(case), left_lying(case, Path(name))
        again = subprocess.run(
            [
                sys.executable,
                "-m",
                "tipsc",
                *(case.again or case.words),
                case.again_url or case.url,
            ],
            capture_output=True,
            text=True,
            env={**os.environ, **own},
            timeout=PATIENCE_S * 5,
            check=False,
        )
        retry = "yes" if again.returncode == 0 else f"no: {again.stderr.strip()[-300:]}"
        after = left_running(case) + left_lying(case, Path(name))
    shown = [line for line in said.splitlines() if line.startswith(("error", "stopped"))]
    if process.returncode == 0:
        shown = ["(it succeeds)"]
    message = "\n".join(shown + case.remarks) or said.strip()[-600:]
    return Seen(case.name, process.returncode, message, retry, running, lying, after)
