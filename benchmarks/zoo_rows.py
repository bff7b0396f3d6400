"""Rows of ``benchmarks/results/zoo.csv``, one a model, and what they say together."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path as File
from statistics import median

from tipsc.engine.atomic import write_atomically

CPU_S, TIMES_MODEL, JUDGED_MB = 10.0, 4.0, 10.0
"""What a conversion may take; memory is judged for models that are large enough for a ratio."""
SHARE = {"timm": 0.95, "transformers": 0.90}
"""Of the models of a package that must convert."""


@dataclass(frozen=True)
class Row:
    """What came of one model.

    Attributes:
        status: "right", "wrong", "refused" by an error of tipsc, "failed" with another one,
            "hanging", or "not made": the package itself cannot make or run it here.
        choices: of the space.
        smallest: share of the multiply-accumulates that the smallest path has.
        largest: difference of the largest path from the model, of the largest output; where
            float32's rounding is more than SAME, in double precision.
        extraction: likewise, of random paths from their extraction.
        lowered: of the graphs in ONNX Runtime from the extraction, in float32.
        macs_wrong: paths whose executed multiply-accumulates are not those counted.
        cpu_s: CPU time of the conversion.
        model_mb: parameters and buffers.
        forward_mb, peak_mb: most memory during a forward pass and the conversion, beyond before.
        said: the error, or where the conversion went wrong.
    """

    model: str
    status: str
    choices: int = 0
    smallest: float = 0.0
    largest: float = 0.0
    extraction: float = 0.0
    lowered: float = 0.0
    macs_wrong: int = 0
    cpu_s: float = 0.0
    model_mb: float = 0.0
    forward_mb: float = 0.0
    peak_mb: float = 0.0
    said: str = ""

    @property
    def package(self) -> str:
        return self.model.partition("/")[0]

    @property
    def times_model(self) -> float:
        """Memory of the conversion beyond a forward pass, in sizes of the model."""
        return max(0.0, self.peak_mb - self.forward_mb) / self.model_mb if self.model_mb else 0.0


def read_rows(file: File) -> dict[str, Row]:
    """By model; none if the file is not there."""
    if not file.is_file():
        return {}
    with file.open(newline="") as stream:
        return {row["model"]: _row(row) for row in csv.DictReader(stream)}


def _row(cells: Mapping[str, str]) -> Row:
    kinds = {"str": str, "int": int, "float": float}
    return Row(**{f.name: kinds[str(f.type)](cells[f.name]) for f in fields(Row)})


def write_rows(file: File, rows: Sequence[Row]) -> None:
    """All rows, so that the file is whole at any time."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [f.name for f in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_atomically(file, [stream.getvalue().encode()])


def summary(rows: Sequence[Row]) -> list[str]:
    """What the rows say, line by line; those that cannot be made here count for nothing."""
    lines = []
    for package, least in SHARE.items():
        made = [row for row in rows if row.package == package and row.status != "not made"]
        if not made:
            continue
        kinds = Counter(row.status for row in made)
        share = kinds["right"] / len(made)
        lines.append(
            f"{package}: {kinds['right']} of {len(made)} are right, {share:.1%} (bar {least:.0%})"
        )
        lines += [f"  {count} {status}" for status, count in kinds.items() if status != "right"]
    right = [row for row in rows if row.status == "right"]
    if right:
        smallest = sorted(row.smallest for row in right)
        seconds = sorted(row.cpu_s for row in right)
        slow = [f"{row.model} {row.cpu_s:.1f}" for row in right if row.cpu_s > CPU_S]
        judged = [row for row in right if row.model_mb >= JUDGED_MB]
        heavy = [f"{r.model} {r.times_model:.1f}" for r in judged if r.times_model > TIMES_MODEL]
        lines += [
            f"smallest path, share of the MACs: median {median(smallest):.2f}, "
            f"{smallest[0]:.2f} to {smallest[-1]:.2f}",
            f"CPU s of a conversion: median {median(seconds):.1f}, most {seconds[-1]:.1f}",
            f"  over {CPU_S:g} s: {', '.join(slow) or 'none'}",
            f"memory beyond a forward pass, of {len(judged)} models of {JUDGED_MB:g} MB or more: "
            f"at most {max((row.times_model for row in judged), default=0.0):.1f} x the model",
            f"  over {TIMES_MODEL:g} x: {', '.join(heavy) or 'none'}",
        ]
    lines += [f"{row.status}: {row.model}: {row.said}" for row in rows if row.status != "right"]
    return lines
