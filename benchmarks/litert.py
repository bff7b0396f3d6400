"""What sharing one .tflite costs and saves: file, memory, latency, switching.

    python benchmarks/litert.py ENGINE.tipsc --json OUT.json

Each path is also taken out into a file of its own. Latency: both forms of every path in turns, in
one process, pinned to one core; the ratio of 10th percentiles. Memory: anonymous pages of a fresh
process that opened and ran all paths, against one that did so with the largest alone.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tipsc.backends.litert import channels_last, check, open_model
from tipsc.compile.tflite.merge import _flatbuffer, merge
from tipsc.engine import read_engine
from tipsc.measure.pinning import pinned, select_cores

ROUNDS, CALLS = 60, 10

MEMORY = """
import sys, numpy as np
from pathlib import Path
from tipsc.backends.litert import open_model
file, cache, shape = Path(sys.argv[1]), sys.argv[2], tuple(map(int, sys.argv[3].split(",")))
def anonymous():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return int(next(line for line in lines if line.startswith("Anonymous")).split()[1])
before = anonymous()
program, x = open_model(file, weight_cache=cache or None), np.ones(shape, np.float32)
for name in program.signatures():
    program.runner(name)(x)
print(anonymous() - before)
"""


def alone(model: bytes, path: str) -> bytes:
    """The file that has this signature only."""
    from ai_edge_litert import schema_py_generated as schema

    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    start = min(buffer.offset for buffer in parsed.buffers if buffer.offset > 1)
    (signature,) = (
        s
        for s in parsed.signatureDefs
        if path == (s.signatureKey if isinstance(s.signatureKey, str) else s.signatureKey.decode())
    )
    parsed.subgraphs, parsed.signatureDefs = (
        [parsed.subgraphs[signature.subgraphIndex]],
        [signature],
    )
    signature.subgraphIndex = 0
    head = _flatbuffer(parsed)
    return merge({path: head + bytes(start - len(head)) + model[start:]}).model


def anonymous_kib(file: Path, cache: str, shape: tuple[int, ...]) -> int:
    """Median of three fresh processes."""
    command = [sys.executable, "-c", MEMORY, str(file), cache, ",".join(map(str, shape))]
    found = []
    for _ in range(4):  # the first writes the cache
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(int(told.stdout.split()[-1]))
    return sorted(found[1:])[1]


def measure(engine_file: Path) -> dict[str, object]:
    engine = read_engine(engine_file)
    model, ids = bytes(engine.weights), [path.id for path in engine.manifest.paths]
    x = channels_last(np.ones(engine.manifest.inputs[0].shape, np.float32))
    with tempfile.TemporaryDirectory(prefix="tipsc-") as name, pinned(select_cores("fastest", 1)):
        folder = Path(name)
        files = {path: folder / f"{path}.tflite" for path in ids}
        for path, file in files.items():
            file.write_bytes(alone(model, path))
        all_file = folder / "all.tflite"
        all_file.write_bytes(model)
        largest = max(files.values(), key=lambda file: file.stat().st_size)
        program = open_model(all_file, weight_cache=str(folder / "all.cache"))
        runs = {("shared", path): program.runner(path) for path in ids}
        for path, file in files.items():
            single = open_model(file, weight_cache=str(folder / f"{path}.cache"))
            runs["alone", path] = single.runner(path)
        times: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
        first: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
        order, generator = list(runs), random.Random(0)
        for warm in range(ROUNDS):
            generator.shuffle(order)
            for key in order:
                for call in range(CALLS + 1):
                    start = time.perf_counter()
                    runs[key](x)
                    spent = (time.perf_counter() - start) * 1e3
                    if warm >= 5:
                        (times if call else first)[key].append(spent)
        p10 = {key: float(np.percentile(value, 10)) for key, value in times.items()}
        switch = {key: float(np.percentile(value, 10)) for key, value in first.items()}
        shape = tuple(x.shape)
        paths = {
            path: {
                "p10_ms": p10["shared", path],
                "to_alone": p10["shared", path] / p10["alone", path],
                "first_call_to_steady": switch["shared", path] / p10["shared", path],
                "first_call_to_steady_alone": switch["alone", path] / p10["alone", path],
            }
            for path in ids
        }
        memory = {
            cache or "none": {
                "all_kib": anonymous_kib(all_file, place and str(folder / f"m-all-{place}"), shape),
                "largest_kib": anonymous_kib(
                    largest, place and str(folder / f"m-one-{place}"), shape
                ),
            }
            for cache, place in {"file": "x", "": ""}.items()
        }
        return {
            "engine": engine.manifest.name,
            "machine": f"{platform.machine()}, {check()['instruction set']}",
            "litert": check()["litert"],
            "paths": len(ids),
            "file_bytes": len(model),
            "largest_alone_bytes": largest.stat().st_size,
            "file_ratio": len(model) / largest.stat().st_size,
            "memory": memory,
            "median_to_alone": float(np.median([p["to_alone"] for p in paths.values()])),
            "median_first_call": float(
                np.median([p["first_call_to_steady"] for p in paths.values()])
            ),
            "by_path": paths,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments.engine), indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
