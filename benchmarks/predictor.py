"""How well latencies of unmeasured architectures are predicted, on public real-device data.

The data are the latencies of all 15,625 NAS-Bench-201 cells on five devices (repository
HayeonLee/HELP, MIT licence), as one .npz file: ``architectures`` int8 (15625, 6), the operation on
each of the cell's six edges (0 none, 1 skip, 2 conv 1x1, 3 conv 3x3, 4 pool 3x3), and one float32
array (15625,) a device. Dropped: cells that do not connect input and output, and values below a
tenth of a device's median, which are faults of the measurement.

For each device and draw, n cells are measured (60 % D-optimal, 40 % random; with ``--random`` all
at random) and all others are predicted: from the operations alone, and with totals of the cell as
features. Beside both stand a constant (the median of the measured cells) and ridge regression on
the one-hot operations, its strength by leave-one-out.

    python benchmarks/predictor.py --data nasbench201-latency.npz [--json FILE]
    python benchmarks/predictor.py --host [--json FILE]

``--host`` measures paths of a real engine on this machine instead: see predictor_host.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tipsc.profile import choose_measured, fit, read_system

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # in the order of the architecture string
PSEUDO_MACS = np.array([0.0, 0.0, 1.0, 9.0, 1.0])
DEVICES = ("1080ti_1", "gold_6226", "samsung_a50", "pixel3", "raspi4")
FAULTY_BELOW = 0.1  # of the median


def live_edges(cells: Ints) -> NDArray[np.bool_]:
    """Which edges lie on a way from input to output, shape (n, 6)."""
    on = cells != 0
    reached = np.zeros((len(cells), 4), dtype=bool)
    leads = np.zeros((len(cells), 4), dtype=bool)
    reached[:, 0] = leads[:, 3] = True
    for edge, (tail, head) in enumerate(EDGES):  # heads in topological order
        reached[:, head] |= reached[:, tail] & on[:, edge]
    for edge, (tail, head) in sorted(enumerate(EDGES), key=lambda item: -item[1][0]):
        leads[:, tail] |= leads[:, head] & on[:, edge]
    tails, heads = ([edge[i] for edge in EDGES] for i in (0, 1))
    return on & reached[:, tails] & leads[:, heads]


def totals(cells: Ints) -> Array:
    """Whole-cell totals, shape (n, 14): counts of operations, all and live; pseudo-MACs; depth."""
    live = live_edges(cells)
    counts = [(cells == operation).sum(1) for operation in range(5)]
    live_counts = [((cells == operation) & live).sum(1) for operation in range(1, 5)]
    macs = PSEUDO_MACS[cells]
    depth = np.zeros((len(cells), 4))
    additions = np.zeros(len(cells))
    for node in (1, 2, 3):
        incoming = [edge for edge, (_, head) in enumerate(EDGES) if head == node]
        for edge in incoming:
            through = depth[:, EDGES[edge][0]] + (cells[:, edge] >= 2)
            depth[:, node] = np.maximum(depth[:, node], np.where(live[:, edge], through, 0.0))
        additions += np.maximum(live[:, incoming].sum(1) - 1, 0)
    sums = [(macs * live).sum(1), macs.sum(1), live.sum(1), depth[:, 3], additions]
    return np.stack([*counts, *live_counts, *sums], axis=1).astype(np.float64)


def ridge(cells: Ints, latencies: Array) -> Callable[[Ints], Array]:
    """Plain ridge on one-hots; the strength has the least leave-one-out squared error."""

    def one_hot(cells: Ints) -> Array:
        return (cells[:, :, None] == np.arange(5)).reshape(len(cells), -1).astype(np.float64)

    design, mean = one_hot(cells), float(latencies.mean())
    best: tuple[float, Array] | None = None
    for strength in np.logspace(-3, 3, 13):
        gram = design.T @ design + strength * np.eye(design.shape[1])
        hat = design @ np.linalg.solve(gram, design.T)
        error = ((latencies - mean) - hat @ (latencies - mean)) / (1.0 - np.diag(hat))
        loss = float((error**2).mean())
        if best is None or loss < best[0]:
            best = loss, np.linalg.solve(gram, design.T @ (latencies - mean))
    assert best is not None
    weights = best[1]
    return lambda cells: mean + one_hot(cells) @ weights


def shares(predicted: Array, measured: Array) -> dict[str, float]:
    error = np.abs(predicted / measured - 1.0)
    return {f"within_{p}_pct": float((error <= p / 100).mean()) for p in (5, 10)}


def one_draw(
    cells: Ints, features: Array, latencies: Array, n: int, seed: int, optimal: bool
) -> dict[str, float]:
    """Figures of one device and draw, as shares of the cells that were not measured."""
    chosen = list(choose_measured(cells, n, seed=seed, n_optimal=None if optimal else 0))
    rest = np.setdiff1d(np.arange(len(cells)), chosen)
    measured, truth = latencies[chosen], latencies[rest]
    result: dict[str, float] = {}
    for name, totals in (("", None), ("features_", features)):
        known, wanted = (None, None) if totals is None else (totals[chosen], totals[rest])
        begin = time.perf_counter()
        predictor = fit(cells[chosen], measured, features=known)
        seconds = time.perf_counter() - begin
        mean, low, high = predictor.predict(cells[rest], wanted)
        figures = {
            **shares(mean, truth),
            "coverage_95": float(((truth >= low) & (truth <= high)).mean()),
            "interval_width": float(np.median((high - low) / truth)),
            "outliers": float(len(predictor.outliers)),
            "fit_s": seconds,
        }
        result |= {name + key: value for key, value in figures.items()}
    for name, predicted in (
        ("ridge", ridge(cells[chosen], measured)(cells[rest])),
        ("constant", np.full(len(rest), np.median(measured))),
    ):
        result |= {f"{name}_{key}": value for key, value in shares(predicted, truth).items()}
    return result


def run(data: Path, n: int, seeds: Sequence[int], optimal: bool) -> dict[str, dict[str, float]]:
    """Means over the draws, by device."""
    with np.load(data, allow_pickle=False) as arrays:
        cells = arrays["architectures"].astype(np.int64)
        tables = {device: arrays[device].astype(np.float64) for device in DEVICES}
    connected = live_edges(cells).any(axis=1)
    features = totals(cells)
    results = {}
    for device, table in tables.items():
        keep = np.flatnonzero(connected & (table > FAULTY_BELOW * np.median(table)))
        figures = [
            one_draw(cells[keep], features[keep], table[keep], n, seed, optimal) for seed in seeds
        ]
        results[device] = {
            "cells": float(len(keep)),
            **{key: float(np.mean([f[key] for f in figures])) for key in figures[0]},
        }
    return results


def table_of(results: dict[str, dict[str, float]], title: str) -> Table:
    table = Table(title=title)
    table.add_column("device", no_wrap=True)
    for head in ("within 5/10 %", "features", "ridge", "constant", "coverage", "width", "ms"):
        table.add_column(head, justify="right", no_wrap=True)
    for device, f in results.items():
        pairs = [
            f"{100 * f[p + 'within_5_pct']:.1f}/{100 * f[p + 'within_10_pct']:.1f}"
            for p in ("", "features_", "ridge_", "constant_")
        ]
        table.add_row(
            device,
            *pairs,
            f"{100 * f['coverage_95']:.1f}",
            f"{100 * f['interval_width']:.0f} %",
            f"{1e3 * f['fit_s']:.0f}",
        )
    coverage, other = (
        100 * np.mean([f[prefix + "coverage_95"] for f in results.values()])
        for prefix in ("", "features_")
    )
    table.caption = (
        f"mean coverage of the 95 % intervals: {coverage:.1f} %, with features {other:.1f} %"
    )
    return table


def machine() -> dict[str, str | None]:
    return {
        "cpu": read_system().cpu,
        "cpus": str(os.cpu_count()),
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "onnxruntime", "torch")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="the .npz file")
    what.add_argument("--host", action="store_true", help="measure on this machine")
    parser.add_argument("--measured", type=int, default=50, help="cells measured a draw")
    parser.add_argument("--random", action="store_true", help="draw all measured cells at random")
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=20, help="of the measurement with --host")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    if options.host:
        import predictor_host  # torch, and all that compiles

        content = predictor_host.run(options.first_seed, options.rounds)
        table = predictor_host.table_of(content)
    else:
        seeds = range(options.first_seed, options.first_seed + options.draws)
        content = {"devices": run(options.data, options.measured, seeds, not options.random)}
        title = (
            f"{options.measured} measured, the rest predicted; mean of {options.draws} draws, in %"
        )
        table = table_of(content["devices"], title)
    Console().print(table)
    if options.json:
        command = " ".join(["python benchmarks/predictor.py", *map(_plain, sys.argv[1:])])
        text = json.dumps({"command": command, "machine": machine(), **content}, indent=1)
        options.json.write_text(text + "\n")


def _plain(argument: str) -> str:
    """An argument without the folders of this machine."""
    return Path(argument).name if "/" in argument else argument


if __name__ == "__main__":
    main()
