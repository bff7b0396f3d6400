"""From rows of accuracies to paired differences between arms."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

BUDGETS = 8
_JSON = ("validation", "test")
_NUMBERS = ("seed", "rate", "seconds", "charged", "cpu", "wall", "steps", "gmacs", "overhead")
Row = dict[str, Any]


def read_rows(file: FilePath) -> list[Row]:
    """All rows of a results file; none if it is not there."""
    if not file.is_file():
        return []
    with file.open(newline="") as stream:
        rows: list[Row] = list(csv.DictReader(stream))
    for row in rows:
        row |= {key: json.loads(row[key]) for key in _JSON}
        row |= {key: float(row[key]) for key in _NUMBERS}
    return rows


def append_row(file: FilePath, row: Row) -> None:
    """Adds one line, whole."""
    flat = {k: json.dumps(v, separators=(",", ":")) if k in _JSON else v for k, v in row.items()}
    new = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, list(flat))
        if new:
            writer.writeheader()
        writer.writerow(flat)


@dataclass(frozen=True)
class Grid:
    """The costs of the candidates and the budgets that an arm is judged at.

    Attributes:
        latency: of each candidate, by path id: measured milliseconds in an engine on the host.
    """

    latency: Mapping[str, float]

    def budgets(self, spacing: str) -> NDArray[np.float64]:
        """(BUDGETS,) from the fastest to the slowest candidate, "log" or "linear"."""
        low, high = min(self.latency.values()), max(self.latency.values())
        space = np.geomspace if spacing == "log" else np.linspace
        return space(low * (1 + 1e-9), high * (1 + 1e-9), BUDGETS)

    def accuracies(self, row: Row, spacing: str) -> NDArray[np.float64]:
        """(BUDGETS,) test accuracy in % of the path that is best on validation in each budget."""
        return self.best_within(row, self.budgets(spacing))

    def best_within(self, row: Row, budgets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Test accuracy in % of the path that is best on validation within each budget in ms."""
        found = []
        for budget in budgets:
            fit = [path for path, ms in self.latency.items() if ms <= budget]
            best = max(fit, key=lambda path: (row["validation"][path], -self.latency[path]))
            found.append(100 * row["test"][best])
        return np.array(found)

    def area(self, row: Row, split: str = "test") -> float:
        """Mean accuracy in % over log latency: area under the staircase over its width."""
        paths = sorted(self.latency, key=lambda path: self.latency[path])
        total, best = 0.0, paths[0]
        for now, following in pairwise(paths):
            if row["validation"][now] > row["validation"][best]:
                best = now
            total += row[split][best] * math.log(self.latency[following] / self.latency[now])
        return 100 * total / math.log(self.latency[paths[-1]] / self.latency[paths[0]])


def figures(grid: Grid, row: Row) -> dict[str, float]:
    """What a row is judged by, in % accuracy."""
    log, linear = grid.accuracies(row, "log"), grid.accuracies(row, "linear")
    return {
        "log": float(log.mean()),
        "log-without-smallest": float(log[1:].mean()),
        "linear": float(linear.mean()),
        "linear-without-smallest": float(linear[1:].mean()),
        "area": grid.area(row),
        "smallest": float(log[0]),
        "largest": float(log[-1]),
    }


@dataclass(frozen=True)
class Difference:
    """Paired difference of means, its 95 % interval (Student's t), and the worst pair."""

    mean: float
    half: float
    lowest: float
    pairs: int


def paired(ours: Mapping[float, float], theirs: Mapping[float, float]) -> Difference:
    """Over the seeds that both have."""
    seeds = sorted(set(ours) & set(theirs))
    gaps = np.array([ours[s] - theirs[s] for s in seeds])
    n = len(gaps)
    half = math.inf
    if n > 1:
        half = float(stats.t.ppf(0.975, n - 1) * gaps.std(ddof=1) / math.sqrt(n))
    return Difference(float(gaps.mean()) if n else math.nan, half, float(min(gaps, default=0)), n)


@dataclass(frozen=True)
class Reach:
    """What an arm with less compute scores against the baseline with all of it.

    Attributes:
        share: of the baseline's compute.
        gap: area of the arm minus that of the baseline, paired by seed.
    """

    share: float
    gap: Difference


def reaches(
    grid: Grid, rows: Sequence[Row], arm: str, baseline: str, seconds: float
) -> list[Reach]:
    """For each level of compute of `arm` up to `seconds`, the least first."""
    theirs = {
        r["seed"]: grid.area(r) for r in rows if r["arm"] == baseline and r["seconds"] == seconds
    }
    levels = sorted({r["seconds"] for r in rows if r["arm"] == arm and r["seconds"] <= seconds})
    found = []
    for level in levels:
        ours = {r["seed"]: grid.area(r) for r in rows if r["arm"] == arm and r["seconds"] == level}
        found.append(Reach(level / seconds, paired(ours, theirs)))
    return found


def tuned_rates(grid: Grid, rows: Sequence[Row], tuning_seed: int) -> dict[str, float]:
    """For each arm the learning rate with the highest area on *validation* data."""
    best: dict[str, tuple[float, float]] = {}
    for row in rows:
        if row["seed"] == tuning_seed:
            area = grid.area(row, "validation")
            if area > best.get(row["arm"], (-1.0, 0.0))[0]:
                best[row["arm"]] = (area, row["rate"])
    return {arm: rate for arm, (_, rate) in best.items()}


def at_best_rates(grid: Grid, rows: Sequence[Row], tuning_seed: int) -> list[Row]:
    """The rows that count: without the tuning's, and each arm at one rate.

    One seed tunes. Where that is too few to tell, a second rate may be run from the others; then
    the one with the higher mean area on validation data counts, over the seeds that both have.
    """
    found: list[Row] = []
    runs: dict[tuple[str, float], dict[float, dict[float, Row]]] = {}
    for row in rows:
        if row["seed"] != tuning_seed:
            by_rate = runs.setdefault((row["arm"], row["seconds"]), {})
            by_rate.setdefault(row["rate"], {})[row["seed"]] = row
    for by_rate in runs.values():
        common = set.intersection(*(set(by_seed) for by_seed in by_rate.values()))

        def mean(by_seed: dict[float, Row], common: set[float] = common) -> tuple[float, int]:
            areas = [grid.area(by_seed[seed], "validation") for seed in common]
            return (math.fsum(areas) / max(1, len(areas)), len(by_seed))

        found += max(by_rate.values(), key=mean).values()
    return found
