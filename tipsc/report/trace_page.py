"""A trace of calls as one HTML page, in the style of the build report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from tipsc import __version__
from tipsc.report.format import (
    duration,
    heading,
    milliseconds,
    moment,
    percent,
    plural,
    significant,
)
from tipsc.report.headline import tile
from tipsc.report.html import Html, tag
from tipsc.report.page import document
from tipsc.report.svg import both
from tipsc.report.trace import CallTrace, EngineUse, TracedCall, quantile, uses
from tipsc.report.trace_charts import DOTS, key, paths, slowdown, times


def write_trace(title: str, trace: CallTrace, file: Path) -> None:
    """Write the page to `file`, whole or not at all.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    from tipsc.engine.atomic import write_atomically

    write_atomically(file, [render_trace(title, trace).encode()])


def render_trace(title: str, trace: CallTrace) -> str:
    """The page, as a whole HTML document."""
    engines = uses(trace.calls)
    sections = [_section(engine, trace.calls) for engine in engines]
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return document(
        f"Calls of {title}", _header(title, trace, engines), sections,
        f"Written by tipsc {__version__}, {moment(now)}.",
    )  # fmt: skip


def _header(title: str, trace: CallTrace, engines: Sequence[EngineUse]) -> Html:
    calls = trace.calls
    began = datetime.fromtimestamp(calls[0].unix_s, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    in_time = sum(call.in_time for call in calls) / len(calls)
    late = sum(not call.in_time for call in calls)
    tiles = [
        tile("Calls", f"{len(calls):,}", "", f"from {moment(began)}, in {_span(calls)}"),
        tile("In time", percent(in_time, 1), "%", f"{plural(late, 'call')} late"),
        tile("Changes of path", f"{sum(e.switches for e in engines):,}", "",
             "calls that ran another path than the one before"),
        tile("Slowdown", significant(max(e.slowdown[1] for e in engines)), "×",
             "at most, against the profile; "
             f"{significant(quantile([c.slowdown for c in calls], 0.5))} is the median"),
    ]  # fmt: skip
    cut = tag("p", "The last line is not whole: the application was killed.", class_="warning")
    return tag(
        "header", tag("h1", title), tag("button", "Light / dark", id="theme"),
        tag("p", "What a governor's calls took, and which paths ran.", class_="lead"),
        cut if trace.cut_short else None, tag("div", *tiles, class_="tiles"),
    )  # fmt: skip


def _section(engine: EngineUse, all_calls: Sequence[TracedCall]) -> Html:
    calls = [call for call in all_calls if call.engine == engine.engine]
    names = [path.path for path in engine.paths]
    reasons = ", ".join(f"{name.replace('_', ' ')} {n:,}" for name, n in engine.reasons.items())
    return tag(
        "section",
        tag("h2", f"Engine {engine.engine}" if engine.engine else "What calls took"),
        tag(
            "p",
            "The band is from the 10th to the 90th percentile, the line the median, dotted the "
            "median budget; dots are late calls"
            + (f", {DOTS} of them" if engine.calls * (1 - engine.in_time) > DOTS + 0.5 else "")
            + ".",
            class_="note",
        ),
        both(lambda width: times(calls, width)),
        tag("h2", "Which path ran"),
        both(lambda width: paths(calls, names, width)),
        key(names),
        tag("h2", "How much slower than the profile"),
        both(lambda width: slowdown(calls, width)),
        tag("h2", "By path"),
        _table(engine),
        tag("p", f"Why: {reasons}.", class_="note"),
    )


def _table(engine: EngineUse) -> Html:
    columns = [
        ("path", [path.path for path in engine.paths]),
        ("calls", [f"{path.calls:,}" for path in engine.paths]),
        ("share %", [percent(path.calls / engine.calls, 1) for path in engine.paths]),
        ("in time %", [percent(path.in_time, 1) for path in engine.paths]),
        ("p50 ms", milliseconds(path.p50_ms for path in engine.paths)),
        ("p95 ms", milliseconds(path.p95_ms for path in engine.paths)),
        ("longest ms", milliseconds(path.longest_ms for path in engine.paths)),
        ("off by %", [percent(path.error, 1) for path in engine.paths]),
    ]
    titles = {"off by %": "Median difference of a call from what was predicted for it"}
    head = [
        tag("th", heading(name), class_="left" if name == "path" else None, title=titles.get(name))
        for name, _ in columns
    ]
    rows = [
        tag("tr", *(tag("td", cell, class_="left id" if not at else None)
                    for at, cell in enumerate(row)))
        for row in zip(*(cells for _, cells in columns), strict=True)
    ]  # fmt: skip
    body = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows))
    return tag("div", body, class_="scroll")


def _span(calls: Sequence[TracedCall]) -> str:
    return duration(calls[-1].unix_s - calls[0].unix_s)
