"""Tables for the terminal, within 100 columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tipsc.pipeline.climbs import PathClimb
from tipsc.report.data import BuildReport, Shipped, StageTime
from tipsc.report.format import byte_size, count, duration, milliseconds
from tipsc.report.metric import metric_of
from tipsc.report.notes import (
    against_original,
    examples_line,
    flags_of,
    left_out_line,
    notes_of,
)
from tipsc.report.sharing import STEPS, TRADES, said_of, step_rows, trade_rows, with_names

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


def shipped_table(paths: BuildReport | Iterable[Shipped]) -> Table:
    """One row a path: quality, latency, size, and what is particular about it."""
    from rich.text import Text

    rows = list((*paths.shipped, *paths.batched) if isinstance(paths, BuildReport) else paths)
    metric = metric_of(next((row.quality for row in rows if row.quality is not None), None))
    table = plain_table()
    # Ids are data: as Text they are not read as rich's markup.
    named = any(row.name for row in rows)
    if named:
        table.add_column("path", no_wrap=True, overflow="fold")
    table.add_column("id" if named else "path", no_wrap=True, overflow="fold")
    batches = {row.batch for row in rows} != {1}
    for heading in (
        *(["batch"] if batches else []),
        metric.heading,
        "p50 ms",
        "p95 ms",
        "params",
        "MACs",
        "shared",
        "private",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    flagged = any(path.own_weights or path.level for path in rows)
    if flagged:
        table.add_column("notes", style="yellow")
    p50 = milliseconds(path.p50_ms for path in rows)
    p95 = milliseconds(path.p95_ms for path in rows)
    for path, middle, tail in zip(rows, p50, p95, strict=True):
        cells = [
            *([str(path.batch)] if batches else []),
            metric.figure(path.quality),
            middle,
            tail,
            count(path.parameters),
            count(path.macs),
            byte_size(path.shared_bytes),
            byte_size(path.private_bytes),
        ]
        calls = [Text(path.name)] if named else []
        table.add_row(*calls, Text(path.id), *cells, *([_notes(path)] if flagged else []))
    if isinstance(paths, BuildReport) and paths.original is not None:
        table.add_section()
        model = paths.original
        start = ["original", *([""] * (named + batches))]
        times = [model.latency.p50_ms, model.latency.p95_ms] if model.latency else [None, None]
        cells = [*milliseconds(times), count(model.parameters), count(model.macs)]
        table.add_row(*start, metric.figure(model.quality), *cells)
    return table


def legend(report: BuildReport) -> list[str]:
    """What is doubtful in a report, what its notes mean, and what is lost to the original."""
    lines = [f"warning: {noise}" for noise in report.noise]
    lines += [f"{name}: {meaning}" for name, meaning in notes_of(report.shipped)]
    if report.left_out:
        lines.append(left_out_line(report.left_out, report.names))
    if report.original is not None:
        qualities = {path.id: path.quality for path in report.shipped}
        lines.append(against_original(report.original, qualities, report.names))
    return [*lines, *filter(None, [examples_line(*report.tested)])]


def sharing_tables(
    climbs: Sequence[PathClimb], names: Mapping[str, str] | None = None
) -> list[Table | str]:
    """What weights of their own bought, a path and a step a row; and engines that could be built.

    Nothing where nobody looked.

    Args:
        names: of the paths, by their ids.
    """
    if not climbs:
        return []
    climbs = with_names(climbs, names or {})
    tables: list[Table | str] = [said_of(climbs)]
    for headings, rows in ((STEPS, step_rows(climbs)), (TRADES, trade_rows(climbs))):
        table = plain_table()
        for place, heading in enumerate(headings):
            left = place == 0 or heading.startswith("with")
            table.add_column(heading, justify="left" if left else "right", overflow="fold")
        for row in rows:
            table.add_row(*map(_as_text, row))
        tables.append(table)
    return tables


def stages_table(stages: Iterable[StageTime]) -> Table:
    """Stages of a build with their time."""
    from rich.text import Text

    table = plain_table()
    table.add_column("stage", no_wrap=True)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("")
    for stage in stages:
        table.add_row(
            Text(stage.name), duration(stage.seconds), "from cache" if stage.cached else ""
        )
    return table


def plain_table() -> Table:
    """One without rows and columns yet, in the style of all."""
    from rich import box
    from rich.table import Table

    # One blank between columns less lets the paths of a build fit a terminal of 80 columns.
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="bold")


def _as_text(cell: str) -> Text:
    from rich.text import Text

    return Text(cell)  # ids and names of layers are data: they are not read as rich's markup


def _notes(path: Shipped) -> str:
    return ", ".join(note for note, is_set in flags_of(path).items() if is_set)
