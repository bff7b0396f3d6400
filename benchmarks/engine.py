"""What an engine of 32 paths costs beside 32 models: ``python benchmarks/engine.py --json FILE``.

A MobileNetV2-size net (3.5 M parameters, 224x224, inner width and depth elastic), with batch-norm
biases of its own for each path. Every path is also exported alone, the usual way
(``torch.onnx.export``), and run in a plain ONNX Runtime session. Latencies are measured in one
process in interleaved rounds; memory in fresh processes. The net is not trained: weights have no
influence on cost.

With ``--converted`` the net is a plain module that ``tipsc.convert`` made elastic.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tipsc.elastic import Supernet
    from tipsc.search.candidates import Candidate

SEED = 0
LARGEST_FIRST = "paths.json"
BARS = {
    "latency_ratio": 1.03,
    "private_memory_ratio": 1.2,
    "total_memory_ratio": 0.15,
    "file_ratio": 1.06,
    "switch_ratio": 1.05,
    "call_overhead_us": 30.0,
    "build_speedup": 10.0,  # at least; all others at most
}


@dataclass(frozen=True)
class Figure:
    """A number with its spread, and the bar that it is held against."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None

    @property
    def meets(self) -> bool | None:
        bar = BARS.get(self.name)
        if bar is None:
            return None
        return self.value >= bar if self.name == "build_speedup" else self.value <= bar


def spread(name: str, values: Sequence[float]) -> Figure:
    """Median of some values, with their 10th and 90th percentile."""
    low, middle, high = (float(q) for q in np.percentile(values, (10, 50, 90)))
    return Figure(name, middle, low, high)


# ---- making the engine and the models exported alone -------------------------------------------


def of_the_family() -> Supernet:
    from tipsc.elastic import family

    return family("mobilenet-v2")


def converted() -> Supernet:
    import torch
    from mobilenet_v2 import MobileNetV2

    from tipsc.convert import convert

    return convert(MobileNetV2().eval(), torch.randn(2, 3, 224, 224))


def candidates_of(supernet: Supernet, count: int) -> list[Candidate]:
    """Calibrated paths, the largest first, then the smallest and random ones."""
    import torch

    from tipsc.elastic import CostModel
    from tipsc.search.candidates import Candidate
    from tipsc.train import calibrate

    generator = random.Random(SEED)
    for _ in range(3):  # so that no running statistic is at its initial value
        supernet.train()(torch.randn(4, 3, 224, 224), supernet.space.sample(generator))
    supernet.eval()
    paths = [supernet.space.largest, supernet.space.smallest]
    while len(paths) < count:
        path = supernet.space.sample_options(generator)
        if path not in paths:
            paths.append(path)
    images = [torch.randn(8, 3, 224, 224, generator=torch.Generator().manual_seed(SEED))]
    costs = CostModel(supernet)
    candidates = []
    for path in paths:
        cost = costs.of(path)
        found = calibrate(supernet, path, images)
        candidates.append(Candidate(path, None, cost.macs, cost.parameters, found))
        say(f"calibrated {len(candidates)} of {count} paths")
    return candidates


def make(folder: Path, count: int, supernet_of: Callable[[], Supernet]) -> list[Figure]:
    """Writes engine.tipsc and alone/<id>.onnx; times both ways."""
    import torch

    from tipsc.elastic import extract
    from tipsc.lower import lower
    from tipsc.pipeline.manifest import make_manifest
    from tipsc.project.target import load_target

    torch.manual_seed(SEED)
    supernet = supernet_of()
    candidates = candidates_of(supernet, count)
    paths = [candidate.path for candidate in candidates]
    target = load_target("host")
    start = time.perf_counter()
    lowered = lower(supernet, paths, {c.path.id: c.statistics for c in candidates})
    manifest = make_manifest("bench", target, supernet, candidates, lowered, {})
    lowered.write(folder / "engine.tipsc", manifest)
    build_s = time.perf_counter() - start

    (folder / "alone").mkdir()
    export_s = []
    example = (torch.zeros(1, 3, 224, 224),)
    for candidate in candidates:
        module = extract(supernet, candidate.path, candidate.statistics)
        file = folder / "alone" / f"{candidate.path.id}.onnx"
        start = time.perf_counter()
        warnings.simplefilter("ignore")  # torch's, about itself
        torch.onnx.export(
            module, example, file, dynamo=True, verbose=False, external_data=False,
            input_names=["input"], output_names=["output"],
        )  # fmt: skip
        export_s.append(time.perf_counter() - start)
        say(f"exported {len(export_s)} of {count} paths alone")
    (folder / LARGEST_FIRST).write_text(json.dumps([p.id for p in paths]))
    weights = 4 * candidates[0].parameters
    size = (folder / "engine.tipsc").stat().st_size
    return [
        Figure("build_s_32_paths", build_s),
        Figure("build_speedup", sum(export_s) / build_s),
        Figure("file_ratio", size / weights),
        Figure("file_mib", size / 2**20),
    ]


# ---- what is measured in one process, interleaved ----------------------------------------------


def latency(folder: Path) -> list[Figure]:
    """Each path in the engine against the same path alone; switching; opening."""
    import shutil

    from tipsc.profile import Protocol, measure
    from tipsc.runtime import Engine

    ids = json.loads((folder / LARGEST_FIRST).read_text())
    cache = folder / "engine.tipsc-cache"

    def open_and_close() -> None:
        Engine.open(folder / "engine.tipsc").close()

    cold = []
    for _ in range(3):
        shutil.rmtree(cache, ignore_errors=True)
        cold.append(timed(open_and_close))
    warm = [timed(open_and_close) for _ in range(7)]

    x = np.random.default_rng(SEED).standard_normal((1, 3, 224, 224), np.float32)
    with Engine.open(folder / "engine.tipsc") as engine:
        alone = {i: plain_session(folder / "alone" / f"{i}.onnx") for i in ids}
        for i in ids:
            expected = alone[i].run(None, {"input": x})[0]
            worst = np.abs(engine.run(x, path=i) - expected).max() / np.abs(expected).max()
            if not worst < 1e-4:
                raise SystemExit(f"path {i} differs from the model exported alone: {worst}")
        calls: dict[str, Callable[[], object]] = {}
        for i in ids:
            calls[f"engine {i}"] = partial(engine.run, x, path=i)
            calls[f"alone {i}"] = partial(alone[i].run, None, {"input": x})
        protocol = Protocol(cores=(0,), rounds=12, batch_ms=30.0, time_limit_s=600.0, seed=SEED)
        result = measure(calls, protocol=protocol, progress=percent("measuring"))
        found = result.latencies
        ratios = [found[f"engine {i}"].p50_ms / found[f"alone {i}"].p50_ms for i in ids]
        ratios_p10 = [found[f"engine {i}"].p10_ms / found[f"alone {i}"].p10_ms for i in ids]
        switches = switch_ratios(engine, ids, x)
    return [
        spread("latency_ratio", ratios),
        spread("latency_ratio_p10", ratios_p10),
        Figure("noise_floor_p95", result.noise_floor.p95),
        spread("switch_ratio", switches),
        spread("open_ms", warm),
        spread("first_open_ms", cold),
        Figure("latency_ms_smallest", found[f"engine {ids[1]}"].p50_ms),
        Figure("latency_ms_largest", found[f"engine {ids[0]}"].p50_ms),
    ]


def switch_ratios(engine, ids: Sequence[str], x: np.ndarray) -> list[float]:  # type: ignore[no-untyped-def]
    """For each path: the first call after another path ran / a later call, at p50.

    First and later calls alternate, so that drift hits both alike. What is left of a ratio above
    one is the processor's cache, which the other path filled: nothing is loaded or prepared.
    """
    generator = random.Random(SEED)
    ratios = []
    for path in ids:
        first, steady = [], []
        for _ in range(25):
            engine.run(x, path=generator.choice([other for other in ids if other != path]))
            first.append(timed(partial(engine.run, x, path=path)))
            engine.run(x, path=path)
            steady.append(timed(partial(engine.run, x, path=path)))
        ratios.append(statistics.median(first) / statistics.median(steady))
    return ratios


def call_overhead(folder: Path) -> list[Figure]:
    """engine.run over the session's own call, on a path so small that it shows."""
    import torch

    from tipsc.elastic import Statistics, family
    from tipsc.lower import lower
    from tipsc.pipeline.manifest import make_manifest
    from tipsc.project.target import load_target
    from tipsc.runtime import Engine
    from tipsc.search.candidates import Candidate

    torch.manual_seed(SEED)
    supernet = family("temporal", classes=2, input_shape=(1, 8), channels=(4,), depths=(1, 2))
    path = supernet.space.smallest
    lowered = lower(supernet.eval(), [path])
    candidates = [Candidate(path, None, 0, 0, Statistics(path.id))]
    manifest = make_manifest("tiny", load_target("host"), supernet, candidates, lowered, {})
    lowered.write(folder / "tiny.tipsc", manifest)
    x = np.zeros((1, 1, 8), np.float32)
    with Engine.open(folder / "tiny.tipsc") as engine:
        executor = engine._executors[path.id]
        raw = partial(executor._session.run, ["output"], {"input": x})  # type: ignore[attr-defined]
        ours = partial(engine.run, x, path=path.id)
        batches = []
        for _ in range(41):
            raw_ms, ours_ms = timed(partial(repeat, raw, 200)), timed(partial(repeat, ours, 200))
            batches.append((ours_ms - raw_ms) / 200 * 1000)
    return [spread("call_overhead_us", batches)]


# ---- memory, in fresh processes ----------------------------------------------------------------


def memory(folder: Path) -> list[Figure]:
    """Memory that the engine adds to a process, and that plain sessions add."""
    found = {}
    for what in ("engine", "largest", "all"):
        command = [sys.executable, __file__, "--worker", what, "--folder", str(folder)]
        lines = [
            subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(3)
        ]
        readings = [json.loads(line.stdout) for line in lines]
        found[what] = {
            key: statistics.median(reading[key] for reading in readings) for key in readings[0]
        }
        say(f"memory of {what}: {found[what]}")
    return [
        Figure("private_memory_ratio", found["engine"]["private"] / found["largest"]["private"]),
        Figure("total_memory_ratio", found["engine"]["pss"] / found["all"]["pss"]),
        Figure("private_mib_engine", found["engine"]["private"] / 1024),
        Figure("private_mib_largest_alone", found["largest"]["private"] / 1024),
        Figure("pss_mib_engine", found["engine"]["pss"] / 1024),
        Figure("pss_mib_all_alone", found["all"]["pss"] / 1024),
    ]


def worker(what: str, folder: Path) -> None:
    """Prints what opening and running each path once adds to this process, in KiB."""
    from tipsc.runtime import Engine

    ids = json.loads((folder / LARGEST_FIRST).read_text())
    x = np.random.default_rng(SEED).standard_normal((1, 3, 224, 224), np.float32)
    import onnxruntime  # noqa: F401  part of the baseline

    before = memory_kib()
    kept: list[object] = []
    if what == "engine":
        engine = Engine.open(folder / "engine.tipsc")
        for i in ids:
            engine.run(x, path=i)
        kept.append(engine)
    else:
        for i in ids if what == "all" else ids[:1]:
            session = plain_session(folder / "alone" / f"{i}.onnx")
            session.run(None, {session.get_inputs()[0].name: x})
            kept.append(session)
    after = memory_kib()
    print(json.dumps({key: after[key] - before[key] for key in before}))


def memory_kib() -> dict[str, int]:
    """Private dirty memory and PSS of this process, in KiB (Linux)."""
    rows = (line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines())
    table = {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[1].isdigit()}
    return {"private": table["Private_Dirty:"], "pss": table["Pss:"]}


# ---- small things --------------------------------------------------------------------------------


def plain_session(file: Path):  # type: ignore[no-untyped-def]
    """What an application without tipsc does; one thread, as the engine has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def repeat(call: Callable[[], object], times: int) -> None:
    for _ in range(times):
        call()


def timed(call: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) / 1e6


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def percent(what: str) -> Callable[[float, float], None]:
    shown = [-1]

    def progress(share: float, left_s: float) -> None:
        now = int(10 * share)
        if now != shown[0]:
            shown[0] = now
            say(f"{what} {10 * now} %")

    return progress


def show(figures: Sequence[Figure], machine: dict[str, object]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=", ".join(f"{key} {value}" for key, value in machine.items()))
    for heading in ("figure", "value", "p10 .. p90", "bar", ""):
        table.add_column(heading, justify="left" if heading in ("figure", "") else "right")
    for f in figures:
        bounds = "" if f.low is None or f.high is None else f"{f.low:.3f} .. {f.high:.3f}"
        bar = f"{BARS[f.name]:g}" if f.name in BARS else ""
        verdict = {None: "", True: "met", False: "MISSED"}[f.meets]
        table.add_row(f.name, f"{f.value:.3f}", bounds, bar, verdict)
    Console(width=100).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--paths", type=int, default=32)
    parser.add_argument("--converted", action="store_true", help="a plain net, made elastic")
    parser.add_argument("--worker", choices=("engine", "largest", "all"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        supernet_of = converted if arguments.converted else of_the_family
        figures = make(folder, arguments.paths, supernet_of)
        figures += latency(folder)
        figures += call_overhead(folder)
        figures += memory(folder)
    import onnxruntime

    from tipsc.profile import read_system

    system = read_system()
    machine = {
        "cpu": system.cpu,
        "paths": arguments.paths,
        "onnxruntime": onnxruntime.__version__,
    }
    show(figures, machine)
    if arguments.json:
        command = "python benchmarks/engine.py" + " --converted" * arguments.converted
        content: dict[str, object] = {"command": command, "machine": machine}
        content |= {"figures": [asdict(f) | {"bar": BARS.get(f.name)} for f in figures]}
        arguments.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
