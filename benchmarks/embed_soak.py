"""Does libtipsc keep memory? Many threads on one engine for minutes, with samples over the time.

    python benchmarks/embed_soak.py ENGINE [--seconds 600] [--threads 16] [--json FILE]

ENGINE is one for ONNX Runtime. Needs cmake and a C compiler. embed/tests/soak.c says what runs, and
when the warm-up ends. A leak grows with the calls; what saturates is an allocator that keeps freed
memory, so the growth of the second half is given as well, and what the library has not freed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "embed"))

from building import built, run
from library import runtime_of_package


def grown_percent(first: int, last: int) -> float:
    return round(100 * (last / first - 1), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        folder = built(Path(name), "-DTIPSC_TESTS=ON")
        command = [str(folder / "soak"), str(asked.engine), runtime_of_package()]
        found = json.loads(run([*command, str(asked.threads), str(asked.seconds)]))
    samples = found.pop("samples")
    middle = samples[len(samples) // 2]
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, {' '.join(platform.libc_ver())}",
        "engine": {
            "name": asked.engine.name,
            "sha256": hashlib.sha256(asked.engine.read_bytes()).hexdigest(),
        },
        **found,
        "grown_percent": {
            "resident": grown_percent(
                found["resident_after_warm_up"], found["resident_at_end"]
            ),
            "resident_second_half": grown_percent(middle["resident"], samples[-1]["resident"]),
            "resident_trimmed": grown_percent(
                found["resident_trimmed_after_warm_up"], found["resident_trimmed_at_end"]
            ),
            "in_use": grown_percent(samples[0]["in_use"], samples[-1]["in_use"]),
        },
        "samples": samples,
    }  # fmt: skip
    text = json.dumps(result, indent=2)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
