"""Finishing an engine on the device that it is for: plans built there, costs measured there.

The engine that comes back has the plans beside its portable graphs: it runs on that kind of device
with that version only, and can be finished again for another.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from tipsc.backends import backend, finisher
from tipsc.backends.finishing import PathCheck, PlanTrial
from tipsc.device.client import Connection
from tipsc.device.measuring import Arrays, Remote
from tipsc.device.plans import Plans, request_plans, write_with_plans
from tipsc.engine import EngineFile, Manifest, read_engine
from tipsc.engine.manifest import TAKEN
from tipsc.errors import ProfileError, UsageError, VerificationError
from tipsc.filled import filled
from tipsc.pipeline.latencies import with_latencies
from tipsc.profile import Measurement, System
from tipsc.profile.conditions import UNKNOWN, check_conditions
from tipsc.progress import Reporter, Silent
from tipsc.project.target import Target, load_target, waiting
from tipsc.runtime import Engine

#: largest difference to ONNX Runtime, as a share of the largest output
TOLERANCES = {"fp32": 1e-3, "fp16": 2e-2, "int8": 0.2}
_EXAMPLES = 4


@dataclass(frozen=True)
class Finished:
    """What finishing gave.

    Attributes:
        engine: the file.
        manifest: what the engine says now.
        checks: how each path was built.
        trials: of paths that differ in depth: whether they share a plan now.
        measurement: what was measured there; None when plans were only built.
        differences: by path id, the largest difference to ONNX Runtime as a share of the largest
            output; empty when plans were only built.
        remarks: what should be known about it.
    """

    engine: Path
    manifest: Manifest
    checks: tuple[PathCheck, ...]
    trials: tuple[PlanTrial, ...]
    measurement: Measurement | None
    differences: Mapping[str, float]
    remarks: tuple[str, ...]


def finish(
    file: Path,
    connection: Connection,
    *,
    output: Path | None = None,
    run: bool = True,
    strip: bool = False,
    wait_quiet_s: float | None = None,
    reporter: Reporter | None = None,
) -> Finished:
    """Builds the plans of an engine on a device, compares and measures them there.

    Args:
        file: an engine with a recipe; one that was finished before is finished anew.
        connection: to the device.
        output: where the finished engine goes; by default it replaces `file`.
        run: False: plans are built and nothing is run; the engine says "built, not run".
        strip: leave the weights out of the plans, where the version can.
        wait_quiet_s: most seconds to wait for a quiet device before it is measured, and measure
            again what was disturbed; None: as the target says.

    Raises:
        UsageError: the engine needs no finishing.
        EngineDeviceError: no CUDA device is there, or paths are refused (all are named).
        VerificationError: a plan computes something else than ONNX Runtime.
    """
    reporter = reporter or Silent()
    engine = read_engine(file)
    manifest = engine.manifest
    if not backend(manifest.backend).finishes or not manifest.recipe:
        raise UsageError(
            "this engine needs no finishing",
            where=str(file),
            got=f"an engine of the backend {manifest.backend}",
        )
    target = waiting(load_target(manifest.target), wait_quiet_s)
    precision = manifest.recipe.get("precision", "fp32")
    device = Remote(connection)
    progress = reporter.begin("building")
    groups, unmerged = _groups(engine) if run and not strip else ((), ())
    plans = request_plans(
        connection,
        file,
        precision,
        run=run,
        strip=strip,
        groups=groups,
        progress=lambda share, left_s: progress(share, 1.0, "plans"),
    )
    reporter.end("building", sum(check.seconds for check in plans.checks), cached=False)
    system = device.system()
    remarks = (*unmerged, *_remarks(manifest, plans, system))
    fresh = replace(
        manifest,
        built=_built(plans, system),
        noise="",
        paths=tuple(replace(path, latency=None, energy_mj=None) for path in manifest.paths),
    )
    measurement, differences = None, {}
    if run:
        with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
            draft = Path(folder) / file.name
            write_with_plans(draft, fresh, engine, plans.plans)
            begun = time.monotonic()
            reporter.begin("verifying")
            differences = _compare(engine, draft, target, device, Path(folder))
            _judge(differences, TOLERANCES.get(precision, TOLERANCES["int8"]))
            reporter.end("verifying", time.monotonic() - begun, cached=False)
            progress = reporter.begin("measuring")
            examples = _inputs(manifest, max(manifest.batches))
            _, samples = device.measure(draft, target, examples, 0, progress, None)
            measurement = samples.summarise()
            energies = device.energies(draft, target, examples)
            reporter.end("measuring", measurement.seconds, cached=False)
        fresh = with_latencies(fresh, measurement, energies=energies)
    place = output or file
    write_with_plans(place, fresh, engine, plans.plans)
    return Finished(place, fresh, plans.checks, plans.trials, measurement, differences, remarks)


def _groups(engine: EngineFile) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...]]:
    """Paths that may share a plan, and what should be known of them."""
    graphs = {path.id: engine.graph(path.id) for path in engine.manifest.paths}
    groups = finisher(engine.manifest.backend).depth_groups(graphs)
    if groups and importlib.util.find_spec("onnx") is None:
        return (), ("paths that differ in depth keep a plan each: merging them needs onnx here",)
    return groups, ()


def _built(plans: Plans, system: System) -> dict[str, str]:
    found: dict[str, Any] = {
        **plans.built,
        "device": system.board or (system.gpu.name if system.gpu else None) or system.cpu,
        "power mode": system.power_mode,
        "L4T": system.l4t,
        "GPU MHz": system.gpu.current_mhz if system.gpu else None,
        "on": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return {name: UNKNOWN if value is None else str(value) for name, value in found.items()}


def _remarks(manifest: Manifest, plans: Plans, system: System) -> tuple[str, ...]:
    """How the profile that chose the paths fits the device. It is too late to refuse it."""
    taken = {
        name.removeprefix(TAKEN): value
        for name, value in manifest.recipe.items()
        if name.startswith(TAKEN)
    }
    now = {
        "backend": manifest.backend,
        f"{manifest.backend} version": plans.version,
        "power mode": system.power_mode or UNKNOWN,
    }
    try:
        return check_conditions(taken, now, manifest.recipe.get("paths chosen by", "the profile"))
    except ProfileError as error:
        return (f"paths were chosen under other conditions: {error}",)


def _inputs(manifest: Manifest, count: int) -> list[np.ndarray]:
    """Noise for each input, the same every time: what is compared must not be all zeros.

    Integers may be places in a table whose length is not known here: so 0 and 1 only.
    """
    generator, found = np.random.default_rng(0), []
    for spec in manifest.signature.inputs:
        shape, kind = (count, *spec.shape[1:]), np.dtype(spec.dtype).kind
        most = 256 if spec.dtype == "uint8" else 2  # pixels
        noise = (
            generator.standard_normal(shape) if kind == "f" else generator.integers(0, most, shape)
        )
        found.append(noise.astype(spec.dtype))
    return found


def _compare(
    engine: EngineFile, draft: Path, target: Target, device: Remote, folder: Path
) -> dict[str, float]:
    """Differences between the plans there and the portable graphs in ONNX Runtime here."""
    manifest = engine.manifest
    portable = folder / "portable.tipsc"
    runs_here = backend(manifest.backend).verifies_as or manifest.backend
    write_with_plans(
        portable, replace(manifest, backend=runs_here, recipe={}, built={}), engine, ()
    )
    inputs = _inputs(manifest, _EXAMPLES)
    ids = [path.id for path in manifest.paths]
    with (
        Engine.open(portable, cache_dir=folder / "cache") as here,
        device.opened(draft, target, ids, inputs) as there,
    ):
        gives, found = manifest.signature.gives, {}
        for path in ids:
            calls = list(filled(inputs, manifest.path(path).batch))
            expected = [gives.flat(here.run(x, path=path), "the output") for x in calls]
            found[path] = _apart(expected, [there(x, path) for x in calls])
        return found


def _apart(expected: Sequence[Arrays], got: Sequence[Arrays]) -> float:
    """Largest difference over the largest value, of the worst output; infinite if it is none."""
    found = 0.0
    for wanted, seen in zip(zip(*expected, strict=True), zip(*got, strict=True), strict=True):
        one, other = np.stack(wanted).astype(np.float64), np.stack(seen).astype(np.float64)
        apart = float(np.abs(one - other).max()) / (float(np.abs(one).max()) or 1.0)
        found = max(found, apart if np.isfinite(apart) else np.inf)
    return found


def _judge(differences: Mapping[str, float], tolerance: float) -> None:
    wrong = {path: value for path, value in differences.items() if value > tolerance}
    if wrong:
        raise VerificationError(
            f"{len(wrong)} plans compute something else than their ONNX graphs",
            expected=f"at most {tolerance:g} of the largest output",
            got=", ".join(f"{path} {value:.2g}" for path, value in wrong.items()),
            fix="do not ship this engine; report it with the versions",
        )
