"""Jobs of a device with TensorRT: making plans, and telling what is there."""

from __future__ import annotations

import ctypes
import os
import re
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from tipsc.backends.finishing import PathCheck, PlanTrial
from tipsc.backends.tensorrt import api, cuda
from tipsc.backends.tensorrt.examine import build_plan
from tipsc.backends.tensorrt.execute import choose
from tipsc.backends.tensorrt.plans import PlanBuilder
from tipsc.backends.tensorrt.trial import try_shared
from tipsc.engine import DevicePlan, read_engine
from tipsc.engine.atomic import write_atomically
from tipsc.engine.plan import plan_name
from tipsc.errors import EngineDeviceError
from tipsc.measure.facts import read_facts


def build_plans(
    arguments: Mapping[str, Any],
    blobs: Mapping[str, Path],
    out: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Writes plans for the paths of the blob ``engine``, named by :func:`plan_name`.

    Args:
        arguments: ``run``: the plans will be run here, so that a device is needed; ``precision``
            of the graphs; ``strip``: leave the weights out where the version can; ``groups``:
            lists of paths that may share a plan, whose graph is the blob of that plan's name;
            none of them without a device, or stripped.

    Returns:
        ``module``, ``version``, ``compute_capability`` (None without a device), ``stripped``,
        ``checks``: how each path fared, refused ones included; and ``trials``, of each group.

    Raises:
        EngineDeviceError: ``run``, and there is no CUDA device.
        MissingExtraError: there is no TensorRT.
    """
    device = cuda.load() if arguments["run"] else None
    trt = api.load()
    capability = device.compute_capability() if device else None
    # Times of another power mode would choose kernels that are not the best in this one.
    mode = read_facts()["power_mode"]
    kept = out.parents[2] / "timings" / _file_name(trt.__name__, trt.__version__, capability, mode)
    engine = read_engine(blobs["engine"])
    builder = PlanBuilder(
        trt,
        engine.weights,
        timing_cache=kept.read_bytes() if kept.is_file() else b"",
        strip=arguments["strip"],
        precision=arguments["precision"],
    )
    ids = [path.id for path in engine.manifest.paths]
    groups = arguments["groups"]
    checks: list[PathCheck] = []
    trials: list[PlanTrial] = []

    def step() -> None:
        progress((len(checks) + len(trials)) / (len(ids) + len(groups)), 0.0)

    for path_id in ids:
        check, content = build_plan(builder, path_id, engine.graph(path_id))
        checks.append(check)
        if content:
            _plan_file(out, path_id).write_bytes(content)
        step()
    if device is not None and all(check.plan_bytes for check in checks):
        for group in groups:
            paths = tuple(group)
            precision = arguments["precision"]
            work = partial(try_group, blobs, out, paths, precision, builder.timings())
            try:
                trial = in_own_process(work)
            except Exception as error:  # whatever it is: the plans are there without it
                sizes = [_plan_file(out, path).stat().st_size for path in paths]
                problem = f"{type(error).__name__}: {error}"
                trial = PlanTrial(paths, False, 0, sum(sizes), problem=problem)
            for name in paths if trial.kept else (plan_name(paths),):
                _plan_file(out, name).unlink(missing_ok=True)
            trials.append(trial)
            step()
    if timings := builder.timings():
        kept.parent.mkdir(exist_ok=True)
        write_atomically(kept, [timings])
    return {
        "module": trt.__name__,
        "version": trt.__version__,
        "compute_capability": capability,
        "stripped": builder.stripped,
        "checks": [asdict(check) for check in checks],
        "trials": [asdict(trial) for trial in trials],
    }


def try_group(
    blobs: Mapping[str, Path],
    out: Path,
    paths: tuple[str, ...],
    precision: str,
    timing_cache: bytes,
) -> PlanTrial:
    """Builds the plan that paths shall share, and writes it beside theirs if it is to be kept.

    Args:
        blobs: ``engine``, and the merged graph by the plan's name.
        out: has the plans of the paths.

    Raises:
        EngineDeviceError: no CUDA device is there.
    """
    device, trt, name = cuda.load(), api.load(), plan_name(paths)
    engine = read_engine(blobs["engine"])
    alone = [DevicePlan((path,), _plan_file(out, path).read_bytes()) for path in paths]
    builder = PlanBuilder(trt, engine.weights, precision=precision, timing_cache=timing_cache)
    check, content = build_plan(builder, name, blobs[name].read_bytes())
    if not content:
        stored = sum(len(plan.content) for plan in alone)
        return PlanTrial(paths, False, 0, stored, problem=check.problem)
    both = engine.manifest.signature_of(engine.manifest.path(paths[0]))
    trial = try_shared(trt, device, DevicePlan(paths, content), alone, both.inputs, both.outputs)
    if trial.kept:
        _plan_file(out, name).write_bytes(content)
    return trial


def in_own_process(work: Callable[[], PlanTrial]) -> PlanTrial:
    """Does what may end its process, such as an import of `If` in a parser that has a fault.

    Raises:
        EngineDeviceError: it did.
    """
    spawn = get_context("spawn")  # CUDA does not live on in a fork
    with ProcessPoolExecutor(1, spawn, _die_with_parent, (os.getpid(),)) as pool:
        try:
            return pool.submit(work).result()
        except BrokenProcessPool as error:
            raise EngineDeviceError("TensorRT ended the process that tried it") from error


def _die_with_parent(parent: int) -> None:
    """A killed job leaves nothing behind."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:  # it was killed before
        os._exit(1)


def _plan_file(out: Path, name: str) -> Path:
    return out / f"{name}.plan"


def describe_api(
    arguments: Mapping[str, Any],
    blobs: Mapping[str, Path],
    out: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """The job ``tensorrt``: which names the TensorRT there has, and what is chosen by them.

    Raises:
        MissingExtraError: there is none.
    """
    trt = api.load()
    capabilities = api.probe(trt)
    return {
        "module": trt.__name__,
        "version": trt.__version__,
        "capabilities": asdict(capabilities),
        "choices": asdict(choose(capabilities)),
    }


def try_cuda(
    arguments: Mapping[str, Any],
    blobs: Mapping[str, Path],
    out: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """The job ``cuda``: a megabyte to the device and back, timed by events.

    Raises:
        EngineDeviceError: no device is there, or a call failed.
    """
    device = cuda.load()
    sent = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8)
    got = np.zeros_like(sent)
    stream, memory = cuda.CudaStream(device), cuda.Memory(device, sent.nbytes)
    begin, end = cuda.Event(device), cuda.Event(device)
    begin.record(stream)
    stream.to_device(memory, sent)
    stream.to_host(got, memory)
    end.record(stream)
    milliseconds = end.milliseconds_since(begin)
    stream.synchronise()
    for thing in (begin, end, memory, stream):
        thing.close()
    return {
        "compute_capability": device.compute_capability(),
        "free_mib": device.free_bytes() / 2**20,
        "unchanged": bool(np.array_equal(sent, got)),
        "copies_ms": milliseconds,
    }


def _file_name(*parts: str | None) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", "-".join(part or "none" for part in parts))
