"""All studies of when to choose the paths that ship, several rows at once.

    python benchmarks/narrowing_all.py [--jobs 2] [--only STUDY,...]

STUDIES says which; `benchmarks/narrowing.py` what each is, and `narrowing.py show` prints them.
First each arm's learning rate is tuned on a seed of its own, then its seeds are run with the best.
Each row is one process with one thread. What is in the CSV is not done again, so it can be stopped
at any time.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from narrowing import RATES, RESULT, TUNED_ON, Setting, done, keep, tuned_rate


@dataclass(frozen=True)
class Study:
    """Rows of one table.

    Attributes:
        tuned: arms whose rates are tried; the others take that of `like`, or their own.
    """

    name: str
    arms: tuple[str, ...]
    seeds: int
    start: str = "trained"
    passes: float = 2.5
    paths: int = 4
    tuned: tuple[str, ...] = ()


STUDIES = (  # the two main arms first
    Study("resnet-small", ("chosen", "alone"), 5, tuned=("chosen", "alone")),
    Study("mobile", ("chosen", "alone"), 5, tuned=("chosen", "alone")),
    Study("watch", ("chosen", "alone"), 5, passes=10, tuned=("chosen", "alone")),
    Study("words", ("chosen", "alone"), 3, tuned=("chosen", "alone")),
    Study("resnet-small", ("chosen",), 3, passes=7.5, paths=12),
    Study("mobile", ("chosen",), 3, passes=7.5, paths=12),
    Study("resnet-small", ("alone",), 5, passes=10),
    Study("mobile", ("alone",), 3, passes=10),
    Study("resnet-small", ("whole", "largest"), 5, tuned=("whole",)),
    Study("mobile", ("whole",), 5, tuned=("whole",)),
    Study("watch", ("whole",), 5, passes=10, tuned=("whole",)),
    Study("words", ("whole",), 3, tuned=("whole",)),
    Study("resnet-small", ("whole", "third", "half", "late", "big", "alone"), 3, "scratch", 5.0,
          tuned=("whole", "half", "big", "alone")),
    Study("cifar-resnet", ("chosen", "alone", "whole"), 3, tuned=("chosen", "alone")),
    Study("cifar-mobile", ("chosen", "alone"), 3, tuned=("chosen", "alone")),
    Study("mobile", ("whole", "half", "alone"), 3, "scratch", 5.0, tuned=("whole", "alone")),
)  # fmt: skip
#: an arm whose rate is not tuned takes that of the arm that it is most like
LIKE = {"largest": "whole", "third": "half", "late": "half"}


def settings_of(study: Study, file: Path, *, tuning: bool) -> Iterator[tuple[Setting, str]]:
    """What one of the two rounds of a study runs."""

    def setting(rate: float, seed: int) -> Setting:
        return Setting(study.name, study.start, study.passes, study.paths, rate, seed)

    if tuning:
        rates = RATES[study.start]
        yield from ((setting(r, TUNED_ON), arm) for arm in study.tuned for r in rates)
        return
    for seed in range(study.seeds):
        for arm in study.arms:
            rate = tuned_rate(file, study.name, study.start, LIKE.get(arm, arm))
            yield setting(rate, seed), arm


def one_row(setting: Setting, arm: str) -> dict[str, object]:
    torch.set_num_threads(1)
    return setting.run(arm)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="")
    parser.add_argument("--csv", type=Path, default=RESULT)
    given = parser.parse_args()
    wanted = [s for s in STUDIES if not given.only or s.name in given.only.split(",")]
    left = {place: [True, False] for place in range(len(wanted))}  # rounds: tuning, then seeds
    waiting: list[tuple[int, Setting, str]] = []
    running: dict[Future[dict[str, object]], int] = {}
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:
        while running or waiting or any(left.values()):
            busy = {place for place, _, _ in waiting} | set(running.values())
            for place, rounds in left.items():
                if rounds and place not in busy:
                    rows = settings_of(wanted[place], given.csv, tuning=rounds.pop(0))
                    waiting += [(place, *row) for row in rows if not done(given.csv, *row)]
            waiting.sort(key=lambda row: row[0])  # the first studies first
            while waiting and len(running) < given.jobs:
                place, setting, arm = waiting.pop(0)
                running[pool.submit(one_row, setting, arm)] = place
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                running.pop(future)
                keep(given.csv, future.result())


if __name__ == "__main__":
    main()
