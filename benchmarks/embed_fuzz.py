"""libFuzzer on libtipsc's readers, with sanitizers, for minutes.

    python benchmarks/embed_fuzz.py [TARGET...] [--minutes 30] [--json FILE]

Targets: `read` (engines), `graph` (ONNX models in them), `tflite`, `apply` (deltas); sources and
the corpus are in embed/fuzz. Needs cmake and clang. A run ends at the time or at ten million
executions. What is found stays in the folder that is printed, and the exit code is 1. A result
replaces that of the same target in the file; the others stay.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests" / "embed"))

from building import EMBED, built  # noqa: E402

TARGETS = ("read", "graph", "tflite", "apply")
EXECUTIONS = 10_000_000
LONGEST_INPUT = 26_000  # bytes: more than any of the corpus


def corpus_of(target: str) -> list[str]:
    more = [str(ROOT / "tests" / "fuzzing" / "tflite")] if target == "tflite" else []
    return [str(EMBED / "fuzz" / "corpus" / target), *more]


def fuzzed(program: Path, target: str, minutes: float, folder: Path) -> dict[str, Any]:
    """One run of a target; new inputs and what was found go to `folder`."""
    inputs = folder / target
    inputs.mkdir()
    command = [
        str(program), f"-runs={EXECUTIONS}", f"-max_total_time={round(60 * minutes)}",
        f"-max_len={LONGEST_INPUT}", "-print_final_stats=1", f"-artifact_prefix={folder}/found-",
        str(inputs), *corpus_of(target),
    ]  # fmt: skip
    begin, before = time.monotonic(), os.times()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    after = os.times()
    said = done.stderr
    executions = re.search(r"stat::number_of_executed_units:\s*(\d+)", said)
    memory = re.search(r"stat::peak_rss_mb:\s*(\d+)", said)
    covered = re.findall(r"cov: (\d+)", said)
    return {
        "executions": int(executions[1]) if executions else None,
        "minutes": round((time.monotonic() - begin) / 60, 1),
        "cpu_minutes": round((after.children_user - before.children_user) / 60, 1),
        "branches_at_start": int(covered[0]),
        "branches": int(covered[-1]),
        "inputs_kept": len(list(inputs.iterdir())),
        "memory_mib": int(memory[1]) if memory else None,
        "found": [] if done.returncode == 0 else [said[-2000:]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tipsc-fuzz-"))
    options = ("-DCMAKE_C_COMPILER=clang", "-DTIPSC_FUZZ=ON", "-DTIPSC_SHARED=OFF")
    build = built(folder / "build", *options, "-DTIPSC_STATIC=OFF")
    result: dict[str, Any] = {"targets": {}}
    if asked.json and asked.json.exists():
        result = json.loads(asked.json.read_text())
    result["machine"] = f"{platform.machine()}, {os.cpu_count()} CPUs, one process at a time"
    failed = False
    for target in asked.targets or TARGETS:
        found = fuzzed(build / f"fuzz_{target}", target, asked.minutes, folder)
        print(target, json.dumps(found), flush=True)
        result["targets"][target] = found
        failed |= bool(found["found"])
        if asked.json:
            asked.json.write_text(json.dumps(result, indent=1) + "\n")
    if failed:
        sys.exit(f"found: {folder}")


if __name__ == "__main__":
    main()
