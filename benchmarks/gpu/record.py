"""What a check found, and the two files that all of it is written into."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tipsc.engine.atomic import write_atomically

OK, FAILED, ABSENT = "ok", "failed", "absent"


class Absent(Exception):
    """A check cannot be made here; its words say what is missing."""


@dataclass(frozen=True)
class Result:
    """How a check ended.

    Attributes:
        name: of the check.
        status: ``ok``, ``failed`` or ``absent``.
        words: why it is not ``ok``.
        seconds: that it took, with the start of its process.
        figures: what it measured, rows of tables among them.
    """

    name: str
    status: str
    words: str = ""
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)


def write_results(folder: Path, results: Sequence[Result]) -> None:
    """Writes ``gpu.json`` and ``gpu.md``, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps([asdict(result) for result in results], indent=1) + "\n"
    write_atomically(folder / "gpu.json", [document.encode()])
    write_atomically(folder / "gpu.md", [page(results).encode()])


def page(results: Sequence[Result]) -> str:
    """All of it for people, in Markdown."""
    facts: Mapping[str, Any] = next((r.figures for r in results if r.name == "machine"), {})
    lines = ["# TensorRT and CUDA on a GPU", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "| check | | seconds | found |", "|---|---|---|---|"]
    for result in results:
        plain = {k: v for k, v in result.figures.items() if not isinstance(v, list)}
        found = "" if result.name == "machine" else _sentence(plain)
        said = "; ".join(filter(None, (_cell(result.words), found)))
        lines.append(f"| {result.name} | {result.status} | {result.seconds:.1f} | {said} |")
    for result in results:
        for title, rows in result.figures.items():
            if isinstance(rows, list) and rows:
                lines += ["", f"## {result.name}: {title}", "", *_table(rows)]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    cells = [[_shown(row.get(name, "")) for name in names] for row in rows]
    return [*lines, *("| " + " | ".join(row) + " |" for row in cells)]


def _sentence(figures: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_shown(value)}" for name, value in figures.items())


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _cell(str(value))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")
