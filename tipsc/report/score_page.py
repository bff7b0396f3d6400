"""The story of a supernet's scores as one HTML page, in the style of the build report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from tipsc import __version__
from tipsc.report.data import FeatureMap
from tipsc.report.format import MISSING, count, is_number, moment, plural, significant
from tipsc.report.headline import tile
from tipsc.report.html import Html, tag
from tipsc.report.marginals import marginals
from tipsc.report.network import TAS, legend, network
from tipsc.report.page import document
from tipsc.report.score_tables import in_unit, overlap_lines, top_line, with_unit
from tipsc.report.svg import NARROW, WIDE
from tipsc.scoring.story import LIMITS, beyond_degree, differences

if TYPE_CHECKING:
    from tipsc.scoring.data import DeviceScore, FeatureMapScore, Scores
    from tipsc.scoring.devices import ScoredDevice

HALF = 500
CARDS = 12
MOVED = 16


def write_scores(title: str, devices: Sequence[ScoredDevice], scores: Scores, file: Path) -> None:
    """Write the page to `file`, whole or not at all.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    from tipsc.engine.atomic import write_atomically

    write_atomically(file, [render_scores(title, devices, scores).encode()])


def render_scores(title: str, devices: Sequence[ScoredDevice], scores: Scores) -> str:
    """The page, as a whole HTML document."""
    units = {device.name: device.unit for device in devices}
    sections = [
        _story(scores),
        _choices(scores),
        _supernet(scores),
        _moved(scores),
        _top(scores, units),
        _sources(devices, scores),
    ]
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return document(
        f"Scores of {title}",
        _header(title, scores, units),
        sections,
        f"Written by tipsc {__version__}, {moment(now)}.",
    )


def _header(title: str, scores: Scores, units: Mapping[str, str]) -> Html:
    names = [part for d in scores.devices for part in (" and ", tag("b", d.name))][1:]
    many = scores.paths_in_space
    size = f"{many:,}" if many < 10**9 else f"{many:.2e}"
    lead = tag(
        "p",
        f"Scores of a supernet of {plural(len(scores.feature_maps), 'feature map')} and {size} "
        "paths: by topology, and with the costs of ",
        *names,
        class_="lead",
    )
    tiles = [_budget(device, units[device.name]) for device in scores.devices]
    first = scores.choices[0] if scores.choices else None
    if first is not None:
        against = "between the devices" if len(scores.devices) > 1 else "from price 0"
        tiles.append(
            tile("Largest difference", significant(first.difference, 2), "",
                 f"{against}, choice {first.name}; from 0 to 1")
        )  # fmt: skip
    degree = [d.degree.pearson for d in scores.devices]
    tiles.append(
        tile(
            "Correlation with degree",
            " / ".join(f"{r:.3f}" if is_number(r) else MISSING for r in degree),
            "",
            "of cost-folded TAS; of published TAS it is 1, by the theorem",
        )
    )
    return tag(
        "header", tag("h1", title), tag("button", "Light / dark", id="theme"), lead,
        tag("div", *tiles, class_="tiles"),
    )  # fmt: skip


def _budget(device: DeviceScore, unit: str) -> Html:
    low, high = device.cost_range
    figure, _, rest = with_unit(device.budget, unit).partition(" ")
    note = f"of {in_unit(low, unit)} to {with_unit(high, unit)}; expected cost of a drawn path"
    return tile(f"Budget, {device.name}", figure, rest, note)


def _story(scores: Scores) -> Html:
    items = [tag("li", sentence) for sentence in differences(scores)]
    heading = "What changes between them" if len(scores.devices) > 1 else "What the costs change"
    return tag(
        "section",
        tag("h2", heading),
        tag("ul", *items),
        tag("h3", "Beyond degree"),
        tag("p", beyond_degree(scores)),
        tag("p", LIMITS, class_="note"),
    )


def _choices(scores: Scores) -> Html | None:
    if not scores.choices:
        return None
    cards = [marginals(choice) for choice in scores.choices]
    rest = cards[CARDS:]
    key = [
        tag("span", tag("i", class_=f"swatch d{number}"), device.name)
        for number, device in enumerate(scores.devices)
    ]
    key.append(tag("span", tag("i", class_="swatch flat"), "price 0: all options alike"))
    return tag(
        "section",
        tag("h2", "How the chain decides each choice"),
        tag(
            "p",
            "Probability of each option where its choice is active. The figure at the right is "
            + ("the difference of the devices" if len(scores.devices) > 1 else "the difference "
               "from price 0")
            + ": total variation, times the smaller probability of being active.",
            class_="note",
        ),
        tag("div", *key, class_="key"),
        tag("div", *cards[:CARDS], class_="cards"),
        tag("details", tag("summary", f"{plural(len(rest), 'more choice')}"),
            tag("div", *rest, class_="cards")) if rest else None,
    )  # fmt: skip


def _supernet(scores: Scores) -> Html:
    names = [device.name for device in scores.devices]
    published = ("Published TAS", TAS, [entry.tas for entry in scores.feature_maps])
    folded = [
        (f"Cost-folded TAS, {name}", f"folded {TAS}, {name}",
         [entry.folded[name] for entry in scores.feature_maps])
        for name in names
    ]  # fmt: skip
    if len(folded) == 1:
        drawn = [tag("div", *(_map(scores, *view, width=HALF) for view in (published, *folded)),
                     class_="two maps")]  # fmt: skip
    else:
        drawn = [
            _map(scores, *published, width=WIDE),
            tag("div", *(_map(scores, *view, width=HALF) for view in folded), class_="two maps"),
        ]
    return tag(
        "section",
        tag("h2", "Scores on the supernet"),
        tag(
            "p",
            "Each disc is a feature map, in the order of computation; its area and shade give its "
            "score, in each drawing relative to the highest. Width groups hang below each other; "
            "arcs are operations that skip feature maps.",
            class_="note",
        ),
        *drawn,
    )


def _map(scores: Scores, title: str, measure: str, values: Sequence[float], width: int) -> Html:
    maps = [
        FeatureMap(entry.name, entry.inputs, value)
        for entry, value in zip(scores.feature_maps, values, strict=True)
    ]
    return tag(
        "div",
        tag("h3", title),
        legend(maps, "score"),
        tag("div", network(maps, width, measure=measure), class_="wide"),
        tag("div", network(maps, NARROW, measure=measure), class_="narrow"),
    )


def _moved(scores: Scores) -> Html | None:
    if not scores.moved:
        return None
    names = [device.name for device in scores.devices]
    headings = [tag("th", "feature map", class_="left"), tag("th", "TAS", tag("small", "%"))]
    headings += [tag("th", "price 0", tag("small", "%"))]
    headings += [
        heading
        for name in names
        for heading in (
            tag("th", name, tag("small", "%")),
            tag("th", "rank", tag("small", "from TAS")),
        )
    ]
    rows = [
        tag(
            "tr",
            tag("td", entry.name, *_alike(moved.alike), class_="left"),
            tag("td", f"{100 * entry.tas:.3f}"),
            tag("td", f"{100 * entry.unpriced:.3f}"),
            *(cell for name in names for cell in _rank(entry, name)),
        )
        for moved in scores.moved[:MOVED]
        for entry in [moved.feature_map]
    ]
    return tag(
        "section",
        tag("h2", "Feature maps that costs move most"),
        _table(headings, rows),
    )


def _alike(others: int) -> list[Html]:
    if not others:
        return []
    return [tag("span", f"and {plural(others, 'other')} that come and go with it", class_="flag")]


def _rank(entry: FeatureMapScore, name: str) -> tuple[Html, Html]:
    rank = entry.folded_rank[name]
    return (
        tag("td", f"{100 * entry.folded[name]:.3f}"),
        tag("td", f"{entry.rank} → {rank}" if rank != entry.rank else f"{rank}"),
    )


def _top(scores: Scores, units: Mapping[str, str]) -> Html | None:
    if not scores.top:
        return None
    names = [device.name for device in scores.devices]
    utility = any(path.utility is not None for top in scores.top for path in top.paths)
    headings = [tag("th", "budget", class_="left"), tag("th", "path", class_="left")]
    headings += [tag("th", name, tag("small", units[name])) for name in names]
    headings += [tag("th", "MACs")] if "MACs" not in names else []
    headings += [tag("th", "TPS"), tag("th", "utility") if utility else tag("th", "")]
    rows = []
    for top in scores.top:
        for place, path in enumerate(top.paths):
            label = f"{top.device}, {with_unit(top.budget, units[top.device])}"
            cells = [
                tag("td", "" if place else label, class_="left"),
                tag("td", tag("span", path.id, class_="id"), class_="left"),
                *(tag("td", in_unit(path.costs[name], units[name])) for name in names),
                tag("td", count(path.macs)) if "MACs" not in names else None,
                tag("td", f"{path.tps:.4f}"),
                tag("td", significant(path.utility)) if utility else tag("td", ""),
            ]
            rows.append(tag("tr", *cells, data_p=path.id, class_=None if place else "first"))
    return tag(
        "section",
        tag("h2", "Top paths for each budget"),
        tag("p", top_line(scores), class_="note"),
        _table(headings, rows),
        *(tag("p", f"{line}.", class_="note") for line in overlap_lines(scores)),
    )


def _sources(devices: Sequence[ScoredDevice], scores: Scores) -> Html:
    facts = [part for d in devices for part in (tag("dt", d.name), tag("dd", d.source))]
    facts += [
        tag("dt", "TAS"),
        tag("dd", f"accumulated over {scores.subnetworks} subnetworks, coupling "
                  f"{scores.coupling:g}"),
    ]  # fmt: skip
    return tag("section", tag("h2", "Where the costs come from"), tag("dl", *facts))


def _table(headings: Sequence[Html], rows: Sequence[Html]) -> Html:
    table = tag("table", tag("thead", tag("tr", *headings)), tag("tbody", *rows))
    return tag("div", table, class_="scroll")
