"""The governor against fixed paths and the rule that it replaces, under real load.

    python benchmarks/governor.py ENGINE [ENGINE...] [--json FILE] [--only TEXT]

Settings: calls back to back and every 2, 20 and 200 ms; nothing else, one competing process on the
same core all the time, bursts of one, and one that works more and more; three budgets. The load is
real processes, pinned to the core that the calls run on. All contestants take turns in blocks of a
few calls, at the same rate and under the same load, so each sees all of it. Budgets are 1.5 times
what the fastest, the middle and the slowest path take at that rate without load (p95), so that they
mean something at each rate. A contestant's first 50 calls do not count. An engine takes 40 minutes.

The bar: where some fixed path keeps 99 % of its budgets, the governor keeps 98 % and delivers at
least the accuracy of the best such path minus 0.1 points.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tipsc.runtime import Engine, Governor, PathEntry

#: ms between calls, to how many of each contestant count
CALLS = {0: 1000, 2: 1000, 20: 400, 200: 100}
LOADS = ("none", "hog", "bursts", "drift")
BUDGETS = ("small", "middle", "large")
WARM = 50
BLOCK = 5  # calls of one contestant before the next one's turn


class OldRule:
    """What the governor did before: one factor, all of the extra time."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.slowdown = engine, 1.0
        self.ratios: deque[float] = deque(maxlen=3)

    def choose(self, budget_ms: float) -> PathEntry:
        paths = [p for p in self.engine.paths if p.latency.p95_ms * self.slowdown <= budget_ms]
        fastest = min(self.engine.paths, key=lambda p: p.latency.p50_ms)
        return max(paths, key=lambda p: p.quality.value) if paths else fastest

    def learn(self, path: PathEntry, elapsed_ms: float) -> None:
        self.ratios.append(elapsed_ms / path.latency.p50_ms)
        target = min(max(statistics.median(self.ratios), 0.25), 100.0)
        rate = 0.7 if target > self.slowdown else 0.1
        self.slowdown += rate * (target - self.slowdown)


def _spin(core: int, kind: str, end: float) -> None:
    os.sched_setaffinity(0, {core})
    began = time.monotonic()
    while (now := time.monotonic()) < end:
        share = 1.0
        if kind == "drift":  # of each 20 ms, over the measurement from none to all
            share = (now - began) / (end - began)
        if kind == "bursts":  # half a second of every two
            share = 1.0 if (now - began) % 2.0 < 0.5 else 0.0
        stop = now + 0.02 * share
        while time.monotonic() < stop:
            pass
        time.sleep(max(0.0, 0.02 * (1 - share)))


@contextmanager
def load(kind: str, core: int, seconds: float) -> Iterator[None]:
    """Competing processes on a core."""
    if kind == "none":
        yield
        return
    process = multiprocessing.get_context("spawn").Process(
        target=_spin, args=(core, kind, time.monotonic() + seconds + 60), daemon=True
    )
    if kind == "drift":
        process = multiprocessing.get_context("spawn").Process(
            target=_spin, args=(core, kind, time.monotonic() + seconds + 1.5), daemon=True
        )
    process.start()
    time.sleep(1.0)  # it starts
    try:
        yield
    finally:
        process.kill()
        process.join()


def wait(until: float) -> None:
    left = until - time.perf_counter()
    if left > 0:
        time.sleep(left)


Turn = Callable[[], tuple[float, PathEntry]]


def measure(
    engine: Engine,
    x: np.ndarray,
    limits: dict[str, float],
    every_ms: float,
    kind: str,
    calls: int,
    core: int,
) -> dict[str, dict[str, dict[str, float]]]:
    """Share in time and mean accuracy of each contestant, by name of the budget in `limits`.

    A fixed path does not know the budget: its calls are judged by all of them.
    """

    def timed(path: PathEntry) -> tuple[float, PathEntry]:
        began = time.perf_counter()
        engine.run(x, path=path)
        return (time.perf_counter() - began) * 1e3, path

    def governed(governor: Governor, budget: float) -> tuple[float, PathEntry]:
        result = governor.run(x, budget_ms=budget)
        return result.elapsed_ms, result.path

    def by_old_rule(old: OldRule, budget: float) -> tuple[float, PathEntry]:
        elapsed, path = timed(old.choose(budget))
        old.learn(path, elapsed)
        return elapsed, path

    turns: dict[tuple[str, str], Turn] = {}
    for name, budget in limits.items():
        governor, old = Governor(engine, fallback="fastest"), OldRule(engine)
        turns["governor", name] = lambda g=governor, b=budget: governed(g, b)
        turns["old rule", name] = lambda o=old, b=budget: by_old_rule(o, b)
    for path in engine.paths:
        turns[path.id, ""] = lambda path=path: timed(path)
    seen: dict[tuple[str, str], list[tuple[float, PathEntry]]] = {turn: [] for turn in turns}
    per_call = max(every_ms, statistics.mean(p.latency.p50_ms for p in engine.paths))
    with load(kind, core, (calls + WARM) * len(turns) * per_call / 1e3):
        due = time.perf_counter()
        for _ in range((calls + WARM) // BLOCK):
            for which, turn in turns.items():
                for _ in range(BLOCK):
                    if every_ms:
                        due = max(due + every_ms / 1e3, time.perf_counter())
                        wait(due)
                    seen[which].append(turn())
    return {
        name: {
            who: {
                "in_time": statistics.mean(ms <= limits[name] for ms, _ in done[WARM:]),
                "accuracy": statistics.mean(path.quality.value for _, path in done[WARM:]),
            }
            for (who, of), done in seen.items()
            if of in ("", name)
        }
        for name in limits
    }


def budgets(engine: Engine, x: np.ndarray, every_ms: float) -> list[float]:
    """1.5 times the p95 of the fastest, the middle and the slowest path at this rate, unloaded."""
    chosen = (engine.paths[0], engine.paths[len(engine.paths) // 2], engine.paths[-1])
    found: dict[str, list[float]] = {path.id: [] for path in chosen}
    for _ in range(40 if every_ms < 100 else 15):
        for path in chosen:
            time.sleep(every_ms / 1e3)
            began = time.perf_counter()
            engine.run(x, path=path)
            found[path.id].append((time.perf_counter() - began) * 1e3)
    return [1.5 * float(np.quantile(found[path.id], 0.95)) for path in chosen]


def verdict(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    fixed = {n: f for n, f in found.items() if n not in ("governor", "old rule")}
    safe = {n: f for n, f in fixed.items() if f["in_time"] >= 0.99}
    if not safe:
        return {"best": None, "met": None}
    best = max(safe, key=lambda name: safe[name]["accuracy"])
    ours = found["governor"]
    met = ours["in_time"] >= 0.98 and ours["accuracy"] >= safe[best]["accuracy"] - 0.001
    return {"best": best, "met": met}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engines", nargs="+", type=Path)
    parser.add_argument("--only", default="", help="settings whose name contains this")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    rows: list[dict[str, Any]] = []
    print(
        f"{'engine':<14}{'every':>7}{'load':>8}{'budget ms':>11}"
        f"{'governor':>16}{'old rule':>16}{'best fixed':>16}  bar"
    )
    for file in arguments.engines:
        with Engine.open(file) as engine:
            spec = engine.manifest.signature.inputs[0]
            x = np.zeros(spec.shape, spec.dtype)
            for path in engine.paths:
                engine.run(x, path=path)
            for every, calls in CALLS.items():
                for kind in LOADS:
                    if arguments.only not in f"{file.stem} {every} {kind}":
                        continue
                    limits = dict(zip(BUDGETS, budgets(engine, x, every), strict=True))
                    by_budget = measure(engine, x, limits, every, kind, calls, core)
                    for name, found in by_budget.items():
                        row = {"engine": file.stem, "every_ms": every, "load": kind,
                               "budget": name, "budget_ms": limits[name], "calls": calls,
                               "found": found, **verdict(found)}  # fmt: skip
                        rows.append(row)
                        print(line(row), flush=True)
    judged = [row["met"] for row in rows if row["met"] is not None]
    print(f"bar met in {sum(judged)} of {len(judged)} settings in which a fixed path keeps 99 %")
    if arguments.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores, one of them used"
        document = {"machine": machine, "warm": WARM, "rows": rows}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def line(row: dict[str, Any]) -> str:
    def cell(name: str | None) -> str:
        if name is None:
            return f"{'-':>16}"
        found = row["found"][name]
        return f"{100 * found['in_time']:>8.1f}%{100 * found['accuracy']:>7.2f}"

    bar = {None: "", True: "met", False: "MISSED"}[row["met"]]
    every = f"{row['every_ms']} ms" if row["every_ms"] else "-"
    return (
        f"{row['engine'][:13]:<14}{every:>7}{row['load']:>8}{row['budget_ms']:>11.3f}"
        f"{cell('governor')}{cell('old rule')}{cell(row['best'])}  {bar}"
    )


if __name__ == "__main__":
    main()
