"""All that can only be known on a machine with an NVIDIA GPU, in one command.

    python benchmarks/gpu_engines.py ENGINES              # anywhere with torch; no GPU
    python benchmarks/gpu.py --engines ENGINES [--torch-python PYTHON] [--jobs 4]

It runs in the Python that has TensorRT, of any version from 8.6 on, and needs numpy besides; the
check ``selftest`` needs tipsc's own requirements. Each check is a process of its own and ends as
``ok``, ``failed`` (with its words) or ``absent``. ``gpu.json`` and ``gpu.md`` in the folder of the
results are written anew after each, so that what ends the command loses only what was not done.
Plans of several engines are built beside each other; whatever measures time has the GPU to itself.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # tipsc need not be installed

from gpu.process import Check, make
from gpu.record import Result, write_results

DEMO = "demo-fp32"
#: those that say most come first
ENGINES = (
    "mobilenetv2-fp32", "resnet-50-fp32", "vit-s-16-fp32", DEMO,
    "mobilenetv2-fp16", "resnet-50-fp16", "vit-s-16-fp16", "demo-fp16",
)  # fmt: skip
_RUNTIMES = 4
_REFUSALS = ("version", "GPU", "damaged", "cut")
#: share of the time after which no plan is built any more
BUILDING = 0.62


def first_checks() -> list[Check]:
    """What needs no engine."""
    return [
        Check("machine", "machine:facts", limit_s=40),
        Check("tensorrt", "machine:tensorrt", limit_s=40),
        *(
            Check(f"cuda {i}", "machine:cuda_runtime", (str(i),), limit_s=30)
            for i in range(_RUNTIMES)
        ),
    ]


def building_checks(engines: Sequence[str]) -> list[list[Check]]:
    """Chains: the checks of one follow each other."""
    chains = [
        [
            Check(f"build {name}", "plans:build", (name,), limit_s=240),
            Check(f"outputs {name}", "plans:outputs", (name,), limit_s=40),
        ]
        for name in engines
    ]
    demo = DEMO if DEMO in engines else engines[0]
    chains.append([Check("tipsc finish", "commands:finish", (demo,), limit_s=150)])
    return chains


def later_checks(engines: Sequence[str], torch_python: str) -> list[Check]:
    """What needs plans, or the GPU for itself."""
    one = engines[0]
    demo = DEMO if DEMO in engines else one
    timed = [Check(f"timing {name}", "running:timing", (name,)) for name in engines]
    shared = [Check(f"one plan {name}", "plans:shared", (name,), 90) for name in engines]
    return [
        timed[0],
        Check(f"switch {one}", "running:switch", (one,)),
        shared[0],
        *(Check(f"refused {how}", "running:refused", (demo, how), 25) for how in _REFUSALS),
        Check("memory", "running:memory", (one,)),
        Check("threads", "running:threads", (demo,)),
        *shared[1:4],
        *timed[1:],
        Check("tipsc bench", "commands:bench"),
        *([Check(f"switch {demo}", "running:switch", (demo,))] if demo != one else []),
        Check("timing cache", "plans:timing_cache", (one,), 90),
        Check("refit", "plans:refit", (demo,)),
        *shared[4:],
        Check("training", "commands:training", (torch_python,), 150),
    ]


class Record:
    """The results so far, written anew with each."""

    def __init__(self, folder: Path, order: Sequence[Check]) -> None:
        self._folder, self._order = folder, [check.name for check in order]
        self._results: list[Result] = []
        self._lock = threading.Lock()

    def add(self, result: Result) -> None:
        with self._lock:
            self._results.append(result)
            self._results.sort(key=lambda one: self._order.index(one.name))
            write_results(self._folder, self._results)
            line = f"{result.status:6} {result.seconds:6.1f} s  {result.name}"
            print(f"{line}  {result.words}".rstrip()[:400], flush=True)


def run(engines: Path, names: Sequence[str], options: argparse.Namespace, work: Path) -> None:
    begun = time.monotonic()
    first, chains = first_checks(), building_checks(names)
    later = later_checks(names, options.torch_python)

    def wanted(checks: Sequence[Check]) -> list[Check]:
        return [check for check in checks if not options.only or check.name in options.only]

    def left_s(share: float = 1.0) -> float:
        return share * options.seconds - (time.monotonic() - begun)

    every = [*first, *(check for chain in chains for check in chain), *later]
    record = Record(options.results, wanted(every))
    for check in wanted(first):
        record.add(make(check, engines, work, left_s()))

    def follow(chain: Sequence[Check]) -> None:
        for place, check in enumerate(wanted(chain)):
            # What was built until then is compared all the same.
            record.add(make(check, engines, work, left_s(BUILDING) + 20 * place))

    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(follow, chains))
    for check in wanted(later):
        record.add(make(check, engines, work, left_s()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--engines", type=Path, default=Path("gpu-engines"))
    which.add_argument("--engine", type=Path, help="one of your own, unbuilt")
    parser.add_argument("--results", type=Path, default=Path("gpu-results"))
    parser.add_argument("--torch-python", default="", help="an interpreter that has torch")
    parser.add_argument("--jobs", type=int, default=1, help="engines that are built at a time")
    parser.add_argument("--seconds", type=float, default=270.0, help="at most, in all")
    parser.add_argument("--only", nargs="+", help="names of checks")
    options = parser.parse_args()
    folder = options.engine.parent if options.engine else options.engines
    names = (options.engine.stem,) if options.engine else ENGINES
    signal.signal(signal.SIGTERM, lambda *_: os._exit(1))  # the checks end with this process
    with tempfile.TemporaryDirectory(prefix="tipsc-gpu-", ignore_cleanup_errors=True) as work:
        run(folder.resolve(), names, options, Path(work))


if __name__ == "__main__":
    main()
