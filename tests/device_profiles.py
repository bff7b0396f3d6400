"""A small supernet with elastic kernels, and made-up devices that are dear in different things."""

from __future__ import annotations

import random

import numpy as np

from tipsc.elastic import Supernet, family
from tipsc.factors import Additive, unary
from tipsc.paths import Path
from tipsc.profile import (
    LatencyStatistics,
    Measurement,
    NoiseFloor,
    Profile,
    Protocol,
    make_profile,
    read_system,
)
from tipsc.project.target import load_target

MODEL = {
    "classes": 5,
    "input_shape": [1, 12, 12],
    "stem": 8,
    "stages": [
        {"channels": 8, "depths": [1, 2], "expansions": [1, 3, 6], "kernels": [3, 5, 7]},
        {"channels": 12, "depths": [1, 2], "expansions": [1, 3, 6], "kernels": [3, 5, 7]},
    ],
    "head": 16,
}
KINDS = ("kernel", "width")


def small_supernet() -> Supernet:
    return family("mobilenet", **MODEL)


def dear_in(supernet: Supernet, kind: str) -> Additive:
    """Milliseconds: 0.1, and 0.05 for each step up of a choice of this kind."""
    named = [c for c in supernet.space.choices if c.name.endswith(f".{kind}")]
    return 0.1 + unary(supernet.space, {c.name: 0.05 * np.arange(len(c.options)) for c in named})


def made_up_profile(
    name: str, supernet: Supernet, truth: Additive, paths: int = 60, noise: float = 0.01
) -> Profile:
    """Latencies with some noise around the truth. Not a measurement."""
    space, generator = supernet.space, random.Random(3)
    drawn = [space.smallest, space.largest]
    drawn += [space.sample_options(generator) for _ in range(paths - len(drawn))]
    known = {path.id: path for path in drawn}

    def latency(path: Path) -> LatencyStatistics:
        ms = truth.of(path) * (1.0 + noise * generator.gauss(0.0, 1.0))
        return LatencyStatistics(p10_ms=ms, p50_ms=ms, p95_ms=ms, mean_ms=ms, cv=0.0, runs=100)

    measurement = Measurement(
        latencies={id_: latency(path) for id_, path in known.items()},
        noise_floor=NoiseFloor(median=noise, p95=2 * noise),
        drift=0.0,
        anchors=(),
        rounds=4,
        pinned_cores=(),
        seconds=1.0,
    )
    profile = make_profile(
        load_target("host"),
        "1",
        space,
        known,
        measurement,
        Protocol(),
        read_system(),
        read_system(),
    )
    return profile.model_copy(update={"target": name})
