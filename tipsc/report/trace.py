"""The calls that applications made: read from their log, and summed up."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from tipsc.errors import DataError, UsageError
from tipsc.files import open_regular

_LONGEST = 10_000  # bytes of a line
_NAME = 64
#: fields of a line that are numbers, and whether null may stand there; one that may be missing
_NUMBERS = {
    "unix_s": False, "budget_ms": True, "predicted_ms": False, "elapsed_ms": False,
    "gap_ms": True, "slowdown": False,
}  # fmt: skip
_ENERGY = "energy_mj"
_TEXTS = ("engine", "path", "mode", "reason")


@dataclass(frozen=True)
class TracedCall:
    """One line of a log, as docs/engine.md has it; what is null there is inf."""

    unix_s: float
    engine: str
    path: str
    mode: str
    reason: str
    budget_ms: float
    predicted_ms: float
    elapsed_ms: float
    gap_ms: float
    slowdown: float
    in_time: bool
    energy_mj: float | None = None


@dataclass(frozen=True)
class CallTrace:
    """What a log has.

    Attributes:
        calls: by time, at least one.
        cut_short: whether the last line is not whole: the application was killed.
    """

    calls: tuple[TracedCall, ...]
    cut_short: bool


@dataclass(frozen=True)
class PathUse:
    """The calls of one path of one engine.

    Attributes:
        engine, path: which; the engine's name is empty where there is one only.
        calls: how many.
        in_time: share of them, 0..1.
        p50_ms, p95_ms, longest_ms: that they took.
        error: the median of |elapsed / predicted - 1|.
    """

    engine: str
    path: str
    calls: int
    in_time: float
    p50_ms: float
    p95_ms: float
    longest_ms: float
    error: float


@dataclass(frozen=True)
class EngineUse:
    """The calls of one engine.

    Attributes:
        engine: its name in the log.
        calls: how many.
        in_time: share of them, 0..1.
        switches: calls that ran another path than the one before.
        slowdown: the median, and the largest.
        reasons: why paths ran, to how often.
        paths: most used first.
        energy_mj: of all calls, by what their paths took when they were measured; None where one
            was not.
    """

    engine: str
    calls: int
    in_time: float
    switches: int
    slowdown: tuple[float, float]
    reasons: dict[str, int]
    paths: tuple[PathUse, ...]
    energy_mj: float | None


def read_trace(file: Path) -> CallTrace:
    """The calls in a log of ``tipsc.runtime.CallLog``.

    Raises:
        UsageError: the file cannot be read, or has no call.
        DataError: a line is no call; names it.
    """
    calls: list[TracedCall] = []
    cut_short = False
    try:
        with open_regular(file) as stream:
            number = 0
            while line := stream.readline(_LONGEST):
                number += 1
                where = f"{file}, line {number}"
                if not line.endswith(b"\n"):
                    if len(line) == _LONGEST:
                        raise _no_call(where, "it is longer than any call")
                    cut_short = True  # nothing follows it
                    break
                calls.append(_call(line, where))
    except OSError as error:
        raise UsageError(
            f"cannot read the log of calls: {error.strerror or error}", where=str(file)
        ) from error
    if not calls:
        raise UsageError(
            "there is no call in it",
            where=str(file),
            fix="write one with Governor(..., on_call=CallLog(FILE))",
        )
    return CallTrace(tuple(sorted(calls, key=lambda call: call.unix_s)), cut_short)


def uses(calls: Sequence[TracedCall]) -> tuple[EngineUse, ...]:
    """What a trace comes to, by engine."""
    by_engine = sorted(calls, key=lambda call: call.engine)  # stays in order of time
    return tuple(
        _engine_use(name, list(group))
        for name, group in groupby(by_engine, key=lambda call: call.engine)
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The value that so many do not exceed; of those there are, none in between."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _engine_use(engine: str, calls: Sequence[TracedCall]) -> EngineUse:
    by_path: dict[str, list[TracedCall]] = {}
    for call in calls:
        by_path.setdefault(call.path, []).append(call)
    slowdowns = [call.slowdown for call in calls]
    energies = [call.energy_mj for call in calls if call.energy_mj is not None]
    return EngineUse(
        engine,
        len(calls),
        _share_in_time(calls),
        sum(one.path != other.path for one, other in pairwise(calls)),
        (quantile(slowdowns, 0.5), max(slowdowns)),
        dict(Counter(call.reason for call in calls).most_common()),
        tuple(
            _path_use(engine, path, group)
            for path, group in sorted(by_path.items(), key=lambda item: (-len(item[1]), item[0]))
        ),
        math.fsum(energies) if len(energies) == len(calls) else None,
    )


def _path_use(engine: str, path: str, calls: Sequence[TracedCall]) -> PathUse:
    elapsed = [call.elapsed_ms for call in calls]
    return PathUse(
        engine, path, len(calls), _share_in_time(calls),
        quantile(elapsed, 0.5), quantile(elapsed, 0.95), max(elapsed),
        quantile([abs(call.elapsed_ms / call.predicted_ms - 1) for call in calls], 0.5),
    )  # fmt: skip


def _share_in_time(calls: Sequence[TracedCall]) -> float:
    return sum(call.in_time for call in calls) / len(calls)


def _call(line: bytes, where: str) -> TracedCall:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _no_call(where, "it is no JSON") from error
    if not isinstance(fields, dict):
        raise _no_call(where, "it is no object")
    found: dict[str, Any] = {}
    for name in (*_NUMBERS, *_TEXTS, "in_time"):
        if name not in fields:
            raise _no_call(where, f"it has no {name}")
        found[name] = _checked(name, fields[name], where)
    if _ENERGY in fields:
        found[_ENERGY] = _checked(_ENERGY, fields[_ENERGY], where)
    return TracedCall(**found)


def _checked(name: str, value: object, where: str) -> object:
    if name in _TEXTS:
        right = isinstance(value, str) and len(value) <= _NAME
    elif name == "in_time":
        right = isinstance(value, bool)
    elif value is None and _NUMBERS.get(name):
        return math.inf
    else:
        positive = name in ("predicted_ms", "slowdown", _ENERGY)
        right = isinstance(value, int | float) and not isinstance(value, bool)
        right = right and 0 <= float(str(value)) < 1e15 and not (positive and value == 0)
    if not right:
        raise _no_call(where, f"its {name} is {str(value)[:40]!r}")
    return float(value) if name in (*_NUMBERS, _ENERGY) else value  # type: ignore[arg-type]


def _no_call(where: str, how: str) -> DataError:
    return DataError(
        f"this is no call of a governor: {how}",
        where=where,
        fix="give a file that tipsc.runtime.CallLog wrote",
    )
