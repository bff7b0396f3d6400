"""Do C, C++, Kotlin and Python give the same outputs? Every path of engines, bit by bit.

    python benchmarks/embed_equal.py ENGINE... [--arm64 FOLDER] [--json FILE]

ENGINEs are for ONNX Runtime or LiteRT, with one input and one output of float32. Needs cmake, C and
C++ compilers, Java and `kotlin-jupyter-kernel`. FOLDER is an emulated userland that
tests/device/make_arm64.sh has prepared; there C, C++ and Python run, and no Java. Languages on one
machine have to agree to the bit, or the command fails; machines round differently, and the largest
difference is printed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "embed"))

from building import EMBED, built, run
from crossing import IN_PYTHON, cross_built, emulated
from kotlin_program import build_program
from library import runtime_of_litert, runtime_of_package

from tipsc.engine import read_engine

INPUTS = 4
PACKAGES = ("onnxruntime", "ai-edge-litert", "numpy", "kotlin-jupyter-kernel")
#: of an engine, a library to load, a file with an input and an empty folder: what all paths give
Outputs = Callable[[Path, str, Path, Path], bytes]


@dataclass(frozen=True)
class Machine:
    """What an engine runs on: a program for each language, and the library of each backend."""

    name: str
    languages: dict[str, Outputs]
    runtimes: dict[str, str]


def by_program(*command: str) -> Outputs:
    """As embed/tests/consumer/outputs.c does."""
    return lambda engine, runtime, x, _: said([*command, str(engine), runtime, str(x)])


def by_python(folder: Path, *command: str) -> Outputs:
    script = folder / "outputs.py"
    script.write_text(IN_PYTHON)
    return lambda engine, _, x, __: said([*command, str(script), str(engine), str(x)])


def by_kotlin(folder: Path) -> Outputs:
    program = build_program(folder)

    def outputs(engine: Path, runtime: str, x: Path, empty: Path) -> bytes:
        array = np.fromfile(x, np.float32)
        names = [path.id for path in read_engine(engine).manifest.paths]
        given = {name: [array] for name in names}
        found = program.outputs("outputs", engine, runtime, "", empty, given)
        return b"".join(found[name][0] for name in names)

    return outputs


def said(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{command}: {done.returncode}: {done.stderr.decode()[-2000:]}")
    return done.stdout


def this_machine(folder: Path) -> Machine:
    installed, consumers = folder / "installed", folder / "consumers"
    run(["cmake", "--install", str(built(folder / "build")), "--prefix", str(installed)])
    source = str(EMBED / "tests" / "consumer")
    run(["cmake", "-S", source, "-B", str(consumers), f"-DCMAKE_PREFIX_PATH={installed}"])
    run(["cmake", "--build", str(consumers)])
    (folder / "kotlin").mkdir()
    languages = {
        "Python": by_python(folder, sys.executable),
        "C": by_program(str(consumers / "outputs_c")),
        "C++": by_program(str(consumers / "outputs_cpp")),
        "Kotlin": by_kotlin(folder / "kotlin"),
    }
    runtimes = {"onnxruntime": runtime_of_package(), "litert": runtime_of_litert()}
    return Machine(platform.machine(), languages, runtimes)


def arm64_machine(folder: Path, arm64: Path) -> Machine:
    build = cross_built(folder, arm64, cpp=True)
    languages = {
        "Python": by_python(folder, str(arm64 / "python3")),
        "C": by_program(*emulated(arm64), str(build / "outputs")),
        "C++": by_program(*emulated(arm64), str(build / "outputs_cpp")),
    }
    site = arm64 / "site"
    (onnxruntime,) = site.glob("onnxruntime/capi/libonnxruntime.so.*")
    runtimes = {"onnxruntime": onnxruntime, "litert": site / "ai_edge_litert" / "libLiteRt.so"}
    named = {name: str(file) for name, file in runtimes.items()}
    return Machine("aarch64, emulated cortex-a76", languages, named)


def compared(engine: Path, machine: Machine, inputs: list[Path]) -> tuple[dict[str, object], bytes]:
    """What is equal, and the outputs; the last input's of each path after the others'."""
    runtime = machine.runtimes[read_engine(engine).manifest.backend]
    found: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as name:
        own = Path(shutil.copy(engine, name))  # a finalised form of its own
        for language, outputs in machine.languages.items():
            for i, x in enumerate(inputs):
                empty = Path(name) / f"{language}-{i}"
                empty.mkdir()
                found[language] = found.get(language, b"") + outputs(own, runtime, x, empty)
    first = found["Python"]
    result = {
        "sha256": {language: hashlib.sha256(data).hexdigest() for language, data in found.items()},
        "equal": len(first) > 0 and all(data == first for data in found.values()),
    }
    return result, first


def versions() -> dict[str, str]:
    programs = {"cc": ["cc", "--version"], "java": ["java", "--version"]}
    found = {name: importlib.metadata.version(name) for name in PACKAGES}
    found |= {name: run(command).splitlines()[0] for name, command in programs.items()}
    return {"python": platform.python_version(), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engines", type=Path, nargs="+")
    parser.add_argument("--arm64", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    result: dict[str, object] = {"versions": versions(), "inputs": INPUTS}
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "arm64").mkdir()
        machines = [this_machine(folder)]
        if asked.arm64:
            emulator = run([*emulated(asked.arm64.resolve())[:1], "--version"]).splitlines()[0]
            result["emulator"] = emulator
            machines.append(arm64_machine(folder / "arm64", asked.arm64.resolve()))
        for engine in asked.engines:
            rows.append(row(engine, machines, folder))
            print(json.dumps(rows[-1]), flush=True)
    result["engines"] = rows
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=2) + "\n")
    if not all(of["equal"] for row in rows for of in row["machines"].values()):  # type: ignore[attr-defined]
        raise SystemExit("languages differ on one machine")


def row(engine: Path, machines: list[Machine], folder: Path) -> dict[str, object]:
    manifest = read_engine(engine).manifest
    (spec,) = manifest.signature.inputs
    rng = np.random.default_rng(0)
    inputs = [folder / f"{engine.name}.{i}" for i in range(INPUTS)]
    for file in inputs:
        file.write_bytes(rng.standard_normal(spec.shape, np.float32).tobytes())
    found = {machine.name: compared(engine, machine, inputs) for machine in machines}
    outputs = [np.frombuffer(data, np.float32) for _, data in found.values()]
    return {
        "engine": engine.name,
        "sha256": hashlib.sha256(engine.read_bytes()).hexdigest(),
        "target": manifest.target,
        "backend": manifest.backend,
        "paths": len(manifest.paths),
        "machines": {name: of for name, (of, _) in found.items()},
        "largest_output": float(np.abs(outputs[0]).max()),
        "largest_difference": float(max(np.abs(other - outputs[0]).max() for other in outputs)),
    }


if __name__ == "__main__":
    main()
