"""What engines add to the memory of a process: ``python -m tipsc.pipeline.holding FILE...``.

A process of its own each time: what one has loaded another would find there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tipsc.runtime import Engine

_SMAPS = Path("/proc/self/smaps_rollup")
_LIMIT_S = 300.0


@dataclass(frozen=True)
class Holding:
    """Memory that engines take with each path run once.

    Attributes:
        private_mib: that no other process shares.
        total_mib: with what is mapped from files, shared by how many read it (PSS).
    """

    private_mib: float
    total_mib: float


def holding_of(files: Sequence[Path]) -> Holding | None:
    """What these engines, opened side by side, add to a process; None where nothing tells."""
    if not _SMAPS.is_file():
        return None
    command = [sys.executable, "-m", "tipsc.pipeline.holding", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode != 0:
        return None
    return Holding(**json.loads(done.stdout))


def zeros_for(engine: Engine, path_id: str) -> tuple[np.ndarray, ...]:
    """Inputs of one call of a path."""
    manifest = engine.manifest
    specs = manifest.signature_of(manifest.path(path_id)).inputs
    return tuple(np.zeros(spec.shape, spec.dtype) for spec in specs)


def _memory_kib() -> tuple[int, int]:
    """Private dirty memory and PSS of this process."""
    rows = (line.split() for line in _SMAPS.read_text().splitlines())
    table = {row[0]: int(row[1]) for row in rows if len(row) == 3 and row[1].isdigit()}
    return table["Private_Dirty:"], table["Pss:"]


def main(files: Sequence[str]) -> None:
    """Prints what opening these engines and running each path once adds to this process."""
    for file in files:  # libraries are loaded, and what is made once for a machine is there
        with Engine.open(file) as engine:
            engine.run(zeros_for(engine, engine.paths[0].id), path=engine.paths[0])
    before, opened = _memory_kib(), [Engine.open(file) for file in files]
    for engine in opened:
        for path in engine.paths:
            engine.run(zeros_for(engine, path.id), path=path)
    after = _memory_kib()
    private, total = ((b - a) / 1024 for a, b in zip(before, after, strict=True))
    print(json.dumps({"private_mib": max(private, 0.0), "total_mib": max(total, 0.0)}))
    for engine in opened:
        engine.close()


if __name__ == "__main__":
    main(sys.argv[1:])
