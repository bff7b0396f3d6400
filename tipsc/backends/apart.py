"""Finalise an engine in a process of its own that has only so much memory.

A graph of a few kilobytes can ask for gigabytes, for instance by a constant that the backend works
out while it optimises. No backend has a bound for that; a process has. It finalises the engine and
runs each path once, so what does not fit fails there. It costs a process's start, and is done only
for engines that are opened with :attr:`tipsc.runtime.Limits.memory_bytes`.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tipsc.engine.limits import Limits
from tipsc.engine.read import EngineFile, read_engine
from tipsc.errors import EngineDeviceError, UsageError

#: seconds until the process is ended
PATIENCE = 600.0
#: exit codes of the process
_TOO_LARGE, _REFUSED = 3, 4
#: words of errors that stand for "no memory", as libraries write them
_NO_MEMORY = ("alloc", "out of memory", "length_error")
_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from tipsc.backends import apart; apart.main()"  # noqa: E501


#: of a backend: writes the finalised form of an engine into a folder, with so many threads
Fill = Callable[[EngineFile, Path, int], None]


def builder(engine: EngineFile, fill: Fill, threads: int) -> Callable[[Path], None]:
    """What finalises `engine` into a folder: `fill` here, or apart if the engine has a bound."""
    memory_bytes = engine.limits.memory_bytes
    if memory_bytes is None:
        return lambda folder: fill(engine, folder, threads)
    return lambda folder: fill_apart(engine, folder, threads, memory_bytes)


def fill_apart(engine: EngineFile, folder: Path, threads: int, memory_bytes: int) -> None:
    """Fills `folder` as ``fill`` of the engine's backend does, within `memory_bytes`.

    Raises:
        EngineDeviceError: it takes more memory or more than ten minutes, or the backend refuses
            it, or dies of it.
        UsageError: there is no Python to start, or no bound of memory on this system.
    """
    if engine.file is None or not sys.executable or getattr(sys, "frozen", False):
        raise UsageError(
            "limits.memory_bytes needs an engine file, and a Python to start",
            got=sys.executable or "none",
            fix="leave memory_bytes out, or open the engine in an ordinary Python first",
        )
    task = {
        "file": str(engine.file.absolute()),
        "hash": engine.content_hash,
        "folder": str(folder),
        "threads": threads,
        "limits": asdict(engine.limits),
    }
    command = [sys.executable, "-c", _CODE, json.dumps(sys.path), json.dumps(task)]
    try:
        run = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise EngineDeviceError(
            f"the engine is not finalised within {PATIENCE:.0f} s", where=str(engine.file)
        ) from None
    if run.returncode == 0:
        return
    said = run.stderr[-2000:].decode(errors="replace").strip().rpartition("\n")[2]
    if run.returncode == _TOO_LARGE:
        raise EngineDeviceError(
            "the engine takes more memory than limits.memory_bytes",
            where=str(engine.file),
            expected=f"<= {memory_bytes} bytes",
            got=said,
            fix="allow more if you trust the file",
        )
    how = f": {said}" if run.returncode == _REFUSED else ", which ended the process"
    raise EngineDeviceError(f"the backend refuses the engine{how}", where=str(engine.file))


def main() -> None:
    """The process: of one task, as JSON in its arguments."""
    task = json.loads(sys.argv[2])
    limits = Limits(**task["limits"])
    engine = read_engine(task["file"], limits)
    backend = importlib.import_module(f"tipsc.backends.{engine.manifest.backend}")
    if engine.content_hash != task["hash"]:
        _end(_REFUSED, "the file was replaced while it was opened")
    _bound_memory(limits.memory_bytes or 0)
    try:
        folder = Path(task["folder"])
        backend.fill(engine, folder, task["threads"])
        manifest = engine.manifest
        for name, executor in backend.executors(engine, folder, None, task["threads"]).items():
            specs = manifest.signature_of(manifest.path(name)).inputs
            executor.run([np.zeros(spec.shape, spec.dtype) for spec in specs])
    except MemoryError:
        _end(_TOO_LARGE, "no memory is left")
    except Exception as error:
        said = " ".join(str(error).split())
        no_memory = any(word in said.lower() for word in _NO_MEMORY)
        _end(_TOO_LARGE if no_memory else _REFUSED, said)


def _end(code: int, said: str) -> None:
    print(said[:1000], file=sys.stderr)
    sys.exit(code)


def _bound_memory(more: int) -> None:
    """Lets this process take `more` bytes than it has now."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (ImportError, OSError):
        _end(_REFUSED, "this system has no bound of a process's memory: leave memory_bytes out")
    bound = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
