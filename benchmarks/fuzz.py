"""Mutated engines, .tflite files, and messages of both ends of a device's link, by the million.

    python benchmarks/fuzz.py [KIND...] [--executions 1000000] [--first 1000000] [--json FILE]

Each execution takes a sound input, changes something in it (hashes are made right again, so that
what lies behind them is reached), and does all that is done with such an input. It may end well or
in a TipscError. A signal, ten seconds without an end, more memory than its bound, or any other
exception is a failure, printed with the command that shows it again. The executions are divided
among the kinds as SHARES says; those of the tests have other seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "fuzzing"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fuzz_runner
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: of the executions; those of a .tflite are many, since a library reads it that is not ours
SHARES = {"tflite": 0.8, "engine": 0.05, "agent": 0.05, "client": 0.1}
#: executions of one process: what a library does not give back must not pile up
PER_PROCESS = 10_000


def run(kind: str, first: int, executions: int, progress: Progress) -> dict[str, Any]:
    task = progress.add_task(kind, total=executions)
    began = time.perf_counter()
    total = fuzz_runner.Outcome(kind, 0, Counter(), (), 0, 0.0)
    while total.executions < executions and len(total.failures) < fuzz_runner.ENOUGH:
        done = total.executions
        seeds = range(first + done, first + min(done + PER_PROCESS, executions))
        total += fuzz_runner.fuzz(
            kind, seeds, lambda more, done=done: progress.update(task, completed=done + more)
        )
        progress.update(task, completed=total.executions)
    seconds = time.perf_counter() - began
    for failure in total.failures:
        progress.console.print(str(failure), markup=False)
    return {
        "executions": total.executions,
        "first_seed": first,
        "ends": dict(total.ends.most_common()),
        "failures": [str(failure) for failure in total.failures],
        "memory_mib": total.memory_bytes >> 20,
        "longest_s": round(total.longest_s, 3),
        "ms_per_execution": round(seconds / max(total.executions, 1) * 1e3, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", choices=[*SHARES, []], metavar="KIND")
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=1_000_000, help="the first seed")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    kinds = arguments.kinds or list(SHARES)
    whole = sum(SHARES[kind] for kind in kinds)
    columns = (
        TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    found = {}
    with Progress(*columns) as progress:
        for kind in kinds:
            share = round(arguments.executions * SHARES[kind] / whole)
            found[kind] = run(kind, arguments.first, share, progress)
    for kind, row in found.items():
        print(
            f"{kind:<8}{row['executions']:>9} executions, {len(row['failures'])} failures, "
            f"{row['memory_mib']} MiB, longest {row['longest_s']} s, "
            f"{row['ms_per_execution']} ms each: {row['ends']}"
        )
    if arguments.json:
        machine = (
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        arguments.json.write_text(json.dumps({"machine": machine, "kinds": found}, indent=1) + "\n")
    if any(row["failures"] for row in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
