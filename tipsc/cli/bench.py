"""tipsc bench: every path of an engine, measured here or on a device, now."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipsc.cli.engines import latency_document, threads_of
from tipsc.cli.options import (
    Number,
    device_option,
    engine_argument,
    threads_option,
    wait_quiet_option,
)
from tipsc.cli.output import Output, verb, wrapped
from tipsc.engine import Manifest, read_engine
from tipsc.pipeline.bench import Benchmark, BenchOptions, measure_engine_file
from tipsc.profile import Measurement
from tipsc.report.format import duration, milliseconds, ratio, significant
from tipsc.report.notes import called, noise_lines

if TYPE_CHECKING:
    from rich.table import Table

_MOST_ROWS = 12  # of a sustained measurement


@verb
@engine_argument
@device_option
@click.option(
    "--rounds", type=click.IntRange(4, 10_000), metavar="N", help="How often each path is visited."
)
@click.option(
    "--path", "paths", multiple=True, metavar="PATH", help="Only this, by id or name; repeatable."
)
@click.option(
    "--sustained",
    type=Number(min=0.0, min_open=True, max=24 * 60),
    metavar="MINUTES",
    help="Go on for so long, and show how latency and ranking change as the device heats up.",
)
@click.option(
    "--all",
    "extras",
    is_flag=True,
    help="Switches between paths, memory, energy and the device's own clock as well.",
)
@click.option(
    "--every",
    "every_ms",
    type=Number(min=0.1, max=10_000),
    metavar="MS",
    help="Show as well what calls take that follow each other at this distance.",
)
@wait_quiet_option
@threads_option
def command(
    output: Output,
    engine: Path,
    device: str | None,
    rounds: int | None,
    paths: tuple[str, ...],
    sustained: float | None,
    extras: bool,
    every_ms: float | None,
    wait_quiet_s: float | None,
    threads: int | None,
) -> None:
    """Measure the latency of the paths of ENGINE on this machine or on a device.

    The paths take turns in random order under the protocol of the engine's target; the figures
    stand beside those that the engine recorded when it was built.
    """
    manifest = read_engine(engine).manifest
    used = threads_of(manifest, threads)
    with output.reporter() as reporter:
        progress = reporter.begin("measuring")
        options = BenchOptions(
            threads=used,
            rounds=rounds,
            only=tuple(manifest.id_of(path) for path in paths),
            sustained_s=None if sustained is None else sustained * 60.0,
            extras=extras,
            every_ms=every_ms,
            wait_quiet_s=wait_quiet_s,
        )
        found = measure_engine_file(engine, device, progress, options)
        reporter.end("measuring", found.measurement.seconds, cached=False)
    measured = found.measurement
    output.result(
        {
            "device": device,
            "engine": str(engine),
            **_document(manifest, measured, used),
            **_more(found),
        },
        _table(manifest, measured),
        *wrapped(_how(measured).splitlines()),
        *wrapped(noise_lines(measured.noise, measured.disturbance)),
        *wrapped(_extra_lines(found)),
        *((_heating_table(found), _heating(found)) if found.drift else ()),
        *wrapped(f"remark: {remark}" for remark in found.remarks),
    )


def _more(found: Benchmark) -> dict[str, Any]:
    return {
        **found.extras,
        "sustained": [asdict(window) for window in found.windows],
        "sustained_drift": asdict(found.drift) if found.drift else None,
        "remarks": list(found.remarks),
    }


def _extra_lines(found: Benchmark) -> list[str]:
    memory = found.extras["memory_mib"]
    lines = []
    if every := found.extras["every"]:
        latencies = found.measurement.latencies
        told = (
            f"{name} {significant(middle)} ({middle - latencies[name].p50_ms:+.3g})"
            for name, middle in ((n, statistics.median(times)) for n, times in every.items())
        )
        lines.append(f"p50 of calls with pauses between them, ms (beyond p50): {', '.join(told)}")
    if memory["before"] is not None and memory["after"] is not None:
        gpu = "" if memory["gpu"] is None else f", and {memory['gpu']:.1f} MiB of the GPU's"
        lines.append(f"opening took {memory['after'] - memory['before']:.1f} MiB of memory{gpu}")
    if switches := found.extras["switches"]:
        stays = [row[name] for name, row in switches.items()]
        extra = [row[to] / switches[to][to] - 1.0 for name, row in switches.items() for to in row
                 if to != name]  # fmt: skip
        if extra:
            lines.append(
                f"the first call after another path takes {sum(extra) / len(extra):+.1%} of one "
                f"after itself (mean of {len(extra)} pairs; {len(stays)} paths)"
            )
    if energy := found.extras["energy"]:
        told = (f"{name} {significant(e['millijoules'])}" for name, e in energy.items())
        lines.append(f"energy of a call, mJ, idle power included: {', '.join(told)}")
    if device := found.extras["device_ms"]:
        told = (f"{name} {significant(e['p50_ms'])}" for name, e in device.items())
        lines.append(f"p50 by the device's own clock, ms: {', '.join(told)}")
    return lines


def _heating_table(found: Benchmark) -> Table:
    from tipsc.report.tables import plain_table

    table = plain_table()
    for heading in (
        "after",
        "warmest, C",
        *(f"{name} p10 ms" for name in found.measurement.anchors),
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    windows = found.windows
    step = max((len(windows) - 1) / (_MOST_ROWS - 1), 1.0)
    places = sorted({round(i * step) for i in range(_MOST_ROWS)} & set(range(len(windows))))
    for window in (windows[place] for place in places):
        warmest = max(window.celsius.values(), default=None)
        table.add_row(
            duration(window.seconds),
            significant(warmest),
            *milliseconds(window.p10_ms[name] for name in found.measurement.anchors),
        )
    return table


def _heating(found: Benchmark) -> str:
    drift = found.drift
    assert drift is not None
    zone = (
        f"{drift.warmest[0]} {drift.warmest[1]:.1f} -> {drift.warmest[2]:.1f} C"
        if drift.warmest
        else "no temperature can be read"
    )
    noisy = sum(bool(window.noise) for window in found.windows)
    other = f"; other work disturbed {noisy} of {len(found.windows)} windows" if noisy else ""
    pairs = ", ".join(f"{a} and {b}" for a, b in drift.swapped) or "none beyond the noise"
    return (
        f"at the end {drift.slowdown:.2f} x the latency of the beginning; {zone}{other}\n"
        f"order of the paths: Kendall's tau {drift.rank_correlation:+.2f}; changed places: {pairs}"
    )


def _document(manifest: Manifest, measured: Measurement, threads: int) -> dict[str, Any]:
    recorded = {path.id: path.latency for path in manifest.paths}
    return {
        "name": manifest.name,
        "threads": threads,
        "rounds": measured.rounds,
        "seconds": measured.seconds,
        "pinned_cores": measured.pinned_cores,
        "noise_floor": measured.noise_floor.model_dump(mode="json"),
        "drift": measured.drift,
        "noise": measured.noise,
        "disturbance": asdict(measured.disturbance),
        "paths": [
            {
                "id": name,
                "latency": latency.model_dump(mode="json"),
                "recorded": latency_document(recorded[name]),
                "ratio": _ratio(latency.p50_ms, recorded[name]),
            }
            for name, latency in measured.latencies.items()
        ],
    }


def _table(manifest: Manifest, measured: Measurement) -> Table:
    from tipsc.report.tables import plain_table

    recorded = {path.id: path.latency for path in manifest.paths}
    table = plain_table()
    table.add_column("path", no_wrap=True)
    for heading in ("p10 ms", "p50 ms", "p95 ms", "p99 ms", "cv %", "recorded p50", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    latencies = measured.latencies
    columns = [
        milliseconds([latency.p10_ms for latency in latencies.values()]),
        milliseconds([latency.p50_ms for latency in latencies.values()]),
        milliseconds([latency.p95_ms for latency in latencies.values()]),
        milliseconds([latency.p99_ms for latency in latencies.values()]),
        [f"{latency.cv * 100:.1f}" for latency in latencies.values()],
        milliseconds([getattr(recorded[name], "p50_ms", None) for name in latencies]),
        [ratio(_ratio(latency.p50_ms, recorded[name])) for name, latency in latencies.items()],
    ]
    for name, *cells in zip(latencies, *columns, strict=True):
        table.add_row(called(name, manifest.names), *cells)
    return table


def _ratio(now_ms: float, recorded: Any) -> float | None:
    return now_ms / recorded.p50_ms if recorded is not None else None


def _how(measured: Measurement) -> str:
    cores = ", ".join(map(str, measured.pinned_cores)) or "none"
    floor = measured.noise_floor
    return (
        f"repeating a measurement moves p10 by {floor.median:.1%} (95 % of the paths: below "
        f"{floor.p95:.1%}); drift {measured.drift:+.1%}\n"
        f"{measured.rounds} rounds in {duration(measured.seconds)}, pinned to cores: {cores}"
    )
