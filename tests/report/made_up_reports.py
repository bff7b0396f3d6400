"""Reports with invented figures, for looking at the page and for its tests. Not measurements."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from tipsc.quality import Quality
from tipsc.report import BuildReport, Curve, FeatureMap, Point, Shipped, StageTime


def report(candidates: int = 60, shipped: int = 8, seed: int = 0, **changes: object) -> BuildReport:
    """A report of plausible shape; `changes` replace its fields."""
    rng = random.Random(seed)
    points = [_point(rng) for _ in range(max(candidates, shipped))]
    chosen = _front(points, shipped)
    points = [Point(**{**vars(p), "chosen": p.id in chosen}) for p in points]
    ordered = sorted((p for p in points if p.chosen), key=lambda p: p.p50_ms)
    fields: dict[str, object] = {
        "title": "fashion-mnist",
        "target": "host",
        "backend": "onnxruntime",
        "created_utc": "2026-01-02T03:04:05Z",
        "machine": {"processor": "two cores, AVX2", "memory": "8 GB", "governor": "not told"},
        "noise_floor": 0.018,
        "points": tuple(points),
        "shipped": tuple(_shipped(rng, p) for p in ordered),
        "feature_maps": mobilenet(),
        "curves": tuple(
            _curve(rng, n, d) for n, d in (("largest", 2), ("mean", 1.7), ("smallest", 1.4))
        ),
        "stages": tuple(
            StageTime(n, s, c)
            for n, s, c in (
                ("train", 142.3, True), ("score", 0.41, True), ("lower", 3.9, False),
                ("profile", 48.2, False), ("search", 0.02, False), ("build", 6.31, False),
                ("verify", 2.4, False),
            )
        ),
        "engine_file": "fashion-mnist-host.tipsc",
        "engine_bytes": 1_480_000,
        "weights_bytes": 1_402_000,
        "commands": ("tipsc build tipsc.yaml --target host", "tipsc report engine.tipsc"),
        "protocol": {"warm-up": "20 calls of each path", "rounds": "30, interleaved, random order"},
        "version": "0.1.0",
    }  # fmt: skip
    return BuildReport(**{**fields, **changes})  # type: ignore[arg-type]


def mobilenet(stages: tuple[int, ...] = (1, 2, 3, 4, 3, 3, 1)) -> tuple[FeatureMap, ...]:
    """About 150 feature maps of inverted residual blocks, stages of elastic depth."""
    maps: list[FeatureMap] = []

    def add(label: str, *inputs: str, tas: float = 0.004) -> str:
        maps.append(FeatureMap(label, inputs, tas * (0.75 + 0.5 * math.sin(len(maps)) ** 2)))
        return label

    previous: list[str] = []
    last = add("activation", add("stem_norm", add("stem", add("input"))))
    for s, depth in enumerate(stages):
        ends: list[str] = []
        for b in range(depth):
            scope, share = f"stages.{s}.{b}.", 0.011 * 0.8**b
            sources, x = (last,) if b or s == 0 else tuple(previous), ""
            x = add(scope + "expand", *sources, tas=share)
            for name in ("expand_norm", "activation", "depthwise", "depthwise_norm",
                         "activation#2", "project", "project_norm"):  # fmt: skip
                x = add(scope + name, x, tas=share)
            last = add(scope + "add", last, x, tas=1.6 * share) if b else x
            ends.append(last)
        previous = ends
    for name in ("head", "head_norm", "activation#2", "pool", "flatten", "classifier"):
        last = add(name, *(previous if name == "head" else (last,)))
    return tuple(maps)


def with_width_groups(maps: tuple[FeatureMap, ...]) -> tuple[FeatureMap, ...]:
    """Three width groups for what stands inside a block."""
    out = []
    for m in maps:
        out.append(m)
        if m.label.startswith("stages") and "project" not in m.label and "add" not in m.label:
            out += [FeatureMap(f"{m.label}[{g}]", m.inputs, m.tas / (2 * g)) for g in (1, 2)]
    return tuple(out)


def _point(rng: random.Random) -> Point:
    size = rng.random()
    p50 = 0.42 * math.exp(1.9 * size) * rng.uniform(0.95, 1.12)
    accuracy = 0.905 - 0.085 * (1 - size) ** 1.6 - 0.02 * rng.random() ** 2
    options = {f"stage{s}.depth": 1 + int(size * 2.9) for s in range(3)}
    options |= {
        f"stage{s}.block{b}.width": rng.choice((16, 32, 64)) for s in range(3) for b in range(3)
    }
    return Point(
        id=f"{rng.getrandbits(32):08x}",
        options=options,
        quality=Quality("accuracy", accuracy, "share"),
        p10_ms=p50 * 0.985,
        p50_ms=p50,
        p95_ms=p50 * rng.uniform(1.03, 1.12),
        macs=int(4e6 * math.exp(1.9 * size)),
        parameters=int(1.1e5 * math.exp(1.2 * size)),
        chosen=False,
        measured=rng.random() < 0.8,
    )


def _front(points: list[Point], count: int) -> set[str]:
    measured = [p for p in points if p.measured] if count < len(points) else points
    ordered = sorted(measured, key=lambda p: p.p50_ms)
    limits = [ordered[(k + 1) * len(ordered) // count - 1].p50_ms for k in range(count)]
    return {
        max(
            (p for p in ordered if p.p50_ms <= limit),
            key=lambda p: p.quality.value if p.quality else 0.0,
        ).id
        for limit in limits
    }


def _shipped(rng: random.Random, point: Point) -> Shipped:
    samples = tuple(
        point.p50_ms * (rng.lognormvariate(0, 0.014) + (rng.random() < 0.05) * rng.uniform(0, 0.25))
        for _ in range(600)
    )
    return Shipped(
        id=point.id,
        quality=point.quality and replace(point.quality, value=point.quality.value - 0.004),
        p50_ms=point.p50_ms,
        p95_ms=point.p95_ms,
        parameters=point.parameters,
        macs=point.macs,
        shared_bytes=4 * point.parameters,
        private_bytes=3_000,
        samples_ms=samples,
        difference=rng.uniform(1e-7, 9e-7),
        agreement=1 - 0.0003 * rng.random(),
        own_weights=rng.random() < 0.15,
        level=False,
        budget_ms=point.p50_ms * 1.06,
    )


def _curve(rng: random.Random, name: str, decay: float) -> Curve:
    steps = tuple(range(0, 1800, 2))
    values = tuple(
        (0.3 + 2.0 * math.exp(-decay * s / 500)) * rng.lognormvariate(0, 0.08) for s in steps
    )
    return Curve(name, steps, values)
