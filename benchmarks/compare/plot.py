"""A study as a picture: accuracy against latency, and how far each arm is from the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from compare.table import Grid, Row, figures, paired

_SHOWN = ("folded", "budget-uniform", "uniform", "sandwich", "joslim", "tips")
_STEPS = 60  # latencies at which the staircases are averaged


def plot(grid: Grid, rows: Sequence[Row], baseline: str, title: str, file: FilePath) -> None:
    """Writes an SVG with both panels.

    Args:
        rows: runs of one study and level, without those of tuning.
    """
    arms: dict[str, list[Row]] = {}
    for row in rows:
        arms.setdefault(row["arm"], []).append(row)
    matplotlib.rcParams["svg.hashsalt"] = "tipsc"  # the same picture, the same file
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(3, 2))
    _staircases(left, grid, {name: arms[name] for name in _SHOWN if name in arms})
    _gaps(right, grid, arms, baseline)
    figure.suptitle(title, fontsize=11)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def _staircases(axes: plt.Axes, grid: Grid, arms: Mapping[str, Sequence[Row]]) -> None:
    low, high = min(grid.latency.values()), max(grid.latency.values())
    budgets = np.geomspace(low * (1 + 1e-9), high * (1 + 1e-9), _STEPS)
    for name, rows in arms.items():
        found: NDArray[np.float64] = np.array([grid.best_within(row, budgets) for row in rows])
        mean, spread = found.mean(0), found.std(0)
        (line,) = axes.step(budgets, mean, where="post", label=name)
        axes.fill_between(
            budgets, mean - spread, mean + spread, step="post", alpha=0.15, color=line.get_color()
        )
    axes.set_xscale("log")
    axes.set_xlabel("latency budget, ms (measured p50)")
    axes.set_ylabel("test accuracy of the best path within it, %")
    axes.legend(fontsize=8, loc="lower right")
    axes.grid(alpha=0.3)


def _gaps(axes: plt.Axes, grid: Grid, arms: Mapping[str, Sequence[Row]], baseline: str) -> None:
    areas = {n: {r["seed"]: figures(grid, r)["area"] for r in rows} for n, rows in arms.items()}
    if baseline not in areas:
        return
    gaps = {n: paired(a, areas[baseline]) for n, a in areas.items() if n != baseline}
    order = sorted(gaps, key=lambda name: gaps[name].mean)
    places = np.arange(len(order))
    means = [gaps[name].mean for name in order]
    halves = [min(gaps[name].half, 50.0) for name in order]
    axes.barh(places, means, xerr=halves, color="#7aa6c2", ecolor="#333333", capsize=2)
    axes.set_yticks(places, order, fontsize=8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel(f"area - {baseline}, points (95 % interval)")
    axes.grid(axis="x", alpha=0.3)
