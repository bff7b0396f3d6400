"""The report of a build, filled from its record."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path as FilePath
from typing import Any

from tipsc import __version__
from tipsc.dtmc import supergraph, tas
from tipsc.elastic import CostModel, Supernet
from tipsc.engine import Manifest
from tipsc.measure.disturbance import Disturbance, remark_of
from tipsc.pipeline.record import BuildRecord, MeasuredBuild
from tipsc.profile import Profile, System
from tipsc.report import BuildReport, Curve, FeatureMap, Point, Shipped, StageTime, write
from tipsc.report.format import milliseconds
from tipsc.report.pictures.shown import pictures_of
from tipsc.search import Rated, dominates
from tipsc.train import History, StepRecord

_SUBNETWORKS = 32  # that the scores are accumulated over


def write_build(build: BuildRecord, file: FilePath | None = None) -> FilePath:
    """Writes the HTML page of a build.

    Args:
        file: by default beside the engine.
    """
    file = file or build.engine.with_suffix(".html")
    write(report_of(build), file)
    return file


def report_of(build: BuildRecord) -> BuildReport:
    """What is on the page of a build whose engine was measured."""
    measured = build.measured
    assert measured is not None
    profile = measured.profile
    every = _shipped(build, measured)
    ids = {candidate.path.id for candidate in build.chosen}
    shipped = tuple(path for path in every if path.id in ids)
    targets = " ".join(f"--target {name}" for name in build.together)
    commands = (f"tipsc build {build.config_file} {targets}",)
    return BuildReport(
        title=build.manifest.name,
        target=build.target.name,
        backend=build.target.backend,
        created_utc=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=_machine(profile.system, profile),
        noise_floor=profile.noise_floor.p95,
        points=_points(build, measured, {path.id for path in shipped}),
        shipped=shipped,
        feature_maps=feature_maps_of(build.supernet, build.seed),
        curves=_curves(build.history),
        stages=tuple(StageTime(s.name, s.seconds, s.cached) for s in build.stages),
        engine_file=build.engine.name,
        engine_bytes=build.engine.stat().st_size,
        weights_bytes=max(path.shared_bytes + path.private_bytes for path in shipped),
        commands=commands,
        protocol={
            "trained": str(build.trained),
            "rounds": str(profile.rounds),
            "pinned to cores": ", ".join(map(str, profile.pinned_cores)) or "none",
            "threads": str(profile.backend.threads),
            "half of the repeats differ by less than": f"{profile.noise_floor.median:.1%}",
            "drift while measuring": f"{profile.drift:+.1%}",
            "other work while measuring": _others(profile.disturbance),
        },
        version=__version__,
        original=build.original,
        noise=_noise(profile, build.manifest),
        pictures=pictures_of(build.task, build.answers, _captions(shipped)),
        climbs=build.climbs,
        goals=build.goals,
        left_out=build.left_out,
        tested=build.tested,
        batched=tuple(path for path in every if path.id not in ids),
    )


def _captions(shipped: Sequence[Shipped]) -> dict[str, str]:
    """By path id: which path it is, and what it costs and is worth."""
    times = milliseconds(path.p50_ms for path in shipped)
    fastest = min(shipped, key=lambda path: path.p50_ms).id
    best = max(shipped, key=lambda path: path.quality.merit if path.quality else 0.0).id
    captions = {}
    for path, p50 in zip(shipped, times, strict=True):
        roles = {"the fastest": path.id == fastest, "the best": path.id == best}
        role = " and ".join(name for name, has in roles.items() if has)
        worth = "" if path.quality is None else str(path.quality)
        captions[path.id] = ", ".join(filter(None, [path.label, role, f"{p50} ms", worth]))
    return captions


def _noise(profile: Profile, manifest: Manifest) -> tuple[str, ...]:
    """What makes the latencies of the paths, and of the profile that chose them, doubtful."""
    if not profile.noise:
        return tuple(filter(None, [manifest.noise]))
    if not manifest.noise:
        return (f"of the profile that the paths were chosen by: {profile.noise}",)
    # What to do about it is said once.
    what = profile.noise.partition(";")[0]
    return (manifest.noise, f"likewise of the profile that the paths were chosen by: {what}")


def _others(found: Disturbance) -> str:
    """How much there was of it, and what was done about it."""
    parts = [] if found.others is None else [f"{found.others:.0%} of the measured cores"]
    return "; ".join(filter(None, [*parts, remark_of(found)])) or "none was seen"


def _machine(system: System, profile: Profile) -> dict[str, str]:
    facts: dict[str, Any] = {
        "processor": system.cpu,
        "system": system.system if hasattr(system, "system") else None,
        "backend": f"{profile.backend.name} {profile.backend.version}",
        "measured": profile.taken,
    }
    return {key: str(value) for key, value in facts.items() if value}


def _points(build: BuildRecord, measured: MeasuredBuild, chosen: set[str]) -> tuple[Point, ...]:
    """The candidates, with their quality, and what was measured beside them."""
    space, totals = build.supernet.space, build.totals
    # What paths scored before they were trained is no figure to draw beside what they score now.
    judged = build.chosen if build.trained_later else build.candidates
    qualities = {c.path: c.judged for c in judged}
    known = {space.path(path.options): path.latency for path in measured.profile.paths}
    points = []
    for path in [*qualities, *(path for path in known if path not in qualities)]:
        latency = known.get(path)
        predicted = 0.0 if latency else measured.records[path.id].latency_ms
        points.append(
            Point(
                id=path.id,
                options={
                    name: option if space.is_active(name, path.options) else None
                    for name, option in path.items
                },
                quality=qualities.get(path),
                p10_ms=latency.p10_ms if latency else predicted,
                p50_ms=latency.p50_ms if latency else predicted,
                p95_ms=latency.p95_ms if latency else predicted,
                macs=round(totals["macs"].of(path)),
                parameters=round(totals["parameters"].of(path)),
                chosen=path.id in chosen,
                measured=latency is not None,
            )
        )
    return tuple(points)


def _shipped(build: BuildRecord, measured: MeasuredBuild) -> tuple[Shipped, ...]:
    """Of all sizes of a batch; under their own ids they have the one that they were chosen for."""
    chosen, space = {c.path.id: c for c in build.chosen}, build.supernet.space
    figures = {  # those that are printed, on test data; the choice was made on validation data
        path.id: Rated(
            path.id, path.quality.merit if path.quality is not None else 0.0, path.latency.p50_ms
        )
        for path in build.manifest.paths
        if path.latency is not None
    }
    shipped, names = [], build.manifest.names
    for path in build.manifest.paths:
        record = measured.records.get(path.id)
        rivals = [other for other in build.manifest.paths if other.batch == path.batch]
        difference = build.differences[path.id]
        assert path.latency is not None
        shipped.append(
            Shipped(
                id=path.id,
                quality=path.quality,
                p50_ms=path.latency.p50_ms,
                p95_ms=path.latency.p95_ms,
                parameters=path.parameters,
                macs=path.macs,
                shared_bytes=path.shared_bytes,
                private_bytes=path.private_bytes,
                samples_ms=tuple(measured.samples_ms[path.id]),
                difference=difference["largest"],
                agreement=difference["agreement"],
                own_weights=chosen[space.path(path.options).id].statistics.owns_weights,
                level=any(dominates(figures[o.id], figures[path.id]) for o in rivals),
                budget_ms=record.latency_ms if record else None,
                batch=path.batch,
                name=names.get(path.id, ""),
            )
        )
    return tuple(shipped)


def feature_maps_of(supernet: Supernet, seed: int) -> tuple[FeatureMap, ...]:
    """TAS of each feature map, accumulated over the extremes and random paths."""
    costs = CostModel(supernet)
    generator = random.Random(seed)
    space = supernet.space
    paths = [space.largest, space.smallest]
    paths += [space.sample_options(generator) for _ in range(_SUBNETWORKS - len(paths))]
    union = supergraph([costs.trace(path).steps for path in paths])
    scores, nodes = tas(union), union.graph.nodes
    tails: dict[int, list[str]] = {}
    for tail, head in zip(union.graph.tail.tolist(), union.graph.head.tolist(), strict=True):
        tails.setdefault(head, []).append(nodes[tail])
    return tuple(
        FeatureMap(name, tuple(tails.get(index, ())), float(scores[index]))
        for index, name in enumerate(nodes)
    )


def _curves(history: History) -> tuple[Curve, ...]:
    kinds: dict[str, Callable[[StepRecord], float]] = {
        "largest path": lambda record: record.largest,
        "smallest path": lambda record: record.smallest,
        "mean of the step": lambda record: record.loss,
    }
    curves = []
    for name, value in kinds.items():
        points = [(r.step, value(r)) for r in history if math.isfinite(value(r))]
        if points:
            steps, values = zip(*points, strict=True)
            curves.append(Curve(name, steps, values))
    return tuple(curves)
