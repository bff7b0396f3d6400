"""What conversion takes, and whether it is exact: ``python benchmarks/convert.py``.

The architectures of the tests and models of real size are converted, each time in a fresh process
with one thread that has converted a model of two layers before, so that all is imported. CPU time
is what is judged: the time on the clock is that of whatever else the machine does. Memory is the
most that the process holds during the conversion beyond what it held before; a conversion runs
the model to compare it, so what one forward pass of the model takes on the same batch stands
beside it, and the bar is for what is beyond that. It is judged for models that are large
enough for a ratio to mean something.

``--paths N`` instead compares N random paths of each with their extraction, the largest path
with the model, and the multiply-accumulates that torch counts while each path runs with those
predicted.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy start their threads

import argparse
import json
import random
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path as File
from typing import Any

import torch
from figures import machine
from real_size import REAL, make_real  # also puts the tests' architectures on the path
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from architectures import ARCHITECTURES, make  # isort: skip
from comparing import apart, executed_macs  # isort: skip
from tipsc.convert import convert
from tipsc.elastic import CostModel, extract
from tipsc.engine.atomic import write_atomically

SECONDS, TIMES_MODEL, SAME = 3.0, 3.0, 1e-5
JUDGED_MB = 10.0  # models below are smaller than the lists that describe them
MB = 2**20


@dataclass(frozen=True)
class Conversion:
    """Of one model, medians over the rounds.

    Attributes:
        model_mb: parameters and buffers.
        cpu_s, wall_s: of one conversion.
        export_s: CPU time of torch.export therein.
        peak_mb: most memory during it beyond what was held before.
        forward_mb: what one forward pass of the model takes.
        difference: of the largest path, relative to the largest output.
    """

    model: str
    model_mb: float
    cpu_s: float
    export_s: float
    wall_s: float
    peak_mb: float
    forward_mb: float
    choices: int
    difference: float

    @property
    def times_model(self) -> float:
        """Memory beyond a forward pass, in sizes of the model."""
        return max(0.0, self.peak_mb - self.forward_mb) / self.model_mb

    @property
    def is_missed(self) -> bool:
        is_large = self.model_mb >= JUDGED_MB
        return self.cpu_s > SECONDS or (is_large and self.times_model > TIMES_MODEL)


@dataclass(frozen=True)
class Exactness:
    """Of random paths of one model.

    Attributes:
        paths: how many.
        extraction: largest difference of a path from its extraction, of the largest output.
        largest: of the largest path from the model.
        macs: paths whose executed multiply-accumulates are not those predicted.
    """

    model: str
    paths: int
    extraction: float
    largest: float
    macs: int

    @property
    def is_missed(self) -> bool:
        return not (self.extraction <= SAME and self.largest <= SAME and not self.macs)


def build(name: str) -> tuple[nn.Module, Tensor]:
    return make_real(name) if name in REAL else make(name)


def held(field: str) -> float:
    """MB of the process: VmRSS now, VmHWM at most since :func:`forget_peak`."""
    lines = File("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024 / MB


def forget_peak() -> None:
    File("/proc/self/clear_refs").write_text("5")


def timed_export() -> list[float]:
    """From now on the CPU seconds of each call of torch.export are noted in the list."""
    seconds: list[float] = []
    export = torch.export.export

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        begin = time.process_time()
        try:
            return export(*args, **kwargs)
        finally:
            seconds.append(time.process_time() - begin)

    torch.export.export = wrapped
    return seconds


def measure_here(name: str) -> Conversion:
    """In this process, which must be a fresh one."""
    torch.set_num_threads(1)
    convert(nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2)), torch.randn(2, 4))
    model, x = build(name)
    size = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    before = held("VmRSS")
    forget_peak()
    with torch.no_grad():
        model(x)
    forward = held("VmHWM") - before
    forget_peak()
    exporting = timed_export()
    cpu, wall = time.process_time(), time.perf_counter()
    supernet = convert(model, x)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = held("VmHWM") - before
    report = supernet.report
    return Conversion(
        name,
        size / MB,
        cpu,
        sum(exporting),
        wall,
        peak,
        forward,
        len(report.elastic),
        report.difference,
    )


def measure(name: str, rounds: int) -> Conversion:
    """Medians over fresh processes."""
    command = [sys.executable, __file__, "--one", name]
    runs = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{name}: {done.stderr}")
        runs.append(json.loads(done.stdout))
    middle: dict[str, Any] = {
        key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "model"
    }
    return Conversion(**middle | {"model": name, "choices": int(middle["choices"])})


def compare(name: str, count: int) -> Exactness:
    """Random paths against their extraction, the largest against the model, on new examples."""
    model, x = build(name)
    supernet = convert(model, x)
    other = torch.randint(0, 17, x.shape) if x.dtype == torch.int64 else torch.randn(x.shape)
    space, generator = supernet.space, random.Random(4)
    costs = CostModel(supernet)
    full = costs.of(space.largest).macs - executed_macs(supernet, space.largest, other[:1])
    worst, wrong = 0.0, 0
    with torch.no_grad():
        largest = apart(supernet(other, space.largest), model(other))
        for path in (space.smallest, *(space.sample_options(generator) for _ in range(count - 1))):
            expected = extract(supernet, path)(other)
            worst = max(worst, apart(supernet(other, path), expected))
            # What torch does not count (recurrent layers) is the same on all paths.
            executed = executed_macs(supernet, path, other[:1])
            wrong += costs.of(path).macs - executed != full
    return Exactness(name, count, worst, largest, wrong)


def conversions_table(rows: Sequence[Conversion], rounds: int) -> Table:
    table = Table(
        title=f"conversion, medians of {rounds}; bars: {SECONDS:g} s of CPU, "
        f"memory {TIMES_MODEL:g} x the model beyond a forward pass"
    )
    headers = ("model", "MB", "CPU s", "export s", "wall s", "peak MB", "forward MB", "x model")
    for column in (*headers, ""):
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in rows:
        judged = f"{row.times_model:.2f}" if row.model_mb >= JUDGED_MB else "small"
        table.add_row(
            row.model,
            f"{row.model_mb:.2f}",
            f"{row.cpu_s:.2f}",
            f"{row.export_s:.2f}",
            f"{row.wall_s:.2f}",
            f"{row.peak_mb:.1f}",
            f"{row.forward_mb:.1f}",
            judged,
            "MISSED" if row.is_missed else "",
        )
    return table


def exactness_table(rows: Sequence[Exactness]) -> Table:
    table = Table(title=f"largest differences, of the largest output; bar: {SAME:g}")
    for column in ("model", "paths", "from extraction", "largest from model", "MACs wrong"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for row in rows:
        table.add_row(
            row.model,
            str(row.paths),
            f"{row.extraction:.1e}" + (" MISSED" if row.is_missed else ""),
            f"{row.largest:.1e}",
            str(row.macs),
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*ARCHITECTURES, *REAL]
    parser.add_argument("--json", type=File, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=3, help="processes for each model (3)")
    parser.add_argument("--paths", type=int, metavar="N", help="compare N paths of each instead")
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="MODEL")
    parser.add_argument("--one", choices=names, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(asdict(measure_here(arguments.one))))
        return 0
    console = Console(width=100)
    console.print(", ".join(f"{name} {value}" for name, value in about().items()))
    rows: list[Any] = []
    for name in arguments.only:
        if arguments.paths:
            rows.append(compare(name, arguments.paths))
        else:
            rows.append(measure(name, arguments.rounds))
        print(name, file=sys.stderr)
    if arguments.paths:
        console.print(exactness_table(rows))
    else:
        console.print(conversions_table(rows, arguments.rounds))
    if arguments.json:
        report = {
            "machine": about(),
            "command": shlex.join(["python", "benchmarks/convert.py", *sys.argv[1:]]),
            "rows": [asdict(row) for row in rows],
        }
        write_atomically(arguments.json, [(json.dumps(report, indent=2) + "\n").encode()])
    return int(any(row.is_missed for row in rows))


def about() -> dict[str, str]:
    return machine() | {"torch": torch.__version__}


if __name__ == "__main__":
    raise SystemExit(main())
