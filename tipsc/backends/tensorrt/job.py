"""Jobs of a device with TensorRT: making plans, and telling what is there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tipsc.backends.tensorrt import api, cuda
from tipsc.backends.tensorrt.examine import build_paths
from tipsc.backends.tensorrt.execute import choose
from tipsc.backends.tensorrt.plans import PlanBuilder
from tipsc.engine import read_engine
from tipsc.engine.atomic import write_atomically


def build_plans(
    arguments: Mapping[str, Any],
    blobs: Mapping[str, Path],
    out: Path,
    progress: Callable[..., None],
) -> dict[str, Any]:
    """Writes ``<path id>.plan`` for each path of the blob ``engine``.

    Args:
        arguments: ``run``: the plans will be run here, so that a device is needed; ``precision``
            of the graphs; ``strip``: leave the weights out where the version can.

    Returns:
        ``module``, ``version``, ``compute_capability`` (None without a device), ``stripped``,
        and ``checks``: how each path fared, refused ones included.

    Raises:
        EngineDeviceError: ``run``, and there is no CUDA device.
        MissingExtraError: there is no TensorRT.
    """
    device = cuda.load() if arguments["run"] else None
    trt = api.load()
    capability = device.compute_capability() if device else None
    kept = out.parents[2] / "timings" / _file_name(trt.__name__, trt.__version__, capability)
    engine = read_engine(blobs["engine"])
    builder = PlanBuilder(
        trt,
        engine.weights,
        timing_cache=kept.read_bytes() if kept.is_file() else b"",
        strip=arguments["strip"],
        precision=arguments["precision"],
    )
    ids = [path.id for path in engine.manifest.paths]
    checks = []
    for check, plan in build_paths(builder, engine, ids):
        checks.append(asdict(check))
        if plan:
            (out / f"{check.path_id}.plan").write_bytes(plan)
        progress(len(checks) / len(ids), 0.0)
    if timings := builder.timings():
        kept.parent.mkdir(exist_ok=True)
        write_atomically(kept, [timings])
    return {
        "module": trt.__name__,
        "version": trt.__version__,
        "compute_capability": capability,
        "stripped": builder.stripped,
        "checks": checks,
    }


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
    stream, memory = cuda.Stream(device), cuda.Memory(device, sent.nbytes)
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
