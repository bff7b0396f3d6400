"""What sharing one .tflite costs and saves: file, memory, latency, switching.

    python benchmarks/litert.py ENGINE.tipsc --int8 CONFIG --json OUT.json

Forms: the .tflite as it ships; as it is opened (see ``tipsc.backends.litert_dense``); each path in
a file of its own; with --int8, the same paths in int8. Latency: all forms of every path in turns,
in one process, pinned to one core; the ratio of 10th percentiles. Memory: anonymous pages of a
fresh process that opened and ran all paths, against one that did so with the largest alone.
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
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tipsc.backends.litert import channels_last, check, open_model
from tipsc.backends.litert_dense import densified
from tipsc.build import COMPILED, Pipeline
from tipsc.candidates import load_candidates
from tipsc.compile import Job, compile_candidates
from tipsc.compile.litert import CompiledTflite
from tipsc.compile.tflite.merge import merge
from tipsc.engine import read_engine
from tipsc.engine.tflite import flatbuffer
from tipsc.measure.pinning import pinned, select_cores

ROUNDS, CALLS = 60, 10
#: form and path
Form = tuple[str, str]
Run = Callable[[np.ndarray], np.ndarray]

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
print("anonymous", anonymous() - before)
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
    head = flatbuffer(parsed)
    return merge({path: head + bytes(start - len(head)) + model[start:]}).model


def anonymous_kib(file: Path, cache: str, shape: tuple[int, ...]) -> int:
    """Of a fresh process; another before it wrote the cache."""
    command = [sys.executable, "-c", MEMORY, str(file), cache, ",".join(map(str, shape))]
    for _ in range(2 if cache else 1):
        told = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = (line for line in told.stdout.splitlines() if line.startswith("anonymous "))
    return int(line.split()[1])


def int8_of(config: Path, target: str, chosen: Path | None, file: Path) -> Path:
    """The paths of a finished build, in int8; its own conversions are used again."""
    pipeline = Pipeline(config, target)
    chosen = chosen or pipeline.chosen().folder
    compiled = compile_candidates(
        Job(
            target=pipeline.target.model_copy(update={"precision": "int8"}),
            supernet=pipeline.supernet,
            candidates=load_candidates(chosen, pipeline.supernet.space),
            images=pipeline.data.calibration(pipeline.config.build.calibration_images)[0],
            cache=pipeline.runs / COMPILED,
            progress=lambda done, total, note="": None,
        )
    )
    assert isinstance(compiled, CompiledTflite)
    file.write_bytes(compiled.model)
    return file


def times_of(runs: dict[Form, Run], x: np.ndarray) -> tuple[dict[Form, float], dict[Form, float]]:
    """10th percentiles in ms of steady calls, and of the first call after another's."""
    steady: dict[Form, list[float]] = {key: [] for key in runs}
    first: dict[Form, list[float]] = {key: [] for key in runs}
    order, generator = list(runs), random.Random(0)
    for warm in range(ROUNDS):
        generator.shuffle(order)
        for key in order:
            for call in range(CALLS + 1):
                start = time.perf_counter()
                runs[key](x)
                spent = (time.perf_counter() - start) * 1e3
                if warm >= 5:
                    (steady if call else first)[key].append(spent)
    return tuple(
        {key: float(np.percentile(value, 10)) for key, value in found.items()}
        for found in (steady, first)
    )  # type: ignore[return-value]


def memory_of(files: dict[str, Path], shape: tuple[int, ...], folder: Path) -> dict[str, object]:
    """Anonymous KiB of each form, with a weight cache in a file and without one."""
    found: dict[str, object] = {}
    for cache in ("file", "none"):
        kib = {
            form: anonymous_kib(file, str(folder / f"m-{form}") if cache == "file" else "", shape)
            for form, file in files.items()
        }
        ratio = kib["opened"] / kib["largest_alone"]
        found[f"weight_cache_{cache}"] = {**kib, "opened_to_largest_alone": ratio}
    return found


def measure(engine_file: Path, int8: tuple[Path, str, Path | None] | None) -> dict[str, object]:
    engine = read_engine(engine_file)
    shipped, ids = bytes(engine.weights), [path.id for path in engine.manifest.paths]
    opened = densified(shipped)
    x = channels_last(np.ones(engine.manifest.inputs[0].shape, np.float32))
    with tempfile.TemporaryDirectory(prefix="tipsc-") as name, pinned(select_cores("fastest", 1)):
        folder = Path(name)
        files = {path: folder / f"{path}.tflite" for path in ids}
        for path, file in files.items():
            file.write_bytes(alone(opened, path))
        forms = {"shipped": folder / "shipped.tflite", "opened": folder / "opened.tflite"}
        forms["shipped"].write_bytes(shipped)
        forms["opened"].write_bytes(opened)
        if int8:
            forms["int8"] = int8_of(*int8, folder / "int8.tflite")
        runs: dict[Form, Run] = {}
        for form, file in forms.items():
            program = open_model(file, weight_cache=str(folder / f"{form}.cache"))
            runs |= {(form, path): program.runner(path) for path in ids}
        for path, file in files.items():
            single = open_model(file, weight_cache=str(folder / f"{path}.cache"))
            runs["alone", path] = single.runner(path)
        steady, first = times_of(runs, x)
        paths = {}
        for path in ids:
            base, single_ms = steady["opened", path], steady["alone", path]
            paths[path] = {
                "p10_ms": base,
                "to_alone": base / single_ms,
                "shipped_to_alone": steady["shipped", path] / single_ms,
                "first_call_to_steady": first["opened", path] / base,
                "first_call_to_steady_alone": first["alone", path] / single_ms,
            }
            if int8:
                paths[path]["int8_to_fp32"] = steady["int8", path] / base
        largest = max(files.values(), key=lambda file: file.stat().st_size)
        largest_bytes = largest.stat().st_size
        return {
            "engine": engine.manifest.name,
            "machine": f"{platform.machine()}, {check()['instruction set']}",
            "litert": check()["litert"],
            "paths": len(ids),
            "file_bytes": len(shipped),
            "largest_alone_bytes": largest_bytes,
            "file_ratio": len(shipped) / largest_bytes,
            "separate_files_ratio": sum(f.stat().st_size for f in files.values()) / largest_bytes,
            "opened_file_bytes": len(opened),
            "memory_kib": memory_of(
                {"shipped": forms["shipped"], "opened": forms["opened"], "largest_alone": largest},
                tuple(x.shape),
                folder,
            ),
            "median": {
                key: float(np.median([path[key] for path in paths.values()]))
                for key in next(iter(paths.values()))
                if key != "p10_ms"
            },
            "by_path": paths,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--int8", type=Path, metavar="CONFIG", help="of the engine's build")
    parser.add_argument("--target", default="mobile-cpu", help="of the engine's build")
    parser.add_argument("--chosen", type=Path, help="its stage choose, if not the last one's")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    int8 = (arguments.int8, arguments.target, arguments.chosen) if arguments.int8 else None
    text = json.dumps(measure(arguments.engine, int8), indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
