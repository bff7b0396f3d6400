"""What an update of the demo's engine sends, by what was trained again.

    python benchmarks/delta.py [--epochs 1] [--json benchmarks/results/delta.json]

The demo is built once, with a shorter training, and then in other ways: only the head again, only
the biases, the head and one path more, all weights. For each the bytes of `tipsc delta` are set
against those of the engine. What ``--like`` is worth shows where a path is added with and without
it. At last ``tipsc apply`` of the largest delta is killed at 200 moments over the time that it
takes: each time the file must be the old engine or the new one. Takes some minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "examples" / "fashion_mnist"
KILLS = 200


def tipsc(*words: object) -> dict[str, Any]:
    """Runs a verb to its end, and gives its JSON."""
    command = [sys.executable, "-m", "tipsc", *map(str, words), "--format", "json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def configured(folder: Path, **changes: Any) -> Path:
    """The demo's configuration with other values of its keys, by section."""
    config = yaml.safe_load((DEMO / "tipsc.yaml").read_text())
    for section, values in changes.items():
        config[section] = {**config[section], **values} if isinstance(values, dict) else values
    (folder / "tipsc.yaml").write_text(yaml.safe_dump(config))
    return folder


def sent(folder: Path, old: Path, new: Path) -> dict[str, Any]:
    """The delta between two engines."""
    found = tipsc("delta", old, new, "-o", folder / "delta")
    return {
        "delta_bytes": found["bytes"],
        "carried_bytes": found["carried_bytes"],
        "engine_bytes": found["engine_bytes"],
        "share": found["bytes"] / found["engine_bytes"],
    }


def killed(folder: Path, old: Path, new: Path) -> dict[str, int]:
    """What is there after ``apply`` was killed, at moments spread over the time that it takes."""
    tipsc("delta", old, new, "-o", folder / "delta")
    place, content = folder / "place.tipsc", old.read_bytes()
    names = {hashlib.sha256(f.read_bytes()).hexdigest(): f.stem for f in (old, new)}
    program = (
        "import sys; from pathlib import Path; from tipsc.engine.delta import apply_delta\n"
        "print('begins', flush=True); apply_delta(*map(Path, sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, place, folder / "delta", place]

    def run(after_s: float | None) -> float:
        place.write_bytes(content)
        running = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE)
        assert running.stdout is not None
        running.stdout.readline()
        began = time.perf_counter()
        if after_s is not None:
            time.sleep(after_s)
            os.kill(running.pid, signal.SIGKILL)
        running.wait()
        return time.perf_counter() - began

    whole = sorted(run(None) for _ in range(5))[2]
    found: Counter[str] = Counter()
    for turn in range(KILLS):
        run(1.2 * whole * turn / KILLS)
        found[names.get(hashlib.sha256(place.read_bytes()).hexdigest(), "neither")] += 1
        for left in folder.glob(".place*"):
            left.unlink()
    return {"old": found[old.stem], "new": found[new.stem], "neither": found["neither"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    short = {"epochs": arguments.epochs, "frozen_epochs": 1}
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="tipsc-delta-") as name:
        folder = Path(name)
        for file in ("data.py", "data.npz"):
            shutil.copy(DEMO / file, folder)
        old = folder / "old.tipsc"
        build = {"evaluations": 12, "measured": 20}

        def row(label: str, *words: object, **changes: Any) -> Path:
            configured(folder, **changes)
            new = folder / f"new{len(rows)}.tipsc"
            made = tipsc("build", folder, "--output", new, *words)
            rows[label] = {
                **sent(folder, old, new),
                "quality": max(path["quality"]["value"] for path in made["paths"]),
            }
            shown = rows[label]
            print(
                f"{label:<34}{shown['delta_bytes']:>9,} of {shown['engine_bytes']:,} bytes, "
                f"{shown['share']:.2%}; best path {shown['quality']:.2%}",
                flush=True,
            )
            return new

        same = {"train": short, "build": build}
        more = {"train": short, "build": {**build, "paths": 9}}
        configured(folder, **same)
        tipsc("build", folder, "--output", old)
        row("head", "--like", old, "--only", "head", **same)
        row("biases", "--like", old, "--only", "biases", **same)
        row("one path more", "--like", old, **more)
        row("one path more, without --like", **more)
        new = row("all weights", "--like", old, seed=1, **same)
        kills = killed(folder, old, new)
    print(f"apply killed at {KILLS} moments: {kills}")
    if arguments.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores"
        document = {"machine": machine, "epochs": arguments.epochs, "rows": rows, "killed": kills}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
