"""The top of the page: what was built for what, and the headline figures."""

from __future__ import annotations

from tipsc.measure.disturbance import AGAIN
from tipsc.report.data import BuildReport
from tipsc.report.format import (
    byte_size,
    is_number,
    milliseconds,
    moment,
    percent,
    plural,
    ratio,
    tiny,
)
from tipsc.report.html import Html, tag
from tipsc.report.metric import metric_of


def header(report: BuildReport) -> Html:
    """Title, what was built for what, and the headline figures."""
    lead = tag(
        "p",
        f"An engine of {plural(len(report.shipped), 'path')} for ",
        tag("b", report.target),
        f" ({report.backend}), built {moment(report.created_utc)}: ",
        tag("code", report.engine_file),
        class_="lead",
    )
    return tag(
        "header", tag("h1", report.title), tag("button", "Light / dark", id="theme"), lead,
        *(_warning(noise, report) for noise in report.noise),
        _tiles(report),
    )  # fmt: skip


def _warning(noise: str, report: BuildReport) -> Html:
    """What is doubtful; where measuring again would help, with the whole command for it."""
    before, again, after = noise.partition(AGAIN)
    if not (again and report.commands):
        return tag("p", f"Warning: {noise}.", class_="warning")
    command = f"{report.commands[0]} {AGAIN.removeprefix('run again with ')}"
    how = ["run ", tag("code", command), after, "."]
    return tag("p", f"Warning: {before}", *how, class_="warning")


def _tiles(report: BuildReport) -> Html:
    return tag(
        "div", _quality(report), _latency(report), _size(report), _difference(report),
        class_="tiles",
    )  # fmt: skip


def _quality(report: BuildReport) -> Html:
    metric = metric_of(report.measure)
    values = [path.quality for path in report.shipped if path.quality is not None]
    ordered = sorted(values, key=lambda quality: quality.value)
    low, high = (metric.figure(ordered[end] if ordered else None) for end in (0, -1))
    name = f"Test {metric.name}"
    note = "lowest and highest of the shipped paths"
    if report.original is not None:
        note += f"; the original has {metric.figure(report.original.quality)} {metric.sign}"
    return tile(name, _range(low, high), metric.sign, note)


def _latency(report: BuildReport) -> Html:
    values = [p.p50_ms for p in report.shipped if is_number(p.p50_ms) and p.p50_ms > 0]
    if not values:
        return tile("Latency p50", milliseconds([None])[0], "ms", "not measured")
    low, high = milliseconds([min(values), max(values)])
    note = "of its only path"
    if len(values) > 1:
        note = f"the slowest path takes {ratio(max(values) / min(values))} the fastest"
    return tile("Latency p50", _range(low, high), "ms", note)


def _size(report: BuildReport) -> Html:
    models = plural(len(report.shipped), "separate model")
    note = f"the weights alone of {models}: {byte_size(report.separate_bytes)}"
    if report.weights_bytes:
        times = ratio(report.engine_bytes / report.weights_bytes)
        note += f"; {times} the weights of the largest path"
    figure, _, unit = byte_size(report.engine_bytes).partition(" ")
    return tile("Engine file", figure, unit, note)


def _difference(report: BuildReport) -> Html:
    differences = [path.difference for path in report.shipped if is_number(path.difference)]
    agreements = [path.agreement for path in report.shipped if is_number(path.agreement)]
    least = min(agreements, default=None)
    share = "all" if least == 1.0 else f"at least {percent(least)} % of"
    note = f"{share} examples get the same answer"
    return tile("Difference from torch", tiny(max(differences, default=None)), "", note)


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} – {high}"


def tile(what: str, figure: str, unit: str, note: str) -> Html:
    """A headline figure with its heading and a note."""
    return tag(
        "div",
        tag("span", what, class_="what"),
        tag("b", figure, " ", tag("small", unit)),
        tag("span", note),
        class_="tile",
    )
