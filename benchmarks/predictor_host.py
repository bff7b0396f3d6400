"""How well latencies on this machine are predicted: the second mode of benchmarks/predictor.py.

The supernet of examples/fashion_mnist with random weights (they do not change a latency), lowered
into one real engine with the paths to fit and the paths to test. The tested ones are random; the
fitted ones are chosen from another random draw, 60 % D-optimal and 40 % random. All are measured in
the same interleaved rounds.

The repeat floor says how often the second half of a path's rounds lies within 5 or 10 % of the
first half. The rows with a corrected drift divide every round by how slow it was for the median
path.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from tipsc.elastic import additive_totals
from tipsc.paths import Path
from tipsc.pipeline.profile import Bench
from tipsc.profile import Samples, Shares, choose_measured, predict_latency
from tipsc.profile.features import path_features
from tipsc.project.config import load_config
from tipsc.project.loading import make_supernet
from tipsc.project.target import load_target

Array = NDArray[np.float64]
Batches = Mapping[str, list[Array]]  # for each round, milliseconds

EXAMPLE = FilePath(__file__).parent.parent / "examples" / "fashion_mnist"
POOL, FITTED, TESTED = 500, 50, 60
STATISTICS: dict[str, float] = {"p50": 50.0, "p10": 10.0}


def run(seed: int, rounds: int) -> dict[str, Any]:
    """Figures by statistic and correction, and every measured path."""
    torch.manual_seed(seed)
    config, folder = load_config(EXAMPLE)
    supernet = make_supernet(config, folder).eval()
    generator = random.Random(seed)
    drawn: dict[str, Path] = {}
    while len(drawn) < TESTED + POOL:
        path = supernet.space.sample_options(generator)
        drawn.setdefault(path.id, path)
    tested, pool = list(drawn.values())[:TESTED], list(drawn.values())[TESTED:]
    values = [path.values for path in pool]
    chosen = choose_measured(values, FITTED, features=path_features(supernet, pool), seed=seed)
    paths = [*(pool[i] for i in chosen), *tested]

    target = load_target("host")
    measure = target.measure.model_copy(update={"rounds": rounds})
    bench = Bench(
        name="predictor",
        target=target.model_copy(update={"measure": measure}),
        version="",
        supernet=supernet,
        totals=additive_totals(supernet),
        inputs=torch.randn(64, *supernet.inputs[0].shape[1:]),
        seed=seed,
    )
    samples = _measure(bench, paths)
    plain = {
        name: [np.asarray(batch) / 1e6 for batch in batches]
        for name, batches in samples.batches.items()
    }
    features = path_features(supernet, paths)
    figures = {}
    for name, batches in (("", plain), (", drift corrected", corrected(plain))):
        for statistic, percentile in STATISTICS.items():
            figures[statistic + name] = _figures(paths, features, batches, percentile)
    summary = samples.summarise()
    return {
        "fitted": FITTED,
        "tested": TESTED,
        "rounds": summary.rounds,
        "drift": summary.drift,
        "noise_floor_p10": summary.noise_floor.model_dump(),
        "figures": figures,
        "paths": [
            {"values": list(path.values), "p50_ms": summary.latencies[path.id].p50_ms}
            for path in paths
        ],
    }


def corrected(batches: Batches) -> Batches:
    """Batches without what slowed a whole round: its factor is the median over all paths."""
    names = list(batches)
    medians = np.array([[np.median(batch) for batch in batches[name]] for name in names])
    factors = np.median(medians / np.median(medians, axis=1, keepdims=True), axis=0)
    return {
        name: [batch / factor for batch, factor in zip(batches[name], factors, strict=True)]
        for name in names
    }


def _measure(bench: Bench, paths: list[Path]) -> Samples:
    def silent(done: float, total: float, note: str = "") -> None:
        pass

    with tempfile.TemporaryDirectory() as folder:
        file = bench.engine(FilePath(folder) / "predictor.tipsc", paths, silent)
        _, samples = bench.measure(file, bench.seed, silent)
    return samples


def _figures(
    paths: list[Path], features: Array, batches: Batches, percentile: float
) -> dict[str, Any]:
    def statistic(part: Callable[[list[Array]], list[Array]]) -> Array:
        return np.array(
            [np.percentile(np.concatenate(part(batches[p.id])), percentile) for p in paths]
        )

    measured = statistic(lambda rounds: rounds)
    halves = [
        statistic(lambda rounds: rounds[: len(rounds) // 2]),
        statistic(lambda rounds: rounds[len(rounds) // 2 :]),
    ]
    values = np.array([path.values for path in paths])
    fitted, truth = measured[:FITTED], measured[FITTED:]
    shares = {}
    for name, totals in (("predicted", features), ("without_features", None)):
        prediction = predict_latency(
            values[:FITTED],
            fitted,
            values[FITTED:],
            features=None if totals is None else totals[:FITTED],
            wanted_features=None if totals is None else totals[FITTED:],
        )
        shares[name] = Shares.of(prediction.mean / truth - 1.0)
        if totals is not None:
            covered = float(((truth >= prediction.low) & (truth <= prediction.high)).mean())
    shares["repeat"] = Shares.of(halves[1][FITTED:] / halves[0][FITTED:] - 1.0)
    shares["constant"] = Shares.of(np.median(fitted) / truth - 1.0)
    return {**{name: share.model_dump() for name, share in shares.items()}, "covered": covered}


def table_of(result: dict[str, Any]) -> Table:
    """The figures, as shares within 5 and 10 % of what was measured."""
    table = Table(
        title=f"{result['fitted']} paths measured and fitted, {result['tested']} others tested; "
        "within 5/10 %, in %",
        caption=f"{result['rounds']} rounds; drift {result['drift']:+.1%}; repeating moves p10 by "
        f"{result['noise_floor_p10']['median']:.1%} (p95 {result['noise_floor_p10']['p95']:.1%})",
    )
    table.add_column("statistic", no_wrap=True)
    for head in ("predicted", "no features", "repeat floor", "constant", "coverage"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, found in result["figures"].items():
        cells = [
            f"{100 * found[key]['within_5_pct']:.0f}/{100 * found[key]['within_10_pct']:.0f}"
            for key in ("predicted", "without_features", "repeat", "constant")
        ]
        table.add_row(name, *cells, f"{100 * found['covered']:.0f}")
    return table
