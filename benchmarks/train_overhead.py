"""What drawing paths and keeping books cost in training: ``python benchmarks/train_overhead.py``.

Each sampler trains the demo's supernet for some epochs, one path a step without a teacher, in one
thread: that is the cheapest step there is, so that the shares are the largest there are. The time
of a step includes fetching the batch. Samplers that only draw must stay under 2 %; those that also
run paths forward to choose among them (attentive, joslim) pay for it, and show how much.

Steps of a sampler take other paths than those of another, so seconds do not compare between rows.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy start their threads

import argparse
import json
import platform
import shlex
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path as File

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from tipsc.project.config import load_config
from tipsc.project.loading import load_data, make_supernet
from tipsc.train import SAMPLERS, TrainConfig, train
from tipsc.train.samplers import sampler as make_sampler
from tipsc.train.utility import Utility

ROOT = File(__file__).resolve().parent.parent
DEMO = ROOT / "examples" / "fashion_mnist"
BAR = 0.02
TRYING = ("attentive", "joslim")
# Folded without and with a learned utility; joslim so that its Gaussian process selects within
# two epochs.
OPTIONS: dict[str, list[dict[str, float]]] = {
    "folded": [{}, {"eta": 1.0}],
    "joslim": [{"prior": 2}],
}


@dataclass(frozen=True)
class Row:
    """One sampler.

    Attributes:
        options: that differ from the defaults.
        step_ms: mean time of a step.
        overhead: share of the time for drawing and books, trials not included.
        trials: share of the time for forward passes that only tried paths.
        make_s: seconds to make the sampler, once in a training.
        bar: most that `overhead` may be, or None.
    """

    sampler: str
    options: dict[str, float]
    step_ms: float
    overhead: float
    trials: float
    make_s: float
    bar: float | None

    @property
    def is_missed(self) -> bool:
        return self.bar is not None and self.overhead > self.bar


def measure(name: str, options: dict[str, float], epochs: int) -> Row:
    config, folder = load_config(DEMO)
    supernet, data = make_supernet(config, folder), load_data(config, folder)
    settings = TrainConfig(
        epochs=epochs,
        frozen_epochs=0,
        batch_size=config.training.batch_size,
        learning_rate=config.training.learning_rate,
        paths_per_step=1,
        distill=False,
        sampler=name,
        sampler_options=options,
        threads=1,
        checkpoint_seconds=1e9,
    )
    start = time.perf_counter()
    sampler = make_sampler(name, supernet, 0, options)
    made = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder_:
        history = train(supernet, data, settings, sampler, folder=File(folder_))
    kept = history.steps[3:]  # the first steps fill caches
    seconds = sum(record.seconds for record in kept)
    tried = sum(record.trial_seconds for record in kept)
    return Row(
        name,
        options,
        1e3 * seconds / len(kept),
        (sum(record.overhead_seconds for record in kept) - tried) / seconds,
        tried / seconds,
        made,
        None if name in TRYING else BAR,
    )


def utility_ms() -> float:
    """Mean time of an update of the learned utility on the demo's space, one path a step."""
    import random

    config, folder = load_config(DEMO)
    space, generator = make_supernet(config, folder).space, random.Random(0)
    paths = [space.sample_options(generator) for _ in range(2000)]
    utility = Utility(space, interactions=True)
    start = time.perf_counter()
    for path in paths:
        utility.observe([(path, 1.0)])
    return 1e3 * (time.perf_counter() - start) / len(paths)


def machine() -> dict[str, str]:
    model = platform.processor() or platform.machine()
    information = File("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if "model name" in line]
        model = names[0].partition(":")[2].strip() if names else model
    return {
        "cpu": model,
        "cpus": str(os.cpu_count()),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=File, metavar="FILE", help="write the figures there too")
    parser.add_argument("--epochs", type=int, default=2, help="of each sampler (2)")
    parser.add_argument("--samplers", nargs="+", default=sorted(SAMPLERS), choices=SAMPLERS)
    arguments = parser.parse_args()
    rows = [
        measure(name, options, arguments.epochs)
        for name in arguments.samplers
        for options in OPTIONS.get(name, [{}])
    ]
    utility = utility_ms()
    about = machine()
    table = Table(title=", ".join(f"{name} {value}" for name, value in about.items()))
    for column in ("sampler", "step ms", "overhead %", "trials %", "bar %", "to make, s"):
        table.add_column(column, justify="left" if column == "sampler" else "right")
    for row in rows:
        options = "".join(f" {name}={value}" for name, value in row.options.items())
        bar = "" if row.bar is None else f"{100 * row.bar:g}{'  MISSED' if row.is_missed else ''}"
        table.add_row(
            row.sampler + options,
            f"{row.step_ms:.1f}",
            f"{100 * row.overhead:.2f}",
            f"{100 * row.trials:.2f}" if row.trials else "",
            bar,
            f"{row.make_s:.2f}",
        )
    console = Console()
    console.print(table)
    console.print(f"an update of the learned utility with interactions: {utility:.3f} ms")
    if arguments.json:
        command = shlex.join(["python", "benchmarks/train_overhead.py", *sys.argv[1:]])
        report = {
            "machine": about,
            "command": command,
            "rows": [asdict(row) for row in rows],
            "utility_update_ms": utility,
        }
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")
    return int(any(row.is_missed for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
