"""Does an engine compute on arm64 what it computes here? Under emulation: right or wrong, no times.

    python benchmarks/litert_arm64.py ENGINE.tipsc --folder EMPTY --json OUT.json

A Debian userland for arm64 with Python 3.11, LiteRT's own wheel for aarch64, and qemu's user mode:
no container, and nothing is installed here. On a Debian system with `mmdebstrap`, as root; it
fetches some 150 MB. Every path runs on random inputs, as an application runs it, and
without and with the weight cache.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from tipsc.backends.litert import check
from tipsc.engine import read_engine
from tipsc.engine.atomic import write_atomically
from tipsc.runtime import Engine

INPUTS = 8
USERLAND = "python3-minimal,libpython3.11-stdlib,libstdc++6,libgomp1,libgcc-s1"
PACKAGES = (
    "ai-edge-litert", "numpy", "flatbuffers", "backports.strenum", "tqdm", "typing-extensions",
    "protobuf", "ml-dtypes",
)  # fmt: skip
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64", "any")

RUN = """
import platform, sys
import numpy as np
from tipsc.backends import check_caches, litert
from tipsc.engine import read_engine
from tipsc.runtime import Engine
cpu, engine_file, inputs_file, outputs_file = sys.argv[1:]
inputs = np.load(inputs_file)
with Engine.open(engine_file) as engine:
    outputs = {
        path.id: np.concatenate([engine.run(x[None], path=path) for x in inputs])
        for path in engine.paths
    }
check_caches(read_engine(engine_file), [inputs[:2]])
np.savez(outputs_file, **outputs)
program = "compiled models" if litert._COMPILES else "the interpreter"
print(f"{platform.machine()}, emulated {cpu}, through {program}")
"""


def fetch(folder: Path) -> None:
    """The userland, the emulator and the wheels; what is there is kept."""
    bootstrap = ["mmdebstrap", "--mode=root", "--variant=extract"]
    if not (folder / "rootfs").is_dir():
        arm = [*bootstrap, "--architectures=arm64", f"--include={USERLAND}"]
        subprocess.run([*arm, "bookworm", folder / "rootfs"], check=True)
    if not (folder / "qemu").is_dir():  # that of bookworm crashes on large shared libraries
        subprocess.run([*bootstrap, "--include=qemu-user", "trixie", folder / "qemu"], check=True)
    wheels, packages = folder / "wheels", folder / "packages"
    if not packages.is_dir():
        pins = [f"{name}=={importlib.metadata.version(name)}" for name in PACKAGES]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        pip += ["--only-binary=:all:", "--python-version=3.11", f"--dest={wheels}"]
        subprocess.run([*pip, *(f"--platform={p}" for p in PLATFORMS), *pins], check=True)
        for wheel in sorted(wheels.iterdir()):
            zipfile.ZipFile(wheel).extractall(packages)


def run_there(folder: Path, cpu: str, engine: Path, inputs: Path, outputs: Path) -> str:
    """What the emulated process says; its outputs are in a file."""
    source = Path(__file__).resolve().parent.parent
    command = [
        folder / "qemu/usr/bin/qemu-aarch64", "-cpu", cpu, "-L", folder / "rootfs",
        "-E", f"PYTHONPATH={source}:{folder / 'packages'}", "-E", "PYTHONDONTWRITEBYTECODE=1",
        folder / "rootfs/usr/bin/python3.11", "-c", RUN, cpu, engine, inputs, outputs,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"the emulated process ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1]


def compare(engine_file: Path, folder: Path, cpu: str) -> dict[str, object]:
    """Outputs there against outputs here, by path."""
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    fetch(folder)
    engine = folder / engine_file.name  # caches are made beside it
    shutil.copy(engine_file, engine)
    spec = read_engine(engine).manifest.signature.inputs[0]
    generator = np.random.default_rng(0)
    inputs = generator.standard_normal((INPUTS, *spec.shape[1:])).astype(np.float32)
    np.save(folder / "inputs.npy", inputs)
    there_is = run_there(folder, cpu, engine, folder / "inputs.npy", folder / "outputs.npz")
    there, paths = np.load(folder / "outputs.npz", allow_pickle=False), {}
    with Engine.open(engine) as opened:
        for path in opened.paths:
            here = np.concatenate([opened.run(x[None], path=path) for x in inputs])
            paths[path.id] = {
                "largest_difference": float(np.abs(there[path.id] - here).max()),
                "largest_output": float(np.abs(here).max()),
                "same_class": float((there[path.id].argmax(-1) == here.argmax(-1)).mean()),
            }
    return {
        "engine": engine_file.name,
        "there": there_is,
        "here": f"{platform.machine()}, {check()['instruction set']}",
        "litert": check()["litert"],
        "inputs": INPUTS,
        "relative_difference": max(
            p["largest_difference"] / p["largest_output"] for p in paths.values()
        ),
        "by_path": paths,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="for what is fetched; reusable")
    parser.add_argument("--cpu", default="cortex-a76", help="that of a Raspberry Pi 5, or another")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    text = json.dumps(compare(arguments.engine, arguments.folder, arguments.cpu), indent=1)
    print(text)
    if arguments.json:
        write_atomically(arguments.json, [f"{text}\n".encode()])


if __name__ == "__main__":
    main()
