"""Whether paths of several depths can share a plan: tried on the device, path against path.

A shared plan keeps weights once. Each path in it must stay within :data:`LIMIT` of the plan that
it has alone, or all of them keep their own. Unverified on hardware.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from tipsc.backends.finishing import PlanTrial
from tipsc.backends.tensorrt.cuda import Cuda
from tipsc.backends.tensorrt.execute import PlanExecutor, make_executors
from tipsc.engine.plan import DevicePlan
from tipsc.errors import EngineDeviceError
from tipsc.measure.disturbance import noise_of
from tipsc.measure.loop import Batches, Settings, collect_times
from tipsc.signature import TensorSpec

#: latency in the shared plan over latency in a plan built alone, of each path
LIMIT = 1.10
#: largest difference between their outputs, as a share of the largest; kernels may differ
_TOLERANCE = 0.05
_SETTINGS = Settings(warm_up_ms=50.0, rounds=40, batch_ms=10.0, time_limit_s=60.0, cores=(), seed=0)


def try_shared(
    trt: Any,
    cuda: Cuda,
    shared: DevicePlan,
    alone: Sequence[DevicePlan],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> PlanTrial:
    """Compares the paths of a shared plan with those alone, and times both, which take turns.

    Args:
        alone: a plan for each of its paths.
    """
    sizes = len(shared.content), sum(len(plan.content) for plan in alone)
    if sizes[0] >= sizes[1]:
        return PlanTrial(shared.paths, False, *sizes)
    opened: list[PlanExecutor] = []
    try:
        generator = np.random.default_rng(0)
        feeds = [generator.integers(0, 2, spec.shape).astype(spec.dtype) for spec in inputs]
        calls = {}
        for where, plans in (("alone", alone), ("shared", [shared])):
            for path, executor in make_executors(trt, cuda, plans, inputs, outputs).items():
                opened.append(executor)
                calls[f"{path} {where}"] = partial(executor.run, feeds)
        for path in shared.paths:
            own, other = calls[f"{path} alone"](), calls[f"{path} shared"]()
            if not all(map(_alike, own, other)):
                problem = f"{path} computes something else than in its own plan"
                return PlanTrial(shared.paths, False, *sizes, problem=problem)
        times = collect_times(calls, _SETTINGS)
    except EngineDeviceError as error:
        return PlanTrial(shared.paths, False, *sizes, problem=str(error))
    finally:
        for executor in opened:
            executor.close()
    batches, noise = times.batches, noise_of(times.disturbance)
    slowdowns = {
        path: _typical(batches[f"{path} shared"]) / _typical(batches[f"{path} alone"])
        for path in shared.paths
    }
    return PlanTrial(shared.paths, max(slowdowns.values()) <= LIMIT, *sizes, slowdowns, noise=noise)


def _alike(own: np.ndarray, other: np.ndarray) -> bool:
    largest = float(np.abs(own).max(initial=0.0)) or 1.0
    difference = float(np.abs(own.astype(np.float64) - other).max(initial=0.0))
    return difference <= _TOLERANCE * largest  # false for NaN


def _typical(batches: Batches) -> float:
    return median(time for batch in batches for time in batch)
