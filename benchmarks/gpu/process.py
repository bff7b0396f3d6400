"""A check in a process of its own: what ends that process is a word in its result, and no more.

    python -m gpu.process FILE CHECK ENGINES WORK [ARGUMENT ...]

does one, and writes its result into FILE.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from gpu.record import ABSENT, FAILED, OK, Absent, Result

ROOT = Path(__file__).resolve().parents[2]
_PR_SET_PDEATHSIG = 1
_TAIL = 600  # characters of what a dead process said


@dataclass(frozen=True)
class Check:
    """One thing to try.

    Attributes:
        name: unique.
        place: ``module:function`` in this package; called with (engines, work, *arguments).
        arguments: words.
        limit_s: seconds until its process is ended.
    """

    name: str
    place: str
    arguments: tuple[str, ...] = ()
    limit_s: float = 60.0


def make(check: Check, engines: Path, work: Path, most_s: float) -> Result:
    """Makes a check within its limit and `most_s` seconds; never raises."""
    begun = time.monotonic()
    limit_s = min(check.limit_s, most_s)
    if limit_s <= 0:
        return Result(check.name, ABSENT, "no time was left for it")
    with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
        file, said = Path(folder) / "result.json", Path(folder) / "said"
        command = [sys.executable, "-m", "gpu.process", file, check.place, engines, work]
        with said.open("wb") as stream:
            process = subprocess.Popen(
                [*map(str, command), *check.arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            pass
        finally:  # with what it started
            _end(process)
        seconds = time.monotonic() - begun
        if file.is_file():
            return Result(check.name, **json.loads(file.read_text()), seconds=round(seconds, 1))
        tail = " ".join(said.read_bytes()[-_TAIL:].decode(errors="replace").split())
    how = f"exit {process.returncode}"
    if process.returncode == -signal.SIGKILL:
        how = f"not done after {limit_s:.0f} s"
    elif process.returncode < 0:
        how = f"ended by signal {-process.returncode}"
    return Result(check.name, FAILED, f"{how}: {tail}", round(seconds, 1))


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _environment() -> dict[str, str]:
    places = [str(ROOT), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
        "PYTHONUNBUFFERED": "1",
        # Kernels are loaded when they are called first, as NVIDIA advises.
        "CUDA_MODULE_LOADING": "LAZY",
    }


def main() -> None:
    """One check, here."""
    file, place, engines, work, *arguments = sys.argv[1:]
    module, function = place.split(":")
    if sys.platform == "linux":  # it ends with the command that made it
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        call = getattr(importlib.import_module(f"gpu.{module}"), function)
        figures = call(Path(engines), Path(work), *arguments)
        found = Result("", OK, figures=figures)
    except Absent as error:
        found = Result("", ABSENT, str(error))
    except Exception as error:
        figures = getattr(error, "figures", {})
        found = Result("", FAILED, f"{type(error).__name__}: {error}", figures=figures)
    document = asdict(found)
    del document["name"], document["seconds"]
    part = Path(file).with_suffix(".part")
    part.write_text(json.dumps(document))
    part.replace(file)


if __name__ == "__main__":
    main()
