"""The top of the page: what was built for what, and the headline figures."""

from __future__ import annotations

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
        *(tag("p", f"Warning: {noise}.", class_="warning") for noise in report.noise),
        _tiles(report),
    )  # fmt: skip


def _tiles(report: BuildReport) -> Html:
    return tag(
        "div", _accuracy(report), _latency(report), _size(report), _difference(report),
        class_="tiles",
    )  # fmt: skip


def _accuracy(report: BuildReport) -> Html:
    values = [path.accuracy for path in report.shipped if is_number(path.accuracy)]
    low, high = percent(min(values, default=None)), percent(max(values, default=None))
    name = f"Test {metric_of(report.metric).name}"
    note = "lowest and highest of the shipped paths"
    if report.original is not None:
        note += f"; the original has {percent(report.original.quality.value)} %"
    return tile(name, _range(low, high), "%", note)


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
    note = f"{byte_size(report.separate_bytes)} as {models}"
    if report.weights_bytes:
        times = ratio(report.engine_bytes / report.weights_bytes)
        note += f"; {times} the weights of the largest path"
    figure, _, unit = byte_size(report.engine_bytes).partition(" ")
    return tile("Engine file", figure, unit, note)


def _difference(report: BuildReport) -> Html:
    differences = [path.difference for path in report.shipped if is_number(path.difference)]
    agreements = [path.agreement for path in report.shipped if is_number(path.agreement)]
    note = f"at least {percent(min(agreements, default=None))} % of examples get the same class"
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
