"""A target file written from what a device says of itself."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tipsc.backends import BACKENDS
from tipsc.engine.atomic import write_atomically
from tipsc.errors import DeviceError, UsageError
from tipsc.project.target import SUFFIX, Target, list_targets, load_target

_LONGEST = 200  # characters of a description


def write_target(name: str, info: Mapping[str, Any], file: Path, backend: str | None) -> Target:
    """Writes a target for a device; it extends the shipped target that comes nearest.

    Args:
        name: of the new target.
        info: of :func:`tipsc.device.info.read_info`.
        file: must not exist.
        backend: by default the one whose package is there; rather one that is for this device only.

    Raises:
        UsageError: the file exists.
        TargetError: the name is not one.
        DeviceError: no backend is installed there.
    """
    if file.exists():
        raise UsageError("there is such a file already", where=str(file), fix="name another")
    text = target_text(name, info, backend)
    with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
        draft = Path(folder) / f"draft{SUFFIX}"
        draft.write_text(text, encoding="utf-8")
        target = load_target(draft)
    write_atomically(file, [text.encode()])
    return target


def target_text(name: str, info: Mapping[str, Any], backend: str | None = None) -> str:
    """The YAML of such a target."""
    chosen = backend or _backend(info)
    content: dict[str, Any] = {
        "extends": _base(chosen, str(info.get("board") or "")),
        "name": name,
        "description": _description(info)[:_LONGEST],
    }
    if chosen in BACKENDS and BACKENDS[chosen].finishes and info.get("power_mode") is None:
        remark = ["# its power mode is unknown: profiles of it cannot be told apart by it"]
    else:
        remark = []
    body = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
    return "\n".join([*_comments(info), *remark, body])


def _backend(info: Mapping[str, Any]) -> str:
    there = info.get("backends") or {}
    # One that builds on the device is for devices that are made for it.
    preferred = sorted(BACKENDS.values(), key=lambda backend: backend.finishes is None)
    for backend in preferred:
        if backend.package in there:
            return backend.name
    raise DeviceError(
        "no backend is installed there",
        where=str(info.get("url")),
        expected=f"one of the packages {', '.join(backend.package for backend in preferred)}",
        got=", ".join(there) or "none",
        fix="install one there, or give --backend",
    )


def _base(backend: str, board: str) -> str:
    """The shipped target of this backend all of whose words the board's name has."""
    words = set(re.findall(r"[a-z0-9]+", board.lower()))
    fitting = [
        known
        for known in list_targets()
        if set(known.split("-")) <= words and load_target(known).backend == backend
    ]
    if fitting:
        return max(fitting, key=lambda known: len(known.split("-")))
    if backend not in BACKENDS:
        raise UsageError(f"no target of the backend {backend!r} is known", fix="write one by hand")
    return BACKENDS[backend].base


def _description(info: Mapping[str, Any]) -> str:
    parts = [
        info.get("board") or info.get("cpu") or info.get("architecture") or "a device",
        f"{_cores(info.get('cores'))} cores",
        f"{info['memory_total_mib']:.0f} MiB" if info.get("memory_total_mib") else None,
        f"power mode {info['power_mode']}" if info.get("power_mode") else None,
    ]
    return _clean(", ".join(str(part) for part in parts if part))


def _cores(told: Any) -> int:
    """The greeting has their number, the facts have a list."""
    return told if isinstance(told, int) else len(told or ())


def _comments(info: Mapping[str, Any]) -> Sequence[str]:
    gpu = info.get("gpu") or {}
    facts = {
        "processor": info.get("cpu"),
        "architecture": info.get("architecture"),
        "GPU": gpu.get("name"),
        "compute capability": gpu.get("compute_capability"),
        "L4T": info.get("l4t"),
        "JetPack": info.get("jetpack"),
        "backends": ", ".join(f"{k} {v}" for k, v in (info.get("backends") or {}).items()),
    }
    told = [f"#   {name}: {_clean(str(value or 'unknown'))}" for name, value in facts.items()]
    return ["# written by tipsc targets new, from what the device said of itself:", *told]


def _clean(text: str) -> str:
    """On one line, without what a terminal or YAML would take for more than text."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
