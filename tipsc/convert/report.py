"""What a conversion did, for people."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

WIDTH = 100
#: a reason for which tensors stay as they are, unless `convert.streams` is on
RESIDUAL_STREAM = "the residual stream"


@dataclass(frozen=True)
class Row:
    """One choice.

    Attributes:
        name: of the choice.
        kind: "width", "heads", "groups", "stream", "kernel", "depth", "resolution" or "exit".
        options: what it chooses from.
        layers: names of the tensors or blocks concerned.
    """

    name: str
    kind: str
    options: tuple[int, ...]
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """What stays as it is: tensors of layers, and why."""

    reason: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class ExitRow:
    """The end of one stage, if exits were asked for.

    Attributes:
        number: of the stage, from 1 on; 0 stands for the whole model.
        stage: the module of its last block.
        head: what paths end with that leave there, or None: they cannot.
        reason: why they cannot.
    """

    number: int
    stage: str
    head: str | None
    reason: str | None


@dataclass(frozen=True)
class Report:
    """Of a conversion.

    Attributes:
        model: name of the class.
        elastic: the choices.
        fixed: what is not elastic, by reason.
        notes: (layer, remark) about operations that were not understood.
        exits: whether paths can leave after each stage, where that was asked for.
        paths: size of the space.
        largest, smallest: (multiply-accumulates, parameters) of those paths.
        difference: of the largest path from the original, relative to the largest output.
        seconds: that the conversion took.
    """

    model: str
    elastic: tuple[Row, ...]
    fixed: tuple[Kept, ...]
    notes: tuple[tuple[str, str], ...]
    exits: tuple[ExitRow, ...]
    paths: int
    largest: tuple[int, int]
    smallest: tuple[int, int]
    difference: float
    seconds: float

    def __str__(self) -> str:
        lines = [f"{self.model}: {len(self.elastic)} choices, {size_of_space(self.paths)} paths"]
        if self.elastic:
            name = min(40, max(len(row.name) for row in self.elastic))
            lines += ["", f"{'elastic':<{name}}  {'kind':<10}  {'options':<24}  layers"]
        for row in self.elastic:
            options = _short(", ".join(map(str, row.options)), 24)
            text = f"{_short(row.name, name):<{name}}  {row.kind:<10}  {options:<24}  "
            lines.append(text + _names(row.layers, WIDTH - len(text)))
        if self.fixed:
            lines += ["", "fixed"]
        for kept in self.fixed:
            text = f"  {_short(kept.reason, 56):<56}  "
            lines.append(text + _names(kept.layers, WIDTH - len(text)))
        if self.exits:
            lines += ["", "early exits"]
        for end in self.exits:
            where = f"after stage {end.number}, {end.stage}" if end.number else "none"
            lines += _wrapped(f"{where}: {end.head or end.reason}")
        if self.notes:
            lines += ["", "notes"]
        for layer, remark in self.notes:
            lines += _wrapped(f"{layer}: {remark}")
        lines += ["", f"{'':<10}{'MACs':>14}  {'parameters':>14}"]
        for label, (macs, parameters) in (("largest", self.largest), ("smallest", self.smallest)):
            lines.append(f"{label:<10}{_count(macs):>14}  {_count(parameters):>14}")
        lines.append(
            f"largest path against the original: {self.difference:.1e} of the largest output"
        )
        return "\n".join(line.rstrip() for line in lines)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="    ")


def size_of_space(paths: int) -> str:
    """8400 -> ``8,400``; from a million on ``1.23e+06``."""
    return f"{paths:,}" if paths < 10**6 else f"{paths:.3g}"


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _names(names: tuple[str, ...], width: int) -> str:
    if not names:
        return ""
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    return _short(names[0], max(8, width - len(more))) + more


def _count(value: int) -> str:
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return str(value)
