"""Mutated engines, .tflite files, and messages of both ends of a device's link, by the million.

    python benchmarks/fuzz.py [KIND...] [--executions 1000000] [--first 1000000] [--json FILE]

Each execution takes a sound input, changes something in it (hashes are made right again, so that
what lies behind them is reached), and does all that is done with such an input. It may end well or
in a TipscError. A signal, ten seconds without an end, more memory than its bound, or any other
exception is a failure, printed with the command that shows it again. The executions are divided
among the kinds as SHARES says; those of the tests have other seeds. What the file has is not done
again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "fuzzing"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fuzz_runner
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tipsc.engine.atomic import write_atomically

#: of the executions; those of a .tflite are many, since a library reads it that is not ours
SHARES = {"tflite": 0.65, "engine": 0.05, "agent": 0.05, "client": 0.25}
#: executions of one process: what a library does not give back must not pile up
PER_PROCESS = 10_000
Row = dict[str, Any]


def run(kind: str, row: Row, executions: int, progress: Progress) -> Iterator[Row]:
    """What is known after each process, the executions of `row` among it."""
    task = progress.add_task(kind, total=executions, completed=row["executions"])
    while row["executions"] < executions and len(row["failures"]) < fuzz_runner.ENOUGH:
        done, began = row["executions"], time.perf_counter()
        first = row["first_seed"] + done
        outcome = fuzz_runner.fuzz(
            kind,
            range(first, first + min(PER_PROCESS, executions - done)),
            lambda more, done=done: progress.update(task, completed=done + more),
        )
        for failure in outcome.failures:
            progress.console.print(str(failure), markup=False)
        row = {
            "executions": done + outcome.executions,
            "first_seed": row["first_seed"],
            "ends": dict((Counter(row["ends"]) + outcome.ends).most_common()),
            "failures": [*row["failures"], *map(str, outcome.failures)],
            "memory_mib": max(row["memory_mib"], outcome.memory_bytes >> 20),
            "longest_s": round(max(row["longest_s"], outcome.longest_s), 3),
            "seconds": round(row["seconds"] + time.perf_counter() - began, 1),
        }
        progress.update(task, completed=row["executions"])
        yield row


def nothing(first: int) -> Row:
    return {
        "executions": 0, "first_seed": first, "ends": {}, "failures": [], "memory_mib": 0,
        "longest_s": 0.0, "seconds": 0.0,
    }  # fmt: skip


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
    file = arguments.json
    document = json.loads(file.read_text()) if file and file.exists() else {"kinds": {}}
    python = platform.python_version()
    document["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {python}"
    found = document["kinds"]
    with Progress(*columns) as progress:
        for kind in kinds:
            share = round(arguments.executions * SHARES[kind] / whole)
            for row in run(kind, found.get(kind) or nothing(arguments.first), share, progress):
                found[kind] = row
                if file:
                    write_atomically(file, [json.dumps(document, indent=1).encode() + b"\n"])
    for kind, row in found.items():
        print(
            f"{kind:<8}{row['executions']:>9} executions, {len(row['failures'])} failures, "
            f"{row['memory_mib']} MiB, longest {row['longest_s']} s, "
            f"{row['seconds'] / row['executions'] * 1e3:.2f} ms each: {row['ends']}"
        )
    if any(row["failures"] for row in found.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
