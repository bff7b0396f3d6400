"""What libtipsc costs: a call over the raw call of ONNX Runtime, opening, private memory, its size.

    python benchmarks/embed.py ENGINE [--json FILE] [--mutations N]

ENGINE is one for ONNX Runtime. Needs cmake and a C compiler. Without `--mutations`
only the calls, opening, memory and size are measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "embed"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "engine"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fuzzing"))

from building import built, run
from library import Library, runtime_of_package

#: what embed/tests/cost.c does in C: open, run each path once, say what that took
PYTHON = """
import json, sys, time
start = time.perf_counter()
import numpy as np
from tipsc.runtime import Engine
imported = time.perf_counter()
engine = Engine.open(sys.argv[1])
opened = time.perf_counter()
for path in engine.paths:
    given = {s.name: np.zeros(s.shape, s.dtype) for s in engine.manifest.signature_of(path).inputs}
    engine.run(given, path=path)
rollup = open("/proc/self/smaps_rollup").read()
private = sum(int(l.split()[1]) for l in rollup.splitlines() if l.startswith("Private_"))
print(json.dumps({"import_ms": (imported - start) * 1e3, "open_ms": (opened - imported) * 1e3,
                  "private_kb": private}))
"""


def median_of(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--mutations", type=int, default=0)
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    runtime = runtime_of_package()
    with tempfile.TemporaryDirectory() as name:
        folder = built(Path(name), "-DTIPSC_TESTS=ON")
        engine = str(asked.engine)
        cost = [str(folder / "cost"), engine, runtime]
        subprocess.run(cost, check=True, capture_output=True)  # finalises
        of_c = [json.loads(run(cost)) for _ in range(7)]
        in_python = [json.loads(run([sys.executable, "-c", PYTHON, engine])) for _ in range(7)]
        stripped = Path(name) / "stripped.so"
        run(["strip", "-o", str(stripped), str(folder / "libtipsc.so")])
        found: dict[str, object] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
            "load_1min": round(os.getloadavg()[0], 1),
            "engine": {"name": asked.engine.name, "bytes": asked.engine.stat().st_size},
            "library_stripped_bytes": stripped.stat().st_size,
            "c": median_of(of_c),
            "python": median_of(in_python),
        }
        if asked.mutations:
            found["mutated_files"] = readers_agree(folder / "libtipsc.so", asked.mutations)
    text = json.dumps(found, indent=2)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")


def readers_agree(library: Path, count: int) -> dict[str, int]:
    """How many mutated files both readers take, and refuse; raises where they do not agree.

    Of `count` of each form: engines of a tiny net for ONNX Runtime, and of the .tflite files that
    fuzzing starts from.
    """
    import fuzz_engine
    from fuzz_tflite import FILES, manifest_of
    from readers import agree, mutated_tflite
    from synthetic_engine import tiny_net

    from tipsc.engine import write_engine, write_tflite_engine

    net, c = tiny_net(), Library(library)
    graphs = net.paths(4)
    of_tflite = []
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "e.tipsc"
        write_engine(file, net.manifest(list(graphs)), net.store.blob, graphs)
        data = file.read_bytes()
        for seed in sorted(FILES.glob("*.tflite")):
            model = seed.read_bytes()
            write_tflite_engine(file, manifest_of(model), model)
            of_tflite.append(file.read_bytes())
    taken = sum(agree(c, fuzz_engine.mutated(random.Random(seed), data)) for seed in range(count))
    generators = map(random.Random, range(count))
    taken_tflite = sum(agree(c, mutated_tflite(g, g.choice(of_tflite))) for g in generators)
    return {
        "files": count, "taken_by_both": taken, "refused_by_both": count - taken,
        "tflite_files": count, "tflite_taken_by_both": taken_tflite,
        "tflite_refused_by_both": count - taken_tflite,
    }  # fmt: skip


if __name__ == "__main__":
    main()
