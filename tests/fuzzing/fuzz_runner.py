"""Runs executors of mutated inputs in processes of their own, and tells what must not happen.

A kind of fuzz is a module with ``make_executor(folder) -> Callable[[random.Random], None]``: each
call makes one input from the generator and runs it to its end. It may return or raise a
TipscError. Anything else is a failure: another exception, a signal, no end within
:data:`PATIENCE` seconds, or more memory than :data:`MEMORY` beyond what the process had at first.

An execution is told by its seed alone. To see one again: ``python tests/fuzzing/fuzz_runner.py
KIND SEED``.
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
#: kinds to modules beside this one
KINDS = {
    "engine": "fuzz_engine",
    "tflite": "fuzz_tflite",
    "agent": "fuzz_agent",
    "client": "fuzz_client",
}
#: seconds of one execution
PATIENCE = 10.0
#: bytes that an execution may take beyond the process with its libraries
MEMORY = 512 << 20
#: bytes of address space beyond those, which end what would take the whole machine
_ADDRESSES = 6 << 30
#: failures after which a range of seeds is given up
ENOUGH = 20
#: seconds between two looks at a process
_LOOK = 0.05
#: what a process shares with the one that watches it: the seed at work, how many it has done
_STATE = struct.Struct("<QQ")
TAKEN = "taken"


@dataclass(frozen=True)
class Failure:
    """What must not happen: the `kind` and `seed` that do it, and what they do."""

    kind: str
    seed: int
    what: str

    def __str__(self) -> str:
        return f"{self.what}\n  again: python tests/fuzzing/fuzz_runner.py {self.kind} {self.seed}"


@dataclass(frozen=True)
class Outcome:
    """Of a range of seeds.

    Attributes:
        executions: that ended, failures included.
        ends: how many ended in what: ``taken``, or the name of a TipscError. Those before a signal
            are not known.
        failures: what must not happen.
        memory_bytes: the most that a process took beyond what it had at first.
        longest_s: of one execution.
    """

    kind: str
    executions: int
    ends: Counter[str]
    failures: tuple[Failure, ...]
    memory_bytes: int
    longest_s: float

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.kind,
            self.executions + other.executions,
            self.ends + other.ends,
            self.failures + other.failures,
            max(self.memory_bytes, other.memory_bytes),
            max(self.longest_s, other.longest_s),
        )


def fuzz(kind: str, seeds: range, watch: Callable[[int], None] = lambda done: None) -> Outcome:
    """Execute `seeds`, in one process unless some of them end it.

    Args:
        kind: a key of :data:`KINDS`, or the name of a module that can be imported.
        seeds: with step 1.
        watch: is called now and then with how many were executed.
    """
    outcome = Outcome(kind, 0, Counter(), (), 0, 0.0)
    while outcome.executions < len(seeds) and len(outcome.failures) < ENOUGH:
        done = outcome.executions
        outcome += _one_process(kind, seeds[done:], lambda more, done=done: watch(done + more))
    return outcome


def _one_process(kind: str, seeds: range, watch: Callable[[int], None]) -> Outcome:
    """Up to the first failure: what comes after it shall not be its victim."""
    with tempfile.TemporaryDirectory(prefix="tipsc-fuzz-") as name:
        folder = Path(name)
        state_file, said_file, result_file = (folder / part for part in ("state", "said", "result"))
        state_file.write_bytes(_STATE.pack(seeds.start, 0))
        work = folder / "work"
        work.mkdir()
        # Whatever a library writes for its user goes with the folder.
        environment = dict.fromkeys(("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"), name)
        command = [sys.executable, __file__, kind, str(seeds.start), str(len(seeds)), name]
        with said_file.open("wb") as said:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            )
            try:
                hung = _wait(process, state_file, watch)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        result = json.loads(result_file.read_text()) if result_file.exists() else {}
        seed, done = _STATE.unpack(state_file.read_bytes())
        what = result.get("failure")
        if hung:
            what = f"no end within {PATIENCE:.0f} s"
        elif process.returncode:
            last = said_file.read_text(errors="replace").strip()[-2000:]
            how = f"signal {-process.returncode}" if process.returncode < 0 else "the process ended"
            what = f"{how}: {last}"
        failures = (Failure(kind, seed, what),) if what else ()
        ends = Counter(result.get("ends", {}))  # a signal takes them with it
        return Outcome(
            kind,
            seed - seeds.start + 1 if failures else done,
            ends,
            failures,
            result.get("memory_bytes", 0),
            result.get("longest_s", 0.0),
        )


def _wait(process: subprocess.Popen[bytes], state_file: Path, watch: Callable[[int], None]) -> bool:
    """Until the process ends; True: it hangs."""
    # Imports come before the first execution, and are nobody's hang.
    last, since, patience = b"", time.monotonic(), 20 * PATIENCE
    while process.poll() is None:
        time.sleep(_LOOK)
        state = state_file.read_bytes()
        if state != last:
            watch(_STATE.unpack(state)[1])
            if last:
                patience = PATIENCE
            last, since = state, time.monotonic()
        elif time.monotonic() - since > patience:
            return True
    return False


def work(kind: str, seeds: range, folder: Path) -> None:
    """The process: executes seeds up to the first failure, and writes down how they ended."""
    from tipsc.errors import TipscError

    execute = executor(kind, folder / "work")
    ends: Counter[str] = Counter()
    failure, longest, done = "", 0.0, 0
    first = _peak()
    _bound_addresses()
    with (folder / "state").open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as state:
        for seed in seeds:
            _STATE.pack_into(state, 0, seed, done)
            began = time.perf_counter()
            try:
                execute(random.Random(seed))
                ends[TAKEN] += 1
            except TipscError as error:
                ends[type(error).__name__] += 1
            except BaseException:
                failure = traceback.format_exc(limit=-8)
            longest = max(longest, time.perf_counter() - began)
            if _peak() - first > MEMORY:
                failure = failure or f"{(_peak() - first) >> 20} MiB, more than {MEMORY >> 20}"
            if failure:
                break
            done += 1
        if not failure:
            _STATE.pack_into(state, 0, seeds[-1], done)
    result = {
        "ends": ends,
        "failure": failure,
        "memory_bytes": _peak() - first,
        "longest_s": longest,
    }
    (folder / "result").write_text(json.dumps(result))


def executor(kind: str, folder: Path) -> Callable[[random.Random], None]:
    """Of a kind, over the empty `folder`."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    make: Callable[[Path], Callable[[random.Random], None]]
    make = importlib.import_module(KINDS.get(kind, kind)).make_executor
    return make(folder)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _bound_addresses() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + _ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def main() -> None:
    if len(sys.argv) == 5:
        first, count = int(sys.argv[2]), int(sys.argv[3])
        work(sys.argv[1], range(first, first + count), Path(sys.argv[4]))
        return
    with tempfile.TemporaryDirectory(prefix="tipsc-fuzz-") as folder:
        executor(sys.argv[1], Path(folder))(random.Random(int(sys.argv[2])))
    print("taken")


if __name__ == "__main__":
    main()
