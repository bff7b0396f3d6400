"""What sharing one .tflite costs and saves: file, memory, latency, switching, int8.

    python benchmarks/litert.py ENGINE.tipsc --int8 CONFIG --json OUT.json
    python benchmarks/litert.py --mobilenet-v2 FOLDER --json OUT.json

The second makes eight paths of a MobileNetV2-size net (3.5 M parameters, 224x224) with random
weights, in fp32 and int8, and keeps its conversions in the folder.

Forms: the .tflite as it ships; as it is opened (see ``tipsc.backends.litert_dense``); each path in
a file of its own; the same paths in int8, together and each alone. Latency: all forms of every path
in turns, in one process, pinned to one core; the ratio of 10th percentiles. Switching: the first
call after another path of the same file, and for comparison between files of one path each. Memory:
anonymous pages of a fresh process that opened and ran all paths, against one that did so with the
largest alone.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from engine import SEED, candidates_of, of_the_family

from tipsc.backends.litert import channels_last, check, open_model
from tipsc.backends.litert_dense import densified
from tipsc.compile import Job, compile_candidates
from tipsc.compile.litert import CompiledTflite
from tipsc.compile.tflite.merge import merge
from tipsc.elastic import Supernet
from tipsc.engine import read_engine
from tipsc.engine.tflite import flatbuffer
from tipsc.measure.pinning import pinned, select_cores
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.context import COMPILED
from tipsc.project.target import load_target
from tipsc.search.candidates import Candidate, load_candidates

ROUNDS, WARM, CALLS = 60, 5, 10
PATHS = 8  # of the MobileNetV2-size net
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
    program.runner(name)([x])[0]
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


@dataclass(frozen=True)
class Subject:
    """What is measured: the same paths in fp32 and, if wanted, in int8."""

    name: str
    ids: tuple[str, ...]
    shape: tuple[int, ...]
    shipped: bytes
    int8: bytes | None


def of_engine(file: Path, config: Path | None, target: str, chosen: Path | None) -> Subject:
    """An engine that was built; its int8 paths from the same build's choice of paths."""
    engine, int8 = read_engine(file), None
    if config is not None:
        pipeline = Pipeline(config, target)
        supernet = pipeline.supernet
        candidates = load_candidates(chosen or pipeline.chosen().folder, supernet.space)
        images = torch.cat(pipeline.data.calibration(pipeline.config.build.calibration_images))
        int8 = model_of(supernet, candidates, images, pipeline.runs / COMPILED, "int8")
    ids = tuple(path.id for path in engine.manifest.paths)
    shape = engine.manifest.signature.inputs[0].shape
    return Subject(engine.manifest.name, ids, tuple(shape), bytes(engine.weights), int8)


def of_mobilenet(cache: Path) -> Subject:
    """Paths that differ in inner widths and depths, which is what can share weights."""
    torch.manual_seed(SEED)
    supernet = of_the_family()
    candidates = candidates_of(supernet, PATHS)
    images = torch.randn(8, 3, 224, 224, generator=torch.Generator().manual_seed(SEED))
    fp32, int8 = (
        model_of(supernet, candidates, images, cache, precision) for precision in ("fp32", "int8")
    )
    ids = tuple(c.path.id for c in candidates)
    return Subject("mobilenet-v2", ids, (1, *supernet.inputs[0].shape[1:]), fp32, int8)


def model_of(
    supernet: Supernet,
    candidates: Sequence[Candidate],
    images: torch.Tensor,
    cache: Path,
    precision: Literal["fp32", "int8"],
) -> bytes:
    """The .tflite of these paths."""
    job = Job(
        target=load_target("mobile-cpu").model_copy(update={"precision": precision}),
        supernet=supernet,
        candidates=candidates,
        inputs=images,
        cache=cache,
        progress=lambda done, total, note="": None,
    )
    compiled = compile_candidates(job)
    assert isinstance(compiled, CompiledTflite)
    return compiled.model


def _one(run: Callable[[list[np.ndarray]], list[np.ndarray]], x: np.ndarray) -> np.ndarray:
    return run([x])[0]


def times_of(runs: dict[Form, Run], x: np.ndarray) -> dict[Form, float]:
    """10th percentiles in ms of steady calls."""
    steady: dict[Form, list[float]] = {key: [] for key in runs}
    order, generator = list(runs), random.Random(0)
    for turn in range(ROUNDS):
        generator.shuffle(order)
        for key in order:
            runs[key](x)
            for _ in range(CALLS):
                spent = timed(runs[key], x)
                if turn >= WARM:
                    steady[key].append(spent)
    return {key: float(np.percentile(value, 10)) for key, value in steady.items()}


def switches_of(runs: dict[Form, Run], form: str, ids: Sequence[str], x: np.ndarray) -> list[float]:
    """For each path: the first call after another path of the form / a later call, at p50.

    First and later calls alternate, so that drift hits both alike.
    """
    generator, ratios = random.Random(0), []
    for path in ids:
        first, steady = [], []
        for turn in range(ROUNDS):
            runs[form, generator.choice([other for other in ids if other != path])](x)
            once = timed(runs[form, path], x)
            runs[form, path](x)
            again = timed(runs[form, path], x)
            if turn >= WARM:
                first.append(once)
                steady.append(again)
        ratios.append(float(np.median(first) / np.median(steady)))
    return ratios


def timed(run: Run, x: np.ndarray) -> float:
    """Milliseconds of a call."""
    start = time.perf_counter()
    run(x)
    return (time.perf_counter() - start) * 1e3


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


def measure(subject: Subject) -> dict[str, object]:
    opened = densified(subject.shipped)
    x = channels_last(np.ones(subject.shape, np.float32))
    with tempfile.TemporaryDirectory(prefix="tipsc-") as name, pinned(select_cores("fastest", 1)):
        folder = Path(name)
        wholes = {"shipped": subject.shipped, "opened": opened}
        if subject.int8:
            wholes["int8"] = subject.int8
        files: dict[Form, Path] = {}
        for form, model in wholes.items():
            files[form, ""] = folder / f"{form}.tflite"
            files[form, ""].write_bytes(model)
            for path in subject.ids if form != "shipped" else ():
                files[form, path] = folder / f"{form}-{path}.tflite"
                files[form, path].write_bytes(alone(model, path))
        runs: dict[Form, Run] = {}
        for (form, only), file in files.items():
            program = open_model(file, weight_cache=str(file.with_suffix(".cache")))
            for path in [only] if only else subject.ids:
                runs[f"{form} alone" if only else form, path] = partial(_one, program.runner(path))
        steady = times_of(runs, x)
        paths = {path: ratios(path, steady) for path in subject.ids}
        for form, figure in (("opened", "switch"), ("opened alone", "switch_of_files")):
            for path, ratio in zip(paths, switches_of(runs, form, subject.ids, x), strict=True):
                paths[path][figure] = ratio
        sizes = {key: file.stat().st_size for key, file in files.items()}
        largest = max(subject.ids, key=lambda path: sizes["opened", path])
        memory = {form: files[form, ""] for form in ("shipped", "opened")}
        memory["largest_alone"] = files["opened", largest]
        return {
            "subject": subject.name,
            "machine": f"{platform.machine()}, {check()['instruction set']}",
            "litert": check()["litert"],
            "paths": len(subject.ids),
            "file": file_ratios("opened", len(subject.shipped), sizes),
            **(
                {"file_int8": file_ratios("int8", len(subject.int8), sizes)} if subject.int8 else {}
            ),
            "opened_file_bytes": len(opened),
            "memory_kib": memory_of(memory, tuple(x.shape), folder),
            "median": {
                key: float(np.median([path[key] for path in paths.values()]))
                for key in next(iter(paths.values()))
                if key != "p10_ms"
            },
            "by_path": paths,
        }


def file_ratios(form: str, shipped: int, sizes: dict[Form, int]) -> dict[str, float]:
    """Of the file that ships against files of a path each."""
    single = [size for (kind, path), size in sizes.items() if kind == form and path]
    return {
        "bytes": shipped,
        "largest_alone_bytes": max(single),
        "to_largest_alone": shipped / max(single),
        "separate_to_largest_alone": sum(single) / max(single),
    }


def ratios(path: str, steady: dict[Form, float]) -> dict[str, float]:
    """Of one path's times."""
    base, single = steady["opened", path], steady["opened alone", path]
    found = {
        "p10_ms": base,
        "to_alone": base / single,
        "shipped_to_alone": steady["shipped", path] / single,
    }
    if ("int8", path) in steady:
        found["int8_to_fp32"] = steady["int8", path] / base
        found["int8_to_alone"] = steady["int8", path] / steady["int8 alone", path]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path, nargs="?")
    parser.add_argument("--mobilenet-v2", type=Path, metavar="FOLDER", help="instead of an engine")
    parser.add_argument("--int8", type=Path, metavar="CONFIG", help="of the engine's build")
    parser.add_argument("--target", default="mobile-cpu", help="of the engine's build")
    parser.add_argument("--chosen", type=Path, help="its stage choose, if not the last one's")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if (arguments.engine is None) == (arguments.mobilenet_v2 is None):
        parser.error("give an engine, or --mobilenet-v2")
    if arguments.engine is None:
        subject = of_mobilenet(arguments.mobilenet_v2)
    else:
        subject = of_engine(arguments.engine, arguments.int8, arguments.target, arguments.chosen)
    text = json.dumps(measure(subject), indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
