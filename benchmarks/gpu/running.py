"""Finished engines: what a call costs, and what several paths and threads share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from gpu.engines import apart, device, finished
from gpu.plans import TOLERANCES, Wrong
from tipsc.backends import open_paths
from tipsc.backends.tensorrt import api, cuda
from tipsc.backends.tensorrt.execute import PlanExecutor, choose, make_executors
from tipsc.device.plans import write_with_plans
from tipsc.engine import DevicePlan, read_engine
from tipsc.errors import EngineDeviceError
from tipsc.measure.disturbance import noise_of
from tipsc.measure.loop import Settings, collect_times
from tipsc.measure.switching import switch_matrix
from tipsc.runtime import Engine
from tipsc.runtime.context import Context

#: latency of a path in the engine over its plan alone, and of the first call after a switch
MOST_OVER_ALONE, MOST_SWITCH = 1.03, 1.05
_SETTINGS = Settings(
    warm_up_ms=200.0, rounds=20, batch_ms=15.0, time_limit_s=25.0, cores=(), seed=0
)
_PATHS = 3  # of an engine that are timed: the fastest, one between, the slowest by plan bytes
_SWITCH_ROUNDS, _DEVICE_RUNS, _MANY, _CALLS = 25, 100, 100, 200


class Bare:
    """A plan in the fewest calls that there are: copies, enqueue, wait, on its own stream."""

    def __init__(self, plan: DevicePlan, inputs: list[np.ndarray], engine: Any) -> None:
        trt, self.cuda = api.load(), device()
        self.logger = trt.Logger(trt.Logger.ERROR)
        self.runtime = trt.Runtime(self.logger)
        self.plan = self.runtime.deserialize_cuda_engine(bytes(plan.content))
        self.context = self.plan.create_execution_context()
        self.stream = cuda.CudaStream(self.cuda)
        signature = engine.manifest.signature
        outputs = [np.empty(spec.shape, spec.dtype) for spec in signature.outputs]
        names = [spec.name for spec in (*signature.inputs, *signature.outputs)]
        memories = [cuda.Memory(self.cuda, a.nbytes) for a in (*inputs, *outputs)]
        for name, memory in zip(names, memories, strict=True):
            self.context.set_tensor_address(name, memory.address)
        self.sends = list(zip(memories, inputs, strict=False))
        self.receives = list(zip(outputs, memories[len(inputs) :], strict=True))

    def call(self) -> None:
        for memory, array in self.sends:
            self.stream.to_device(memory, array)
        self.context.execute_async_v3(self.stream.handle)
        for array, memory in self.receives:
            self.stream.to_host(array, memory)
        self.stream.synchronise()

    def enqueue(self) -> None:
        """Without copies."""
        self.context.execute_async_v3(self.stream.handle)
        self.stream.synchronise()


def timing(engines: Path, work: Path, name: str) -> dict[str, Any]:
    """A path in the whole engine, in an engine of its own, and in a bare loop."""
    here = finished(engines, work, name)
    engine = read_engine(here.finished)
    plans = sorted(engine.plans, key=lambda plan: len(plan.content))
    some = [plans[i] for i in sorted({0, len(plans) // 2, len(plans) - 1})][:_PATHS]
    feeds = [np.ascontiguousarray(array) for array in here.reference()[0]]
    rows: list[dict[str, Any]] = []
    with Engine.open(here.finished) as whole:
        context = whole.context()
        noise = ""
        for plan in some:
            (path,) = plan.paths
            executor = open_paths(engine, path_ids=[path])[path]
            assert isinstance(executor, PlanExecutor)
            alone = Context(engine.manifest, {path: executor})
            bare = Bare(plan, feeds, engine)
            calls: dict[str, Callable[[], object]] = {
                "engine": partial(context.run, feeds, path=path),
                "alone": partial(alone.run, feeds, path=path),
                "bare": bare.call,
                "enqueue": bare.enqueue,
            }
            times = collect_times(calls, _SETTINGS)
            noise = noise or noise_of(times.disturbance)
            ms = {
                key: median(t for batch in batches for t in batch) / 1e6
                for key, batches in times.batches.items()
            }
            on_device = median(executor.device_ms() for _ in range(_DEVICE_RUNS))
            executor.close()
            rows.append({
                "path": path,
                **{f"{key}, ms": value for key, value in ms.items()},
                "GPU, ms": on_device,
                "engine / alone": ms["engine"] / ms["alone"],
                "engine / bare": ms["engine"] / ms["bare"],
            })  # fmt: skip
    middle = median(row["engine / alone"] for row in rows)
    figures = {"engine / alone, median": middle, "noise": noise, "latencies": rows}
    if middle > MOST_OVER_ALONE:
        raise Wrong(f"{middle:.3f} of the plan alone, at most {MOST_OVER_ALONE}", figures)
    return figures


def switch(engines: Path, work: Path, name: str) -> dict[str, Any]:
    """The first call of a path after another, over one after itself."""
    here = finished(engines, work, name)
    feeds = here.reference()[0]
    with Engine.open(here.finished) as engine:
        context = engine.context()
        calls = {p.id: partial(context.run, feeds, path=p.id) for p in engine.paths}
        found = switch_matrix(calls, _SWITCH_ROUNDS, 0, time.perf_counter_ns)
    ratios = [
        found[before][after] / found[after][after]
        for before in found for after in found if before != after
    ]  # fmt: skip
    if not ratios:
        return {"paths": len(found)}
    figures = {"median": median(ratios), "largest": max(ratios), "pairs": len(ratios)}
    if figures["median"] > MOST_SWITCH:
        raise Wrong(f"{figures['median']:.3f}, at most {MOST_SWITCH}", figures)
    return figures


def memory(engines: Path, work: Path, name: str) -> dict[str, Any]:
    """GPU memory of one path, of all, and of a hundred contexts that share activations."""
    here = finished(engines, work, name)
    engine, library, trt = read_engine(here.finished), device(), api.load()
    manifest = engine.manifest
    taken, given = manifest.signature.inputs, manifest.signature.outputs
    largest = max(engine.plans, key=lambda plan: len(plan.content))
    first = make_executors(trt, library, [largest], taken, given)  # kept: the first costs more
    many = [DevicePlan((f"copy{i}",), largest.content) for i in range(_MANY)]
    found: dict[str, float] = {}
    held: list[PlanExecutor] = []
    for words, plans in (
        ("one path", [largest]),
        (f"all {len(engine.plans)} paths", list(engine.plans)),
        (f"{_MANY} paths", many),
    ):
        before = library.free_bytes()
        held = list(make_executors(trt, library, plans, taken, given).values())
        found[f"{words}, MiB"] = (before - library.free_bytes()) / 2**20
        for executor in held:
            executor.close()
        held.clear()
        found[f"left after {words}, MiB"] = (before - library.free_bytes()) / 2**20
    found["plans of all, MiB"] = sum(len(plan.content) for plan in engine.plans) / 2**20
    for executor in first.values():
        executor.close()
    loaded = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(
        bytes(largest.content)
    )
    found["activations of one, MiB"] = getattr(loaded, choose(api.probe(trt)).size) / 2**20
    return found


def threads(engines: Path, work: Path, name: str) -> dict[str, Any]:
    """Two engines in two threads, and one engine in two: every output is its path's."""
    here = finished(engines, work, name)
    inputs, expected = here.reference()
    errors: list[str] = []
    with Engine.open(here.finished) as first, Engine.open(here.finished) as second:
        gives = first.manifest.signature.gives
        ids = [path.id for path in first.paths]

        def work_on(engine: Engine, own: list[str]) -> None:
            try:
                context = engine.context()
                for turn in range(_CALLS):
                    path = own[turn % len(own)]
                    got = gives.flat(context.run(inputs, path=path), "the output")
                    if apart(expected[path], got) > TOLERANCES[here.precision]:
                        errors.append(f"{path} is wrong")
            except Exception as error:  # a thread's own would be lost
                errors.append(f"{type(error).__name__}: {error}")

        seconds = {}
        for words, pair in (("two engines", (first, second)), ("one engine", (first, first))):
            begun = time.perf_counter()
            workers = [
                threading.Thread(target=work_on, args=(engine, own))
                for engine, own in zip(pair, (ids, ids[::-1]), strict=True)
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            seconds[f"{words}, calls per second"] = 2 * _CALLS / (time.perf_counter() - begun)
    if errors:
        raise Wrong("; ".join(sorted(set(errors))[:3]), dict(seconds))
    return dict(seconds)


def refused(engines: Path, work: Path, name: str, how: str) -> dict[str, Any]:
    """Plans that do not belong here are refused in a sentence.

    Args:
        how: ``version``, ``GPU``, ``damaged`` or ``cut``.
    """
    here = finished(engines, work, name)
    engine = read_engine(here.finished)
    built, plans = dict(engine.manifest.built), list(engine.plans)
    if how == "version":
        built["version"] = "8.5.2.2"
    elif how == "GPU":
        built["compute capability"] = "5.3"
    else:
        content = bytearray(plans[0].content)
        content = content[: len(content) // 2] if how == "cut" else content
        if how == "damaged":
            content[:64] = bytes(64)
        plans[0] = DevicePlan(plans[0].paths, bytes(content))
    file = work / name / f"refused-{how}.tipsc"
    write_with_plans(file, replace(engine.manifest, built=built), engine, plans)
    try:
        Engine.open(file).close()
    except EngineDeviceError as error:
        return {"said": str(error).replace(str(work), "")}
    raise AssertionError(f"it was opened: {how}")
