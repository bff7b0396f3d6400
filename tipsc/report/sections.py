"""The sections of the page, in reading order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from tipsc.pipeline.verdicts import GoalAnswer
from tipsc.report.curves import curves
from tipsc.report.data import BuildReport, Curve, Point
from tipsc.report.format import duration, heading, is_number, percent, plural
from tipsc.report.front import front, search_chart, shipped_chart
from tipsc.report.html import Html, prose, shape, tag
from tipsc.report.metric import metric_of
from tipsc.report.network import legend, network
from tipsc.report.notes import (
    DOUBTFUL_GOALS,
    against_original,
    called,
    examples_line,
    left_out_line,
    notes_of,
)
from tipsc.report.paths_table import options_table, shipped_rows
from tipsc.report.sharing import sharing, with_names
from tipsc.report.spread import spread
from tipsc.report.svg import both


def _front(report: BuildReport) -> Html | None:
    chart = shipped_chart(report)
    if not chart.points:
        return None
    scored = [point for point in chart.points if point.quality is not None]
    keys = [
        _key(shape("circle", cx=11, cy=7, r=5, class_="chosen"), "path of the engine")
        if scored
        else None,
        _key(shape("polygon", points="11,1 17,7 11,13 5,7", class_="original"), "original")
        if chart.original_at
        else None,
        *_marks(report, scored, "p50 to p95"),
    ]  # fmt: skip
    return tag(
        "section",
        tag("h2", f"{heading(metric_of(chart.measure).name)} against latency"),
        tag("p", "The figures of the table below: test examples, and the engine as it ships. "
            "Differences in latency below the noise floor mean nothing.", class_="note"),
        both(lambda width: front(chart, width)),
        tag("div", *keys, class_="key"),
    )  # fmt: skip


def _search(report: BuildReport) -> Html | None:
    """All candidates, by validation examples; nothing where all of them ship."""
    chart = search_chart(report)
    if all(point.chosen for point in chart.points):
        return None
    scored = [point for point in chart.points if point.quality is not None]
    chosen = [point for point in scored if point.chosen]
    others = [point for point in scored if not point.chosen]
    keys = [
        _key(shape("circle", cx=11, cy=7, r=5, class_="chosen"), "in the engine")
        if chosen
        else None,
        _key(shape("circle", cx=11, cy=7, r=4, class_="candidate"), "candidate")
        if any(point.measured for point in others)
        else None,
        _key(shape("circle", cx=11, cy=7, r=4, class_="candidate predicted"), "predicted")
        if any(not point.measured for point in others)
        else None,
        *_marks(report, chosen, "p10 to p95"),
    ]  # fmt: skip
    shipped = sum(point.chosen for point in chart.points)
    missing = sum(point.quality is None for point in chart.points)
    note = (
        f"{plural(len(chart.points), 'candidate path')}, {shipped} of them in the engine, by "
        "validation examples. Figures of what ships stand above."
    )
    if missing:
        note += f" Not evaluated: {missing}, shown as ticks on the latency axis."
    return tag(
        "section",
        tag("h2", "What the search saw"),
        tag("p", note, class_="note"),
        both(lambda width: front(chart, width)),
        tag("div", *keys, class_="key"),
    )


def _marks(report: BuildReport, chosen: Sequence[Point], reach: str) -> Iterator[Html]:
    """The keys of what is drawn around chosen paths, where there are some."""
    if not chosen:
        return
    yield _key(shape("path", d="M1 11H11V3H21", class_="front"), "best within a budget")
    if any(point.p10_ms < point.p95_ms for point in chosen):
        yield _key(shape("path", d="M1 7H21", class_="whisker"), reach)
    yield _key(
        shape("rect", x=5, y=1, width=12, height=12, class_="noise"),
        f"noise floor, ±{percent(report.noise_floor, 1)} %",
    )


def _key(mark: Html, meaning: str) -> Html:
    return tag("span", tag("svg", mark, viewBox="0 0 22 14", aria_hidden="true"), meaning)


def _paths(report: BuildReport) -> Html | None:
    if not report.shipped:
        return None
    notes = [f"“{name}”: {meaning}." for name, meaning in notes_of(report.shipped)]
    if report.left_out:
        notes.append(f"{heading(left_out_line(report.left_out, report.names))}.")
    if report.original is not None:
        qualities = {path.id: path.quality for path in report.shipped}
        notes.append(f"The {against_original(report.original, qualities, report.names)}.")
    notes += [f"{heading(line)}." for line in [examples_line(*report.tested)] if line]
    return tag(
        "section",
        tag("h2", "Paths in the engine"),
        tag(
            "p",
            f"The {metric_of(report.measure).name} is that of the engine itself on the test set. "
            "Difference and agreement "
            "compare it with the torch subnetwork. " + " ".join(notes),
            class_="note",
        ),
        tag("div", shipped_rows(report), class_="scroll"),
        options_table(report),
    )  # fmt: skip


def _goals(report: BuildReport) -> Html | None:
    if not report.goals:
        return None
    marks = {True: "met", False: "not met", None: "not known yet"}
    names = {path.id: path.name for path in report.shipped if path.name}
    columns = ("goal", "", "by path, or the nearest", "what it has", "what would help")
    rows = [
        tag(
            "tr",
            _cell("goal", [answer.goal], "left text"),
            _cell("", [marks[answer.met]]),
            _cell("by path, or the nearest", _by(answer, names)),
            _cell("what it has", _has(answer), "left text"),
            _cell("what would help", [prose("; ".join(answer.helps))], "left text"),
            data_p=answer.path,
        )
        for answer in report.goals
    ]
    headings = [tag("th", column, class_="left") for column in columns]
    note = "Held against the engine’s own figures: test examples, and latency on the device."
    if report.noise and any(answer.timed for answer in report.goals):
        note += f" {DOUBTFUL_GOALS[0].upper()}{DOUBTFUL_GOALS[1:]}."
    return tag(
        "section",
        tag("h2", "Goals"),
        tag("p", note, class_="note"),
        tag("div", tag("table", tag("thead", tag("tr", *headings)), tag("tbody", *rows),
                       class_="stack"), class_="scroll"),
    )  # fmt: skip


def _cell(column: str, parts: list[str], kind: str = "left") -> Html:
    """A cell that says its column where the table is stacked."""
    return tag("td", *parts, class_=kind, data_label=column)


def _by(answer: GoalAnswer, names: Mapping[str, str]) -> list[str]:
    """The path that meets a goal; the fastest and the most accurate one where these differ."""
    path = called(answer.path, names)
    if answer.near:
        others = (called(other, names) for other, _ in answer.near)
        return [path, *(part for other in others for part in (tag("br"), other))]
    if not answer.best:
        return [path]
    return [f"fastest: {path}", tag("br"), f"most accurate: {called(answer.best, names)}"]


def _has(answer: GoalAnswer) -> list[str]:
    others = [has for _, has in answer.near] or [answer.best_found] * bool(answer.best)
    return [answer.found, *(part for has in others for part in (tag("br"), has))]


def _pictures(report: BuildReport) -> Html | None:
    shown = report.pictures
    if shown is None:
        return None
    return tag("section", tag("h2", shown.title), tag("p", shown.note, class_="note"), shown.drawn)


def _sharing(report: BuildReport) -> Html | None:
    return sharing(with_names(report.climbs, report.names))


def _spread(report: BuildReport) -> Html | None:
    wide = spread(report, 1040)
    if wide is None:
        return None
    return tag(
        "section",
        tag("h2", "How steady each path is"),
        tag(
            "p",
            "Single calls of each path relative to that path’s own median; the orange tick is p95, "
            "the band the noise floor. Calls slower than the axis shows are counted at its end.",
            class_="note",
        ),
        both(lambda width: spread(report, width) or Html()),
    )


def _network(report: BuildReport) -> Html | None:
    if not report.feature_maps:
        return None
    return tag(
        "section",
        tag("h2", "Topological scores on the supernet"),
        tag(
            "p",
            "Each disc is a feature map, in the order of computation; its area and shade give its "
            "Topological Accumulated Score. Arcs are operations that skip feature maps; "
            "short ones at a disc come from or lead to another row.",
            class_="note",
        ),
        tag(
            "details",
            tag("summary", f"The drawing ({plural(len(report.feature_maps), 'feature map')})"),
            legend(report.feature_maps),
            both(lambda width: network(report.feature_maps, width) or Html()),
        ),
    )


def _curves(report: BuildReport) -> Html | None:
    groups: dict[str, list[Curve]] = {}
    for curve in report.curves:
        groups.setdefault(curve.quantity, []).append(curve)
    drawn = [both(lambda w, g=group: curves(g, w) or Html()) for group in groups.values()]  # type: ignore[misc]
    if not drawn:
        return None
    return tag(
        "section",
        tag("h2", "Training"),
        tag("p", "Lightly smoothed; the raw values are behind, faint.", class_="note"),
        *drawn,
    )


def _measured(report: BuildReport) -> Html | None:
    halves = [
        _facts("Machine", report.machine),
        _facts(
            "Protocol",
            {
                **report.protocol,
                "noise floor": f"{percent(report.noise_floor, 1)} %: repeats differ by less, "
                "95 times of 100",
            },
        ),
    ]
    return tag("section", tag("h2", "Machine and protocol"), tag("div", *halves, class_="two"))


def _facts(title: str, facts: Mapping[str, str]) -> Html:
    rows = [part for name, value in facts.items() for part in (tag("dt", name), tag("dd", value))]
    return tag("div", tag("h3", title), tag("dl", *rows))


def _stages(report: BuildReport) -> Html | None:
    if not report.stages:
        return None
    longest = max((s.seconds for s in report.stages if is_number(s.seconds)), default=0.0) or 1.0
    rows = []
    for stage in report.stages:
        share = 100 * stage.seconds / longest if is_number(stage.seconds) else 0.0
        bar = tag("span", class_="bar", style=f"width:{max(share, 0.0):.1f}%")
        rows.append(
            tag(
                "tr",
                tag("td", stage.name, class_="left"),
                tag("td", duration(stage.seconds)),
                tag("td", "from cache" if stage.cached else "", class_="left none"),
                tag("td", bar, class_="left track"),
                class_="cached" if stage.cached else None,
            )
        )
    total = sum(s.seconds for s in report.stages if not s.cached and is_number(s.seconds))
    return tag(
        "section",
        tag("h2", "Stages of the build"),
        tag("p", f"{duration(total)} in this build; cached stages took theirs in an earlier one.",
            class_="note"),
        tag("div", tag("table", tag("tbody", *rows)), class_="scroll"),
    )  # fmt: skip


def _commands(report: BuildReport) -> Html | None:
    if not report.commands:
        return None
    return tag(
        "section",
        tag("h2", "Commands"),
        tag("pre", tag("code", "\n".join(report.commands))),
    )


SECTIONS: tuple[Callable[[BuildReport], Html | None], ...] = (
    _goals,
    _front,
    _paths,
    _pictures,
    _search,
    _sharing,
    _spread,
    _network,
    _curves,
    _measured,
    _stages,
    _commands,
)
