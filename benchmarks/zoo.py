"""Real models as they are shipped, converted: ``python benchmarks/zoo.py run`` and ``show``.

A small model of each family of timm and many of transformers (``zoo.yaml``), with random
weights, so that nothing is downloaded. Each is converted in a process of its own (``zoo_one.py``),
and compared:

- the largest path with the model, random paths with their extraction, and graphs of the largest and
  the smallest in ONNX Runtime with torch, on other inputs than the example;
- the multiply-accumulates that torch counts while a path runs with those predicted;
- CPU time and memory of the conversion, against the size of the model.

The packages are installed in an environment of their own, which the script makes (`--environment`).
It sees what this one has, and beside that has timm and transformers without what they ask for: timm
asks for torchvision, which does not import beside this torch. timm imports names of it that its
models do not use, so a stand-in with any name is enough. A row of ``benchmarks/results/zoo.csv`` is
a model; one that is there is not done again, but for those that are named (``run MODEL ...``).
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # before torch is imported

import argparse
import multiprocessing
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Sequence
from pathlib import Path as File

ROOT = File(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from zoo_models import NAMES  # noqa: E402
from zoo_rows import Row, read_rows, summary, write_rows  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "zoo.csv"
WITHOUT_WHAT_THEY_ASK = ("timm==1.0.31", "transformers==5.23.0")
WHAT_THEY_NEED = ("huggingface_hub", "safetensors", "tokenizers", "regex", "tqdm", "pyyaml")
LIMIT_S = 300  # for one model, with all comparisons


def environment(folder: File) -> File:
    """Python of the environment with the two packages, which is made if it is not there."""
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if ready.is_file():
        return python
    venv.create(folder, with_pip=True)
    base = {"base": str(folder), "platbase": str(folder)}
    packages = File(sysconfig.get_path("purelib", vars=base))
    seen = [str(ROOT), *(place for place in sys.path if place.endswith("-packages"))]
    (packages / "seen.pth").write_text("\n".join(seen) + "\n")
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", *WITHOUT_WHAT_THEY_ASK], check=True)
    subprocess.run([*pip, *WHAT_THEY_NEED], check=True)
    ready.touch()
    return python


def run(wanted: Sequence[str]) -> None:
    """One after the other; what all of them import is imported once, before the forks."""
    import zoo_one

    zoo_one.warm_up()
    rows = read_rows(RESULTS)
    for name in wanted or [name for name in NAMES if name not in rows]:
        row = _forked(zoo_one.examine, name)
        rows = read_rows(RESULTS) | {name: row}
        write_rows(RESULTS, [rows[known] for known in NAMES if known in rows])
        print(f"{row.status:9} {name:60} {row.cpu_s:6.1f} s  {row.said[:160]}", flush=True)


def _forked(examine: Callable[[str], Row], name: str) -> Row:
    """One model, in a process of its own."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe(duplex=False)
    process = fork.Process(target=lambda: there.send(examine(name)))
    process.start()
    there.close()
    try:
        return here.recv() if here.poll(LIMIT_S) else Row(name, "hanging", said=f"{LIMIT_S} s")
    except EOFError:
        return Row(name, "failed", said="its process died")
    finally:
        process.kill()
        process.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--environment", type=File, default=ROOT / "build" / "zoo", metavar="DIR")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser(
        "run", help="the models that have no row, or those that are named"
    )
    running.add_argument("models", nargs="*", metavar="MODEL", choices=[*NAMES, []])
    commands.add_parser("show", help="what the rows say")
    given = parser.parse_args()
    if given.command == "run":
        python = environment(given.environment)
        if python.parent.parent != File(sys.prefix):
            os.execv(python, [str(python), *sys.argv])
        run(given.models)
    print("\n".join(summary(list(read_rows(RESULTS).values()))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
