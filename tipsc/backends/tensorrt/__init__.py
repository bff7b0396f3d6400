"""TensorRT on NVIDIA devices: a plan for each path, or for several depths, built on the device.

An engine for this backend carries portable graphs and weights; plans can be made from them on the
device only, by its own TensorRT: ``tipsc finish`` does that (:mod:`tipsc.backends.tensorrt.job`)
and writes them into the engine, which then runs there (:mod:`tipsc.backends.tensorrt.execute`).
What can be done without a device is in :mod:`tipsc.backends.tensorrt.examine`. Running plans is
unverified on hardware.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from tipsc.backends.tensorrt import api, cuda
from tipsc.backends.tensorrt.execute import PlanExecutor, make_executors
from tipsc.backends.tensorrt.refit import refit_plan
from tipsc.engine.manifest import Manifest
from tipsc.engine.read import EngineFile
from tipsc.errors import EngineDeviceError, MissingExtraError, UsageError

__all__ = ["check", "free_mib", "open"]


def check() -> Mapping[str, str]:
    """The TensorRT of this machine, found without loading its libraries.

    Raises:
        MissingExtraError: there is none.
    """
    name = api.installed()
    if name is None:
        raise MissingExtraError(
            "the backend tensorrt needs TensorRT, which is not installed",
            fix="on a Jetson run: sudo apt-get install python3-libnvinfer",
        )
    return {"tensorrt": api.version_of(name), "module": name}


def open(
    engine: EngineFile,
    *,
    path_ids: Collection[str] | None = None,
    threads: int = 1,
    cache_dir: Path | None = None,
) -> Mapping[str, PlanExecutor]:
    """A warmed executor for each of `path_ids` (None: all) of a finished engine.

    Args:
        engine: what :func:`tipsc.engine.read_engine` gave.
        path_ids: ids of the manifest.
        threads, cache_dir: of no use here; plans are in the engine.

    Raises:
        EngineDeviceError: the engine is unbuilt, or was finished for another version or device,
            or there is no CUDA device; it says what to do.
        MissingExtraError: there is no TensorRT.
        UsageError: the engine was read with a bound of memory.
    """
    manifest = engine.manifest
    file = engine.file.name if engine.file else "ENGINE"
    if not engine.plans:
        raise EngineDeviceError(
            f"this engine is unbuilt: its TensorRT plans are made on a {manifest.target}",
            where=file,
            got=f"{api.installed() or 'no TensorRT'} here, and no plans in the engine",
            fix=f"run 'tipsc finish {file} --device ssh://[user@]host', or on the "
            f"{manifest.target} itself with --device local; 'tipsc unpack {file}' gives its ONNX "
            "graphs, which ONNX Runtime runs anywhere",
        )
    if engine.limits.memory_bytes is not None:
        raise UsageError("limits.memory_bytes has no effect on plans", fix="leave it out")
    if api.installed() is None:
        check()  # which says how to install it
    device = cuda.load()
    trt = api.load()
    here = {
        "module": trt.__name__,
        "version": trt.__version__,
        "compute capability": device.compute_capability(),
    }
    check_built(manifest, here, file)
    wanted = [plan for plan in engine.plans if path_ids is None or set(plan.paths) & set(path_ids)]
    refit = partial(refit_plan, trt, engine) if manifest.built.get("stripped") == "yes" else None
    largest = manifest.signature_of(max(manifest.paths, key=lambda path: path.batch))
    return make_executors(
        trt,
        device,
        wanted,
        largest.inputs,
        largest.outputs,
        refit=refit,
        path_ids=path_ids,
        batches={path.id: path.batch for path in manifest.paths},
    )


def free_mib() -> float | None:
    """Memory of the GPU that is free, in MiB; on a Jetson, of what all share. None without one."""
    try:
        return cuda.load().free_bytes() / 2**20
    except EngineDeviceError:
        return None


def check_built(manifest: Manifest, here: Mapping[str, str], file: str) -> None:
    """Refuses plans that were built by another TensorRT or for another GPU.

    Raises:
        EngineDeviceError: names what differs.
    """
    for name, value in here.items():
        built = manifest.built.get(name, "unknown")
        if built not in (value, "unknown"):
            raise EngineDeviceError(
                f"this engine was finished for another {name}",
                where=file,
                expected=value,
                got=built,
                fix=f"run 'tipsc finish {file} --device local' here: it builds the plans again",
            )
