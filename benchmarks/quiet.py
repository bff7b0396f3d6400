"""What other work does to latencies, and how it is noticed: ``python benchmarks/quiet.py``.

The same calls are measured while nothing else runs, while one or two processes spin (bound to the
measured core, to another one, or wherever the scheduler puts them), and while one spins for a tenth
of the time. The settings take turns. For each: what others had of the core, in how many visits the
thread had to wait at first and in the end, p50 and p95 against the quiet setting, and how often the
measurement was called doubtful. The limits in ``tipsc/measure/disturbance.py`` lie between the
first setting and the others. Needs Linux, two cores, and nothing else that computes.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from figures import machine

from tipsc.measure.disturbance import Disturbance, noise_of
from tipsc.measure.loop import Settings, collect_times
from tipsc.profile import Samples

REPEATS = 7
SPIN = "while True: pass"
BURSTS = """import time
while True:
    end = time.time() + 0.1
    while time.time() < end: pass
    time.sleep(0.9)
"""
SETTINGS = Settings(warm_up_ms=50.0, rounds=20, batch_ms=10.0, time_limit_s=60.0, cores=(), seed=0)


@dataclass(frozen=True)
class Setting:
    """Other processes: what each runs, and the core that it is bound to (None: none)."""

    name: str
    processes: tuple[tuple[str, int | None], ...] = ()
    pinned: bool = True


@dataclass(frozen=True)
class Row:
    """Medians over the repeats, and in [lowest, highest] what the limits are about.

    Attributes:
        others: share of the measured core that other processes had.
        disturbed: share of visits that stayed disturbed.
        repeated: share of visits that were made again.
        p50, p95: of the median path, as a multiple of the quiet setting's in the same turn.
        doubtful: share of the measurements that were called so.
    """

    name: str
    others: tuple[float, float]
    disturbed: tuple[float, float]
    repeated: float
    spread: tuple[float, float]
    p50: float
    p95: float
    doubtful: float


@contextmanager
def running(setting: Setting) -> Iterator[None]:
    """The setting's processes, until the end."""
    started = []
    try:
        for code, core in setting.processes:
            process = subprocess.Popen([sys.executable, "-c", code])
            started.append(process)
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
        time.sleep(0.3)
        yield
    finally:
        for process in started:
            process.send_signal(signal.SIGKILL)
            process.wait()


def calls() -> dict[str, Callable[[], object]]:
    """Matrix products between about 0.05 and 5 ms."""
    generator = np.random.default_rng(0)
    found = {}
    for size in (96, 128, 192, 256, 320, 384):
        square = generator.standard_normal((size, size), np.float32)
        found[f"{size}"] = partial(np.matmul, square, square)
    return found


def measured(setting: Setting, core: int) -> tuple[Disturbance, float, float, float]:
    """What was noticed; p50 and p95 in ms of the median path; and the drift."""
    settings = Settings(**{**vars(SETTINGS), "cores": (core,) if setting.pinned else ()})
    with running(setting):
        times = collect_times(calls(), settings)
    found = Samples(times.batches, times.held, times.seconds, times.disturbance).summarise()
    p50 = median(latency.p50_ms for latency in found.latencies.values())
    p95 = median(latency.p95_ms for latency in found.latencies.values())
    return found.disturbance, p50, p95, found.drift


def rows(settings: Sequence[Setting], core: int, repeats: int) -> list[Row]:
    found: dict[str, list[tuple[Disturbance, float, float, float]]] = {}
    for _ in range(repeats):
        for setting in settings:
            found.setdefault(setting.name, []).append(measured(setting, core))
    quiet = found[settings[0].name]

    def row(name: str, seen: list[tuple[Disturbance, float, float, float]]) -> Row:
        told = [one[0] for one in seen]
        others = [disturbance.others or 0.0 for disturbance in told]
        disturbed = [disturbance.share or 0.0 for disturbance in told]
        spread = [disturbance.spread for disturbance in told]
        return Row(
            name=name,
            others=(min(others), max(others)),
            disturbed=(min(disturbed), max(disturbed)),
            repeated=median(disturbance.repeated / disturbance.visits for disturbance in told),
            spread=(min(spread), max(spread)),
            p50=median(one[1] / base[1] for one, base in zip(seen, quiet, strict=True)),
            p95=median(one[2] / base[2] for one, base in zip(seen, quiet, strict=True)),
            doubtful=sum(bool(noise_of(one[0], one[3])) for one in seen) / len(seen),
        )

    return [row(name, seen) for name, seen in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--repeats", type=int, default=REPEATS, metavar="N")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    core, other = cores[-1], cores[0]
    settings = (
        Setting("nothing"),
        Setting("nothing, not pinned", pinned=False),
        Setting("one on the other core", ((SPIN, other),)),
        Setting("a tenth of a second each second", ((BURSTS, core),)),
        Setting("one, not bound", ((SPIN, None),)),
        Setting("one on the same core", ((SPIN, core),)),
        Setting("two, not bound", ((SPIN, None), (SPIN, None))),
        Setting("two, not pinned either", ((SPIN, None), (SPIN, None)), pinned=False),
    )
    found = rows(settings, core, arguments.repeats)
    print(f"{'other work':34}{'others %':>14}{'disturbed %':>14}{'again %':>9}{'p95/p50':>12}"
          f"{'p50 x':>7}{'p95 x':>7}{'doubtful %':>12}")  # fmt: skip
    for row in found:
        others, disturbed = (
            f"{100 * a:.0f} - {100 * b:.0f}" for a, b in (row.others, row.disturbed)
        )
        spread = f"{row.spread[0]:.2f} - {row.spread[1]:.2f}"
        print(f"{row.name:34}{others:>14}{disturbed:>14}{100 * row.repeated:>9.0f}{spread:>12}"
              f"{row.p50:>7.2f}{row.p95:>7.2f}{100 * row.doubtful:>12.0f}")  # fmt: skip
    if arguments.json:
        document = {"machine": machine(), "rows": [asdict(row) for row in found]}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
