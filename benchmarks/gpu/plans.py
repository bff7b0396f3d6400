"""Plans: built as ``tipsc finish`` builds them, run, and compared with ONNX Runtime on the CPU."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gpu.engines import apart, finished, made, needs_gpu
from gpu.record import Absent
from tipsc.backends.finishing import PathCheck, PlanTrial
from tipsc.backends.tensorrt import api, plans
from tipsc.backends.tensorrt.job import build_plans, in_own_process, try_group
from tipsc.backends.tensorrt.plans import PlanBuilder
from tipsc.device.plans import write_with_plans
from tipsc.engine import DevicePlan, read_engine
from tipsc.engine.plan import plan_name
from tipsc.errors import EngineDeviceError
from tipsc.runtime import Engine

#: largest difference to ONNX Runtime, as a share of the largest output; as tipsc finish has them
TOLERANCES = {"fp32": 1e-3, "fp16": 2e-2, "int8": 0.2}


class Wrong(Exception):
    """A check failed that has figures all the same."""

    def __init__(self, words: str, figures: dict[str, Any]) -> None:
        super().__init__(words)
        self.figures = figures


def build(engines: Path, work: Path, name: str) -> dict[str, Any]:
    """A plan for each path, by the job of a device."""
    needs_gpu()
    here = made(engines, work, name)
    begun = time.perf_counter()
    answer = build_plans(
        {"run": True, "precision": here.precision, "strip": False, "groups": []},
        {"engine": here.file},
        here.out,
        lambda *_: None,
    )
    seconds = time.perf_counter() - begun
    checks = [PathCheck(**check) for check in answer["checks"]]
    rows = [
        {"path": c.path_id, "MiB": c.plan_bytes / 2**20, "seconds": c.seconds, "problem": c.problem}
        for c in checks
    ]
    figures = {"plans": sum(c.plan_bytes > 0 for c in checks), "seconds": seconds, "paths": rows}
    refused = {c.problem: c.path_id for c in checks if c.problem}
    if refused:
        raise Wrong("; ".join(f"{path}: {why}" for why, path in refused.items()), figures)
    return figures


def outputs(engines: Path, work: Path, name: str) -> dict[str, Any]:
    """Each path of the finished engine against the CPU."""
    needs_gpu()
    here = made(engines, work, name)
    ids = here.finish()
    inputs, expected = here.reference()
    rows = []
    with Engine.open(here.finished) as engine:
        gives = engine.manifest.signature.gives
        for path in ids:
            got = gives.flat(engine.run(inputs, path=path), "the output")
            again = gives.flat(engine.run(inputs, path=path), "the output")
            rows.append({
                "path": path,
                "difference": apart(expected[path], got),
                "again": apart(got, again),
            })  # fmt: skip
    worst, most = max(row["difference"] for row in rows), TOLERANCES[here.precision]
    figures = {"paths compared": len(rows), "largest difference": worst, "outputs": rows}
    if worst > most:
        raise Wrong(f"a path is off by {worst:.2g}, at most {most:g} is right", figures)
    return figures


def shared(engines: Path, work: Path, name: str) -> dict[str, Any]:
    """One plan for the paths that differ in depth only: kept or not."""
    here = finished(engines, work, name)
    if not here.groups():
        raise Absent("no paths of it differ in depth only")
    timings = next(iter((work / name / "timings").glob("*")), None)
    rows = []
    for group, graph in here.groups().items():
        blobs = {"engine": here.file, plan_name(group): graph}
        begun = time.perf_counter()
        job = partial(
            try_group, blobs, here.out, group, here.precision,
            timings.read_bytes() if timings else b"",
        )  # fmt: skip
        trial: PlanTrial = in_own_process(job)
        rows.append({
            "paths": len(group),
            "kept": trial.kept,
            "plan bytes / alone": trial.plan_bytes / trial.alone_bytes,
            "MiB": trial.plan_bytes / 2**20,
            "slowdowns": " ".join(f"{s:.3f}" for s in trial.slowdowns.values()),
            "seconds": time.perf_counter() - begun,
            "by timings of KiB": timings.stat().st_size / 1024 if timings else 0,
            "noise": trial.noise,
            "problem": trial.problem,
        })  # fmt: skip
    if problems := [row["problem"] for row in rows if row["problem"]]:
        raise Wrong("; ".join(map(str, problems)), {"trials": rows})
    return {"kept": sum(bool(row["kept"]) for row in rows), "trials": rows}


def refit(engines: Path, work: Path, name: str) -> dict[str, Any]:
    """Plans without weights, which are put back when they are opened."""
    needs_gpu()
    capabilities = api.probe(api.load())
    if not (capabilities.strip_plan and capabilities.refit):
        raise Absent("this TensorRT has no plans without weights (STRIP_PLAN came with 10)")
    here = finished(engines, work, name)
    with_weights, engine = here.plans(), here.read()
    builder = PlanBuilder(api.load(), engine.weights, strip=True, precision=here.precision)
    stripped = [
        DevicePlan(plan.paths, builder.build(plan.name, engine.graph(plan.name)))
        for plan in with_weights
    ]
    manifest = read_engine(here.finished).manifest
    file = work / name / "stripped.tipsc"
    write_with_plans(
        file, replace(manifest, built={**manifest.built, "stripped": "yes"}), engine, stripped
    )
    inputs, expected = here.reference()
    with Engine.open(file) as opened:
        gives = manifest.signature.gives
        worst = max(
            apart(expected[p.id], gives.flat(opened.run(inputs, path=p.id), "the output"))
            for p in manifest.paths
        )
    sizes = [sum(len(plan.content) for plan in some) for some in (stripped, with_weights)]
    figures = {"bytes / with weights": sizes[0] / sizes[1], "largest difference": worst}
    if worst > TOLERANCES[here.precision]:
        raise Wrong("refitted plans compute something else", figures)
    return figures


def timing_cache(engines: Path, work: Path, name: str) -> dict[str, Any]:
    """What a second build of a path saves by the timings of the first, and a small workspace."""
    here = finished(engines, work, name)
    engine, trt = here.read(), api.load()
    path = here.plans()[0].name
    seconds, kept = [], b""
    for cache in (b"", None, b"no timings at all"):
        builder = PlanBuilder(
            trt,
            engine.weights,
            precision=here.precision,
            timing_cache=kept if cache is None else cache,
        )
        begun = time.perf_counter()
        builder.build(path, engine.graph(path))
        seconds.append(time.perf_counter() - begun)
        kept = kept or builder.timings()
    plans.workspace_bytes = lambda: 1 << 20
    begun = time.perf_counter()
    try:
        PlanBuilder(trt, engine.weights, precision=here.precision, timing_cache=kept).build(
            path, engine.graph(path)
        )
        small = f"built in {time.perf_counter() - begun:.1f} s"
    except EngineDeviceError as error:
        small = str(error)
    return {
        "first build, s": seconds[0],
        "with its timings, s": seconds[1],
        "with a damaged cache, s": seconds[2],
        "cache KiB": len(kept) / 1024,
        "with 1 MiB of workspace": small,
    }
