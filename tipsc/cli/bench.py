"""tipsc bench: every path of an engine, measured here and now."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from tipsc.cli.engines import latency_document, threads_of
from tipsc.cli.options import engine_argument, threads_option
from tipsc.cli.output import Output, verb
from tipsc.engine import Manifest, read_engine
from tipsc.errors import TargetError
from tipsc.profile import Measurement, Protocol, measure, select_cores
from tipsc.report.format import duration, milliseconds, ratio
from tipsc.runtime import Engine
from tipsc.target import load_target

if TYPE_CHECKING:
    from rich.table import Table


@verb
@engine_argument
@click.option(
    "--rounds", type=click.IntRange(4, 10_000), metavar="N", help="How often each path is visited."
)
@click.option("--path", "path_ids", multiple=True, metavar="ID", help="Only this one; repeatable.")
@threads_option
def command(
    output: Output,
    engine: Path,
    rounds: int | None,
    path_ids: tuple[str, ...],
    threads: int | None,
) -> None:
    """Measure the latency of the paths of ENGINE on this machine.

    The paths take turns in random order under the protocol of the engine's target; the figures
    stand beside those that the engine recorded when it was built.
    """
    found = read_engine(engine)
    manifest = found.manifest
    used = threads_of(manifest, threads)
    protocol = _protocol(manifest, used, rounds)
    feeds = tuple(np.zeros(spec.shape, spec.dtype) for spec in manifest.inputs)
    with (
        Engine.of(found, threads=used, paths=path_ids or None) as opened,
        output.reporter() as reporter,
    ):
        progress = reporter.begin("measuring")
        calls = {path.id: partial(opened.run, feeds, path=path.id) for path in opened.paths}
        measured = measure(
            calls,
            protocol=protocol,
            progress=lambda share, seconds_left: progress(share, 1.0, f"{len(calls)} paths"),
        )
        reporter.end("measuring", measured.seconds, cached=False)
    output.result(_document(manifest, measured, used), _table(manifest, measured), _how(measured))


def _protocol(manifest: Manifest, threads: int, rounds: int | None) -> Protocol:
    """As the engine's target says, if it is known here."""
    try:
        target = load_target(manifest.target).model_copy(update={"threads": threads})
        protocol = Protocol.for_target(target)
    except TargetError:  # a target file of somebody else's
        protocol = Protocol(cores=select_cores("fastest", threads))
    return protocol if rounds is None else protocol.model_copy(update={"rounds": rounds})


def _document(manifest: Manifest, measured: Measurement, threads: int) -> dict[str, Any]:
    recorded = {path.id: path.latency for path in manifest.paths}
    return {
        "engine": manifest.name,
        "threads": threads,
        "rounds": measured.rounds,
        "seconds": measured.seconds,
        "pinned_cores": measured.pinned_cores,
        "noise_floor": measured.noise_floor.model_dump(mode="json"),
        "drift": measured.drift,
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
    from rich import box
    from rich.table import Table

    recorded = {path.id: path.latency for path in manifest.paths}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("path", no_wrap=True)
    for heading in ("p10 ms", "p50 ms", "p95 ms", "cv %", "recorded p50", "now / recorded"):
        table.add_column(heading, justify="right", no_wrap=True)
    latencies = measured.latencies
    columns = [
        milliseconds([latency.p10_ms for latency in latencies.values()]),
        milliseconds([latency.p50_ms for latency in latencies.values()]),
        milliseconds([latency.p95_ms for latency in latencies.values()]),
        [f"{latency.cv * 100:.1f}" for latency in latencies.values()],
        milliseconds([getattr(recorded[name], "p50_ms", None) for name in latencies]),
        [ratio(_ratio(latency.p50_ms, recorded[name])) for name, latency in latencies.items()],
    ]
    for name, *cells in zip(latencies, *columns, strict=True):
        table.add_row(name, *cells)
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
