"""The calls of governors as lines of JSON in a file, which ``tipsc trace`` sums up and draws."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tipsc.errors import UsageError
from tipsc.runtime.call import CallRecord

#: lines and seconds after which they are written
LINES, SECONDS = 1000, 1.0


class CallLog:
    """Appends a line for each call. A context manager; may be used by several threads.

    ::

        with CallLog("calls.jsonl") as log:
            governor = Governor(engine, on_call=log)

    Lines are written together, once a second or for each thousand, in the thread of the call that
    makes them due, and when it is closed; a process that is killed loses those that wait. Several
    processes may append to one file. A disk that is full ends the log, not the application: a line
    to the log ``tipsc`` says so.

    Args:
        file: where lines are appended.
        clock: seconds since 1970; replaced in simulations.

    Raises:
        UsageError: the file cannot be written.
    """

    def __init__(
        self, file: str | os.PathLike[str], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._file, self._clock = Path(file), clock
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._due = clock() + SECONDS
        try:
            self._descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise UsageError(
                f"the log of calls cannot be written: {error.strerror}", where=str(self._file)
            ) from error

    def __call__(self, record: CallRecord) -> None:
        self._add("", record)

    def of(self, engine: str) -> Callable[[CallRecord], None]:
        """A hook whose lines say which of several engines ran."""
        return lambda record: self._add(engine, record)

    def close(self) -> None:
        """Writes what waits; calls that end later leave no line."""
        with self._lock:
            self._write()
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> CallLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _add(self, engine: str, record: CallRecord) -> None:
        now = self._clock()
        line = line_of(engine, now, record)
        with self._lock:
            self._lines.append(line)
            if len(self._lines) >= LINES or now >= self._due:
                self._due = now + SECONDS
                self._write()

    def _write(self) -> None:
        text, self._lines = "".join(self._lines).encode(), []
        if self._descriptor < 0 or not text:
            return
        try:
            while text:  # in one piece, unless the disk is full: other processes append as well
                text = text[os.write(self._descriptor, text) :]
        except OSError as error:
            os.close(self._descriptor)
            self._descriptor = -1
            logging.getLogger("tipsc").warning(
                "the log of calls ends here: %s: %s", self._file, error.strerror
            )


def line_of(engine: str, unix_s: float, record: CallRecord) -> str:
    """A call as the file has it; docs/engine.md has the fields."""
    fields = {
        "unix_s": round(unix_s, 6),
        "engine": engine,
        "path": record.path.id,
        "mode": record.mode.value,
        "reason": record.reason.name.lower(),
        "budget_ms": _finite(record.budget_ms),
        "predicted_ms": round(record.predicted_ms, 6),
        "elapsed_ms": round(record.elapsed_ms, 6),
        "gap_ms": _finite(record.gap_ms),
        "slowdown": round(record.slowdown, 6),
        "in_time": record.in_time,
    }
    if record.path.energy_mj is not None:
        fields["energy_mj"] = round(record.path.energy_mj, 6)
    return json.dumps(fields) + "\n"


def _finite(number: float) -> float | None:
    return round(number, 6) if math.isfinite(number) else None
