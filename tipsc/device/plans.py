"""Plans made on a device: asked for over its connection, and put into an engine here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tipsc.backends import finisher
from tipsc.backends.finishing import PathCheck, PlanTrial
from tipsc.device.client import Connection
from tipsc.device.expected import planned
from tipsc.device.incoming import Wrong
from tipsc.engine import DevicePlan, EngineFile, Manifest, read_engine, write_engine
from tipsc.engine.plan import paths_of, plan_name
from tipsc.errors import EngineDeviceError

RAN, NOT_RUN = "built and run", "built, not run"
UNKNOWN = "unknown"
_BUILD_S = 4 * 3600.0


@dataclass(frozen=True)
class Plans:
    """What a device made of an engine.

    Attributes:
        module, version: of what built them.
        compute_capability: of the GPU that they were built for; None where they were not run.
        stripped: they have no weights.
        checks: how each path was built.
        trials: of paths that were to share a plan.
        plans: each path is in one of them.
    """

    module: str
    version: str
    compute_capability: str | None
    stripped: bool
    checks: tuple[PathCheck, ...]
    trials: tuple[PlanTrial, ...]
    plans: tuple[DevicePlan, ...]

    @property
    def built(self) -> dict[str, str]:
        """What an engine with these plans says of them; see :class:`tipsc.engine.Manifest`."""
        return {
            "state": RAN if self.compute_capability else NOT_RUN,
            "module": self.module,
            "version": self.version,
            "compute capability": self.compute_capability or UNKNOWN,
            "stripped": "yes" if self.stripped else "no",
            "plans": f"{len(self.plans)} for {sum(len(plan.paths) for plan in self.plans)} paths",
        }


def request_plans(
    connection: Connection,
    file: Path,
    precision: str,
    *,
    run: bool = True,
    strip: bool = False,
    groups: Sequence[tuple[str, ...]] = (),
    progress: Callable[[float, float], None] | None = None,
) -> Plans:
    """Has a device build the plans of an engine file.

    Args:
        groups: paths that shall share a plan if it is good enough; each path in one at most.
            Merging their graphs needs the package onnx.

    Raises:
        EngineDeviceError: no CUDA device is there although they shall be run, or paths are refused
            (all are named).
        DeviceJobError: the job failed for another reason; each has its kind.
    """
    blobs = {"engine": connection.push(file)}
    engine = read_engine(file)
    paths = [path.id for path in engine.manifest.paths]
    for group in groups:
        merged = finisher(engine.manifest.backend).merge_graphs(
            [engine.graph(path) for path in group]
        )
        blobs[plan_name(group)] = connection.push_bytes(merged)
    answer = connection.run(
        "plans",
        {"run": run, "precision": precision, "strip": strip, "groups": list(groups)},
        blobs,
        planned(paths, groups, file.stat().st_size),
        timeout_s=_BUILD_S,
        progress=progress,
    )
    result = answer.result
    checks = tuple(PathCheck(**check) for check in result["checks"])
    refused: dict[str, list[str]] = {}
    for check in checks:
        if check.problem:
            refused.setdefault(check.problem, []).append(check.path_id)
    if refused:
        count = sum(map(len, refused.values()))
        raise EngineDeviceError(
            f"{result['module']} {result['version']} refuses {count} of {len(checks)} paths",
            where=connection.link.url,
            got="; ".join(f"{', '.join(ids)}: {problem}" for problem, ids in refused.items()),
            fix="replace the layers that are named, or free memory there",
        )
    plans = tuple(
        DevicePlan(paths_of(name.removesuffix(".plan")), content)
        for name, content in answer.files.items()
        if content
    )
    planned_for = sorted(path for plan in plans for path in plan.paths)
    if planned_for != sorted(paths):
        raise connection.wrong(
            Wrong("plans", f"one for each of {len(paths)} paths", ", ".join(answer.files))
        )
    return Plans(
        result["module"],
        result["version"],
        result["compute_capability"],
        result["stripped"],
        checks,
        tuple(PlanTrial(**{**trial, "paths": tuple(trial["paths"])}) for trial in result["trials"]),
        plans,
    )


def write_with_plans(
    file: Path, manifest: Manifest, engine: EngineFile, plans: Sequence[DevicePlan]
) -> None:
    """Writes `engine` with another manifest, and with plans or without."""
    graphs = {path_id: engine.graph(path_id) for path_id in engine.order}
    write_engine(file, manifest, engine.weights, graphs, plans)


def write_finished(file: Path, engine: EngineFile, plans: Plans) -> None:
    """Writes `engine` with its plans, to measure or verify it: no cost in it is of them."""
    paths = tuple(replace(path, latency=None, energy_mj=None) for path in engine.manifest.paths)
    manifest = replace(engine.manifest, paths=paths, built=plans.built)
    write_with_plans(file, manifest, engine, plans.plans)
