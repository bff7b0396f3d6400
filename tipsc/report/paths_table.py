"""The tables of the page: the shipped paths, and the options that each of them takes."""

from __future__ import annotations

from tipsc.engine.original import OriginalModel
from tipsc.report.data import BuildReport, Shipped
from tipsc.report.format import byte_size, count, milliseconds, percent, tiny
from tipsc.report.html import Html, tag
from tipsc.report.metric import metric_of
from tipsc.report.notes import flags_of

_CELLS = 6000
"""Options shown at most: a table of 32 paths and 60 choices has about 2,000."""


def shipped_rows(report: BuildReport) -> Html:
    """One row a path, in the order in which the engine lists them."""
    metric, shown = metric_of(report.measure), (*report.shipped, *report.batched)
    batches = {path.batch for path in shown} != {1}
    headings = [
        tag("th", "path", class_="left"),
        tag("th", "batch") if batches else None,
        tag("th", metric.name, tag("small", metric.sign)),
        tag("th", "p50", tag("small", "ms")),
        tag("th", "p95", tag("small", "ms")),
        tag("th", "parameters"),
        tag("th", "MACs"),
        tag("th", "shared"),
        tag("th", "private"),
        tag("th", "difference"),
        tag("th", "agreement", tag("small", "%")),
    ]
    p50 = milliseconds(path.p50_ms for path in shown)
    p95 = milliseconds(path.p95_ms for path in shown)
    rows = [
        tag(
            "tr",
            tag("td", *_called(path), *_flags(path), class_="left"),
            tag("td", str(path.batch)) if batches else None,
            tag("td", metric.figure(path.quality)),
            tag("td", middle),
            tag("td", tail),
            tag("td", count(path.parameters)),
            tag("td", count(path.macs)),
            tag("td", byte_size(path.shared_bytes)),
            tag("td", byte_size(path.private_bytes)),
            tag("td", tiny(path.difference)),
            tag("td", percent(path.agreement)),
            data_p=path.id,
        )
        for path, middle, tail in zip(shown, p50, p95, strict=True)
    ]
    if report.original is not None:
        rows.append(_original(report.original, int(batches)))
    return tag("table", tag("thead", tag("tr", *headings)), tag("tbody", *rows))


def _original(model: OriginalModel, left_out: int) -> Html:
    """The row of the plain model that was converted, alone in an engine of its own.

    Args:
        left_out: cells between its name and its quality.
    """
    latency = model.latency
    p50, p95 = milliseconds([latency.p50_ms, latency.p95_ms] if latency else [None, None])
    return tag(
        "tr",
        tag("td", "original", class_="left"),
        *(tag("td", "") for _ in range(left_out)),
        tag("td", metric_of(model.quality).figure(model.quality)),
        tag("td", p50),
        tag("td", p95),
        tag("td", count(model.parameters)),
        tag("td", count(model.macs)),
        *(tag("td", "") for _ in range(4)),
    )


def options_table(report: BuildReport) -> Html | None:
    """Choices down, shipped paths across; None where the options are not known."""
    by_id = {point.id: point for point in report.points}
    known = [by_id[path.id] for path in report.shipped if path.id in by_id]
    called = {path.id: path.label for path in report.shipped}
    names = list(dict.fromkeys(name for point in known for name in point.options))
    if not names or len(names) * len(known) > _CELLS:
        return None
    heading = tag(
        "tr", tag("th", "choice", class_="left"), *(tag("th", called[p.id]) for p in known)
    )
    rows = [
        tag(
            "tr",
            tag("td", name, class_="left"),
            *(tag("td", _option(point.options.get(name))) for point in known),
        )
        for name in names
    ]
    table = tag("table", tag("thead", heading), tag("tbody", *rows), class_="options")
    return tag(
        "details",
        tag("summary", f"The options of each path ({len(names)} choices)"),
        tag("div", table, class_="scroll"),
    )


def _option(option: int | None) -> str:
    """Nothing where the choice has no effect: the width of a block that a path leaves out."""
    return "" if option is None else str(option)


def _called(path: Shipped) -> list[Html]:
    """Its name, if it has one, and its id."""
    name = [tag("b", path.name), Html(" ")] if path.name else []
    return [*name, tag("span", path.id, class_="id")]


def _flags(path: Shipped) -> list[Html]:
    return [tag("span", n, class_="flag") for n, is_set in flags_of(path).items() if is_set]
