"""Every path of an engine through TensorRT's parser and builder, in a process of its own.

TensorRT's libraries print on file descriptor 1 and have ways to end a process; here that ends the
examination of one path and nothing else. With ``tensorrt_rtx``, which builds without a GPU, this
proves that every path parses and builds; nothing about latency, memory or numerics on a device.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from tipsc.backends.finishing import PathCheck
from tipsc.backends.tensorrt import api
from tipsc.backends.tensorrt.merge import merge_graphs
from tipsc.backends.tensorrt.plans import PlanBuilder
from tipsc.engine.plan import paths_of
from tipsc.engine.read import EngineFile, read_engine
from tipsc.errors import EngineDeviceError

_TIMEOUT_S = 600.0
_TAIL = 300  # characters of what a dead process said


def check_engine(
    file: Path,
    names: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
    timeout_s: float = _TIMEOUT_S,
) -> tuple[PathCheck, ...]:
    """Parses and builds each path of an engine file, or several as one.

    A path that ends the process has that as its problem, and the next one a new process.

    Args:
        names: path ids, or :func:`tipsc.engine.plan.plan_name` of those to merge.
        progress: called with (done, all).
        timeout_s: for each process.

    Raises:
        EngineDeviceError: TensorRT cannot be used here at all.
    """
    found: dict[str, PathCheck] = {}
    while missing := [name for name in names if name not in found]:
        with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
            results = Path(folder) / "results.jsonl"
            said = _run(file, missing, results, timeout_s)
            lines = results.read_text().splitlines() if results.is_file() else []
        for line in lines:
            check = PathCheck(**json.loads(line))
            found[check.path_id] = check
        if not lines and len(missing) == len(names):
            raise EngineDeviceError("TensorRT cannot be used here", got=said)
        left = [name for name in missing if name not in found]
        if left:  # the process ended in the middle of this path
            found[left[0]] = PathCheck(left[0], api.installed() or "", "", 0, 0.0, said)
        if progress:
            progress(len(found), len(names))
    return tuple(found[name] for name in names)


def _run(file: Path, names: Sequence[str], results: Path, timeout_s: float) -> str:
    command = [sys.executable, "-m", __name__, str(file), str(results), *names]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"TensorRT was not done after {timeout_s:.0f} s"
    if done.returncode < 0:
        return f"TensorRT ended the process with signal {-done.returncode}"
    return " ".join((done.stderr or done.stdout).split())[-_TAIL:] or f"exit {done.returncode}"


def build_plan(builder: PlanBuilder, name: str, graph: bytes) -> tuple[PathCheck, bytes]:
    """Builds in this process: how it fared, and the plan (empty when there is none)."""
    trt = builder.module
    begun, plan, problem = time.perf_counter(), b"", ""
    try:
        plan = builder.build(name, graph)
    except EngineDeviceError as error:
        problem = error.what + (f" (got {error.got})" if error.got is not None else "")
    seconds = time.perf_counter() - begun
    return PathCheck(name, trt.__name__, trt.__version__, len(plan), seconds, problem), plan


def _graph(engine: EngineFile, name: str) -> bytes:
    graphs = [engine.graph(path_id) for path_id in paths_of(name)]
    return graphs[0] if len(graphs) == 1 else merge_graphs(graphs)


def _judge(file: str, results: str, names: Sequence[str]) -> None:
    engine = read_engine(file)
    precision = engine.manifest.recipe.get("precision", "fp32")
    builder = PlanBuilder(api.load(), engine.weights, precision=precision)
    with Path(results).open("a", encoding="utf-8") as stream:
        for name in names:
            check, _ = build_plan(builder, name, _graph(engine, name))
            stream.write(json.dumps(asdict(check)) + "\n")
            stream.flush()


if __name__ == "__main__":
    _judge(sys.argv[1], sys.argv[2], sys.argv[3:])
