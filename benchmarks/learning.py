"""Samplers compared at equal training compute.

    python benchmarks/learning.py run STUDY [--arms a,b] [--seeds 0-4] [--scale 1.0] [--jobs 2]
    python benchmarks/learning.py show STUDY [--baseline uniform] [--figure area]
    python benchmarks/learning.py plot STUDY        # docs/images/learning-STUDY.svg

``run`` tunes the learning rate of each arm on a seed of its own (on validation data, at the same
budget), then trains every arm from every seed, and appends a line for each run to
``benchmarks/results/learning/STUDY.csv``: what is there is not done again. A training may spend so
many single-thread seconds of forward, backward and update; what a path costs was measured
beforehand, interleaved (``STUDY-prices.json``), so that a busy machine changes nothing. All arms
are judged on the same candidate paths, in which no sampler had a say, and against their latency in
an engine on this machine. For each budget the path that is best on validation data counts, by its
accuracy on test data.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch starts its threads

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from compare.arms import ARMS, LEARNING_RATES
from compare.latency import latencies
from compare.price import prices
from compare.studies import STUDIES
from compare.table import (
    BUDGETS,
    Grid,
    Row,
    append_row,
    at_best_rates,
    figures,
    paired,
    reaches,
    read_rows,
    tuned_rates,
)
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

RESULTS = Path(__file__).resolve().parent / "results" / "learning"
PICTURES = Path(__file__).resolve().parents[1] / "docs" / "images"
TUNING_SEED = 100
BASELINE = "uniform"
FIGURES = ("area", "log", "log-without-smallest", "linear", "smallest", "largest")


def one(study: str, arm: str, seed: int, rate: float, seconds: float) -> Row:
    """A run, in a process of its own."""
    from compare.run import run

    chosen = STUDIES[study]
    price = prices(chosen, RESULTS / f"{study}-prices.json")
    return run(chosen, ARMS[arm], seed, rate, seconds, price, grid_of(study).latency)


def run_all(study: str, jobs: list[tuple[str, int, float, float]], processes: int) -> None:
    """Runs what is not in the results yet."""
    file = RESULTS / f"{study}.csv"
    done = {(r["arm"], r["seed"], r["rate"], r["seconds"]) for r in read_rows(file)}
    left = [job for job in jobs if job not in done]
    console = Console(stderr=True)
    # Spawned, because a forked child would inherit torch's locks.
    with (
        ProcessPoolExecutor(processes, get_context("spawn")) as pool,
        Progress(console=console) as progress,
    ):
        task = progress.add_task(study, total=len(left))
        waiting = [pool.submit(one, study, *job) for job in left]
        for finished in as_completed(waiting):
            row = finished.result()
            append_row(file, row)
            area = grid_of(study).area(row)
            progress.console.print(
                f"{time.strftime('%H:%M:%S')} {row['arm']} seed {row['seed']} rate {row['rate']:g}"
                f" {row['steps']} steps: area {area:.2f} %"
            )
            progress.advance(task)


def grid_of(study: str) -> Grid:
    return Grid(latencies(STUDIES[study], RESULTS / f"{study}-latency.json"))


def command_run(options: argparse.Namespace) -> None:
    study = options.study
    seconds = STUDIES[study].seconds * options.scale
    names = options.arms.split(",") if options.arms else list(ARMS)
    grid_of(study)
    prices(STUDIES[study], RESULTS / f"{study}-prices.json")
    rates = dict.fromkeys(names, options.rate)
    if options.rate is None:
        tuning = [(a, TUNING_SEED, r, seconds) for a in names for r in options.rates]
        run_all(study, tuning, options.jobs)
        tuned = [r for r in read_rows(RESULTS / f"{study}.csv") if r["seconds"] == seconds]
        rates = tuned_rates(grid_of(study), tuned, TUNING_SEED)
    jobs = [(a, s, rates[a], seconds) for s in options.seeds for a in names]
    run_all(study, jobs, options.jobs)
    show(study, seconds)


def show(
    study: str, seconds: float | None = None, baseline: str = BASELINE, figure: str = "area"
) -> None:
    """Prints means, and paired differences from the baseline in one of the figures."""
    grid = grid_of(study)
    rows = at_best_rates(grid, read_rows(RESULTS / f"{study}.csv"), TUNING_SEED)
    console = Console(width=100)
    levels = {r["seconds"] for r in rows if r["arm"] == BASELINE}
    for level in sorted(levels if seconds is None else {seconds}):
        at = [r for r in rows if r["seconds"] == level]
        by_arm: dict[str, dict[float, dict[str, float]]] = {}
        for row in at:
            by_arm.setdefault(row["arm"], {})[row["seed"]] = figures(grid, row)
        table = Table(title=f"{study}, {level:g} s of training compute, test accuracy in %")
        for head in ("arm", "rate", "area", "log", "- small", "linear", "small", "large"):
            table.add_column(head, justify="left" if head == "arm" else "right", no_wrap=True)
        table.add_column(f"{figure} - {baseline}", justify="right", no_wrap=True)
        order = sorted(by_arm, key=lambda a: -mean(by_arm[a], "area"))
        for arm in order:
            cells = [f"{mean(by_arm[arm], key):.2f}" for key in FIGURES]
            ours = {s: f[figure] for s, f in by_arm[arm].items()}
            theirs = {s: f[figure] for s, f in by_arm.get(baseline, {}).items()}
            gap = paired(ours, theirs)
            cells.append("" if arm == baseline else f"{gap.mean:+.2f} ± {gap.half:.2f}")
            rate = next(row["rate"] for row in at if row["arm"] == arm)
            table.add_row(arm, f"{rate:g}", *cells)
        most = max(map(len, by_arm.values()))
        fewer = [f"{arm} {len(by_arm[arm])}" for arm in order if len(by_arm[arm]) < most]
        table.caption = f"{BUDGETS} budgets; {most} paired seeds; ± 95 % interval"
        if fewer:
            table.caption += f"; fewer seeds: {', '.join(fewer)}"
        console.print(table)
        for arm in order:
            for reach in reaches(grid, rows, arm, BASELINE, level):
                if reach.share < 1:
                    gap = reach.gap
                    console.print(
                        f"{arm} with {reach.share:.0%} of the compute, minus {BASELINE} with all of"
                        f" it: {gap.mean:+.2f} ± {gap.half:.2f} ({gap.pairs} seeds)"
                    )


def draw(study: str) -> None:
    """Draws the level with the most arms."""
    from compare.plot import plot

    rows = at_best_rates(grid_of(study), read_rows(RESULTS / f"{study}.csv"), TUNING_SEED)
    levels = sorted({r["seconds"] for r in rows})
    level = max(levels, key=lambda s: len({r["arm"] for r in rows if r["seconds"] == s}))
    at = [r for r in rows if r["seconds"] == level]
    title = f"{study}: {level:g} s of training compute, {len({r['seed'] for r in at})} seeds"
    file = PICTURES / f"learning-{study}.svg"
    plot(grid_of(study), at, BASELINE, title, file)
    print(file)


def mean(rows: dict[float, dict[str, float]], key: str) -> float:
    return sum(row[key] for row in rows.values()) / len(rows)


def seeds_of(text: str) -> list[int]:
    low, _, high = text.partition("-")
    return list(range(int(low), int(high or low) + 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("run", "show", "plot"):
        verb = verbs.add_parser(name)
        verb.add_argument("study", choices=tuple(STUDIES))
        if name == "show":
            verb.add_argument("--baseline", default=BASELINE, choices=tuple(ARMS))
            verb.add_argument(
                "--figure", default="area", choices=FIGURES, help="of the differences"
            )
        if name == "run":
            verb.add_argument("--arms", help=f"some of {','.join(ARMS)}")
            verb.add_argument("--seeds", type=seeds_of, default=[0, 1, 2, 3, 4])
            verb.add_argument("--scale", type=float, default=1.0, help="of the study's compute")
            verb.add_argument("--rate", type=float, help="learning rate, instead of tuning it")
            verb.add_argument(
                "--rates",
                type=lambda t: [float(v) for v in t.split(",")],
                default=list(LEARNING_RATES),
                help="tried in tuning",
            )
            verb.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    options = parser.parse_args()
    if options.verb == "run":
        command_run(options)
    elif options.verb == "show":
        show(options.study, baseline=options.baseline, figure=options.figure)
    else:
        draw(options.study)


if __name__ == "__main__":
    main()
