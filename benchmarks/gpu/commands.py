"""Whole commands on the machine with the GPU, as a user would give them."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from gpu.engines import made, needs_gpu
from gpu.plans import Wrong
from gpu.process import ROOT
from gpu.record import Absent

_TAIL = 500  # characters of what a command said


def finish(engines: Path, work: Path, name: str) -> dict[str, Any]:
    """``tipsc finish``: plans, compared and measured, and those that paths share."""
    needs_gpu()
    here = made(engines, work, name)
    told = _tipsc("finish", here.file, "--device", f"local?root={work / 'agent'}",
                  "--output", _by_command(work))  # fmt: skip
    rows = [
        {
            "path": path["id"],
            "difference": told["differences"][path["id"]],
            **{key: path["latency"][key] for key in ("p10_ms", "p50_ms", "p95_ms")},
        }
        for path in told["paths"]
    ]
    built = told["built"]
    return {
        "built": f"{built['plans']}, {built['module']} {built['version']}, {built['state']}",
        "device": built["device"],
        "plans": told["plans"],
        "shared plans": told["shared_plans"],
        "paths": rows,
    }


def bench(engines: Path, work: Path) -> dict[str, Any]:
    """``tipsc bench --all`` of what ``tipsc finish`` wrote."""
    needs_gpu()
    if not _by_command(work).is_file():
        raise Absent("tipsc finish wrote no engine")
    told = _tipsc("bench", _by_command(work), "--all", "--rounds", "5")
    rows = [
        {
            "path": path["id"],
            **{f"{key}, ms": path["latency"][f"{key}_ms"] for key in ("p50", "p99")},
            "GPU p50, ms": (told["device_ms"] or {}).get(path["id"], {}).get("p50_ms"),
            "first call after others, ms": " ".join(
                f"{before[path['id']]:.3f}" for before in told["switches"].values()
            ),
        }
        for path in told["paths"]
    ]
    return {"memory_mib": told["memory_mib"], "noise": told["noise"], "paths": rows}


def _by_command(work: Path) -> Path:
    return work / "by-command.tipsc"


def _tipsc(*arguments: Any) -> Any:
    """What a verb of tipsc prints as JSON."""
    command = [sys.executable, "-m", "tipsc", *map(str, arguments), "--format", "json", "--quiet"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        raise AssertionError(f"exit {done.returncode}: {done.stderr.strip()[-_TAIL:]}")
    return json.loads(done.stdout)


def training(engines: Path, work: Path, python: str) -> dict[str, Any]:
    """``benchmarks/train_speed.py`` in the Python that has torch.

    Args:
        python: a command, for instance ``env -u LD_LIBRARY_PATH python3``.
    """
    script, report = ROOT / "benchmarks" / "train_speed.py", work / "train_speed.json"
    if not script.is_file():
        raise Absent("benchmarks/train_speed.py is not there")
    if not python:
        raise Absent("give --torch-python to try it")
    said = _run([*shlex.split(python), script, "--json", report])
    if not report.is_file():
        raise AssertionError(said)
    found = json.loads(report.read_text())
    figures = found if isinstance(found, dict) else {"rows": found}
    if not said.startswith("exit 0"):
        raise Wrong(said, figures)
    return figures


def _run(command: list[Any]) -> str:
    """The end of what it says."""
    done = subprocess.run(
        list(map(str, command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return f"exit {done.returncode}: " + " ".join(done.stdout.split())[-_TAIL:]
