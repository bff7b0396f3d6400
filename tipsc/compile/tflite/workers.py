"""Processes that convert: side by side, and with the converter's imports and prints to themselves.

A worker reads requests from its standard input, each a length and a pickle that this process
wrote, and answers each with one line of JSON. What the libraries print goes to a log file, whose
end is shown if a worker dies.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import IO, Any, cast

from tipsc.errors import LoweringError, MissingExtraError
from tipsc.measure.pinning import allowed_cores

_LENGTH = struct.Struct("<Q")
#: name of a request to the module and function that do it
_TASKS = {
    "convert": ("tipsc.compile.tflite.convert", "convert"),
    "unsupported": ("tipsc.compile.tflite.convert", "unsupported"),
    "quantise": ("tipsc.compile.tflite.quantise", "quantise"),
}
Request = tuple[str, tuple[Any, ...]]


class _Pickler(pickle.Pickler):
    """Takes operations of ATen, which traced models call and which pickle does not take."""

    def reducer_override(self, value: Any) -> Any:
        if type(value).__name__ == "OpOverload":
            return _overload, tuple(str(value).split("."))
        return NotImplemented


def _overload(space: str, operation: str, overload: str) -> object:
    import torch

    return getattr(getattr(getattr(torch.ops, space), operation), overload)


class Worker:
    """One process. A context manager; leaving it ends the process."""

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile(mode="w+b")  # noqa: SIM115  closed in __exit__
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=environment,
        )

    def ask(self, task: str, *arguments: Any) -> Any:
        """The result of a task.

        Raises:
            LoweringError: the task failed, or the process died.
            MissingExtraError: the converter is not installed.
        """
        stream = io.BytesIO()
        _Pickler(stream).dump((task, arguments))
        request = stream.getvalue()
        try:
            stdin, stdout = cast("IO[bytes]", self._process.stdin), self._process.stdout
            stdin.write(_LENGTH.pack(len(request)) + request)
            stdin.flush()
            line = cast("IO[bytes]", stdout).readline()
        except BrokenPipeError:
            line = b""
        if not line:
            raise LoweringError(
                "the process that converts for LiteRT ended",
                got=f"exit code {self._process.wait()}: {self._last_words()}",
            )
        answer = json.loads(line)
        if answer.get("missing"):
            raise MissingExtraError.of(answer["missing"], "litert-build", "compiling for LiteRT")
        if "error" in answer:
            raise LoweringError(f"the converter of LiteRT failed: {answer['error']}")
        return answer["result"]

    def _last_words(self) -> str:
        self._log.seek(0)
        return " ".join(self._log.read()[-400:].decode(errors="replace").split())

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


def run_all(requests: Sequence[Request], first: Worker, done: Callable[[int], None]) -> None:
    """Does all requests, as many at once as this process may use cores.

    Args:
        first: a worker that is there already.
        done: called with how many are done, from this thread.

    Raises:
        LoweringError: the first failure; what has not begun is left.
    """
    waiting: SimpleQueue[Request] = SimpleQueue()
    for request in requests:
        waiting.put(request)
    results: SimpleQueue[Exception | None] = SimpleQueue()
    stop = threading.Event()

    def work(worker: Worker) -> None:
        while not stop.is_set():
            try:
                task, arguments = waiting.get_nowait()
            except Empty:
                return
            try:
                worker.ask(task, *arguments)
            except Exception as error:
                results.put(error)
                return
            results.put(None)

    def work_alone() -> None:
        with Worker() as worker:
            work(worker)

    count = min(len(requests), len(allowed_cores()) or 1)
    threads = [threading.Thread(target=work, args=(first,), daemon=True)]
    threads += [threading.Thread(target=work_alone, daemon=True) for _ in range(count - 1)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, len(requests) + 1):
            error = results.get()
            if error is not None:
                raise error
            done(number)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _serve() -> None:
    """The worker's end: until its standard input ends."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print to the standard output
    while head := requests.read(_LENGTH.size):
        task, arguments = pickle.loads(requests.read(_LENGTH.unpack(head)[0]))
        answer: dict[str, Any]
        try:
            module, function = _TASKS[task]
            answer = {"result": getattr(importlib.import_module(module), function)(*arguments)}
        except ModuleNotFoundError as error:
            known = error.name in ("litert_torch", "ai_edge_quantizer", "ai_edge_litert")
            answer = {"missing": error.name.replace("_", "-")} if known and error.name else {}
            answer["error"] = str(error)
        except Exception as error:  # the libraries have no base class of their errors
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    _serve()
