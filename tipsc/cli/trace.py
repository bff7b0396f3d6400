"""tipsc trace: what an application's calls took, from the log of its governors."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipsc.cli.options import ANY_PATH, OUTPUT_FILE
from tipsc.cli.output import Output, verb, wrapped
from tipsc.report.format import duration, milliseconds, percent, plural, significant
from tipsc.report.trace import CallTrace, EngineUse, read_trace, uses

if TYPE_CHECKING:
    from rich.table import Table


@verb
@click.argument("file", type=ANY_PATH)
@click.option(
    "--html", type=OUTPUT_FILE, metavar="FILE", help="Draw it as one self-contained page."
)
def command(output: Output, file: Path, html: Path | None) -> None:
    """Sum up the calls in FILE, which a `tipsc.runtime.CallLog` wrote.

    By engine and path: how many calls, the share in time, what they took, and how far off the
    predictions were.
    """
    trace = read_trace(file)
    engines = uses(trace.calls)
    if html is not None:
        from tipsc.report.trace_page import write_trace

        write_trace(file.name, trace, html)
    if trace.cut_short:
        output.note("note: the last line is not whole: the application was killed")
    output.result(
        _document(file, html, trace, engines),
        *(part for engine in engines for part in _shown(engine, _seconds(trace))),
        f"{plural(len(trace.calls), 'call')} in {duration(_seconds(trace))}"
        + (f"; drawn in {html}" if html else ""),
    )


def _document(
    file: Path, html: Path | None, trace: CallTrace, engines: tuple[EngineUse, ...]
) -> dict[str, Any]:
    return {
        "trace": str(file),
        "html": None if html is None else str(html),
        "calls": len(trace.calls),
        "seconds": _seconds(trace),
        "cut_short": trace.cut_short,
        "engines": [
            {
                "engine": engine.engine,
                "calls": engine.calls,
                "in_time": engine.in_time,
                "switches": engine.switches,
                "slowdown": dict(zip(("median", "largest"), engine.slowdown, strict=True)),
                "reasons": engine.reasons,
                "energy_mj": engine.energy_mj,
                "paths": [
                    {name: value for name, value in asdict(path).items() if name != "engine"}
                    for path in engine.paths
                ],
            }
            for engine in engines
        ],
    }


def _seconds(trace: CallTrace) -> float:
    return trace.calls[-1].unix_s - trace.calls[0].unix_s


def _energy(engine: EngineUse, seconds: float) -> str:
    if engine.energy_mj is None:
        return ""
    joules = engine.energy_mj / 1e3
    mean = f", {significant(joules / seconds)} W in the mean" if seconds > 0 else ""
    return f"; calls take {significant(joules)} J as their paths were measured{mean}"


def _shown(engine: EngineUse, seconds: float) -> list[Table | str]:
    reasons = ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in engine.reasons.items())
    median, largest = engine.slowdown
    return [
        *([f"engine {engine.engine}"] if engine.engine else []),
        _table(engine),
        *wrapped(
            [
                f"{percent(engine.in_time, 1)} % in time, {plural(engine.switches, 'change')} of "
                f"path, slowdown {significant(median)} (at most {significant(largest)}); why: "
                f"{reasons}{_energy(engine, seconds)}"
            ]
        ),
    ]


def _table(engine: EngineUse) -> Table:
    from rich.text import Text

    from tipsc.report.tables import plain_table

    table = plain_table()
    table.add_column("path", no_wrap=True, overflow="fold")
    for name in ("calls", "share %", "in time %", "p50 ms", "p95 ms", "longest ms", "off by %"):
        table.add_column(name, justify="right", no_wrap=True)
    times = [
        milliseconds(getattr(path, name) for path in engine.paths)
        for name in ("p50_ms", "p95_ms", "longest_ms")
    ]
    for path, *took in zip(engine.paths, *times, strict=True):
        table.add_row(
            Text(path.path), str(path.calls), percent(path.calls / engine.calls, 1),
            percent(path.in_time, 1), *took, percent(path.error, 1),
        )  # fmt: skip
    return table
