"""The scores of a supernet as tables for the terminal, within 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from tipsc.report.format import MISSING, count, is_number, shortened, significant

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from tipsc.scoring.data import Agreement, DeviceScore, FeatureMapScore, OptionShares, Scores

NAME = 34
DEVICE = 12


def in_unit(cost: float | None, unit: str) -> str:
    """``1.23`` for milliseconds, ``3.50 M`` for MACs."""
    return count(cost) if unit == "MACs" else significant(cost)


def with_unit(cost: float | None, unit: str) -> str:
    """``1.23 ms``, ``3.50 M MACs``."""
    return f"{in_unit(cost, unit)} {unit}"


def budget_line(device: DeviceScore, unit: str) -> str:
    """The range of a device, and where its chain stands."""
    low, high = device.cost_range
    one = "MAC" if unit == "MACs" else unit
    return (
        f"{device.name}: paths cost {with_unit(low, unit)} to {with_unit(high, unit)}; drawn at "
        f"{with_unit(device.budget, unit)} on average (price {device.mu:.3g} per {one})"
    )


def top_line(scores: Scores) -> str:
    """What the top paths are."""
    if any(path.utility is not None for top in scores.top for path in top.paths):
        return "Paths of the highest utility found within each budget:"
    return (
        "Paths of the highest TPS found within each budget. Nothing is trained yet, and TPS is "
        "close to size: read them as the largest that fit."
    )


def overlap_lines(scores: Scores) -> list[str]:
    """How many top paths two devices share."""
    found = [(share, scores.overlap(share)) for share in scores.shares]
    return [
        f"at {share:.2f} of the range both devices have {common[0]} of {common[1]} top paths"
        for share, common in found
        if common is not None
    ]


def degree_table(scores: Scores) -> Table:
    """How each score goes with accumulated degree."""
    table = _table("score of a feature map", "r with degree", "rho", "r with price 0", "rho")
    rows: list[tuple[str, Agreement, Agreement | None]] = [
        ("published TAS", scores.published, None),
        ("cost-folded TAS, price 0", scores.unpriced, None),
    ]
    rows += [(f"cost-folded TAS, {d.name}", d.degree, d.unpriced) for d in scores.devices]
    for name, degree, unpriced in rows:
        cells = [_correlation(degree.pearson), _correlation(degree.spearman)]
        if unpriced is not None:
            cells += [_correlation(unpriced.pearson), _correlation(unpriced.spearman)]
        table.add_row(_plain(name, 60), *cells)
    return table


def maps_table(maps: Sequence[FeatureMapScore], scores: Scores, alike: Sequence[int] = ()) -> Table:
    """Published TAS and cost-folded TAS of each device, with ranks.

    Args:
        alike: for each of `maps` how many others come and go with it.
    """
    names = [device.name for device in scores.devices]
    headings = [part for name in names for part in (shortened(name, DEVICE), "rank")]
    table = _table("feature map", "TAS %", "rank", *headings, f"in of {scores.subnetworks}", "imp.")
    for entry, others in zip_longest(maps, alike, fillvalue=0):
        assert not isinstance(entry, int)
        folded = [
            cell
            for name in names
            for cell in (_percent(entry.folded[name]), _moved(entry.folded_rank[name], entry.rank))
        ]
        table.add_row(
            _plain(f"{shortened(entry.name, NAME - 5)}, +{others}" if others else entry.name),
            _percent(entry.tas),
            str(entry.rank),
            *folded,
            str(entry.subnetworks),
            f"{entry.importance:.2f}" + ("*" if entry.on_heaviest_route else " "),
        )
    return table


def choices_table(scores: Scores, most: int) -> Table:
    """Shares of the options in percent where the choice is active; largest difference first."""
    names = [device.name for device in scores.devices]
    columns = names if len(names) > 1 else ["price 0", *names]
    table = _table("choice", *(shortened(name, 24) for name in columns), "active %", "differ")
    for choice in scores.choices[:most]:
        devices = list(choice.devices.values())
        compared = devices if len(devices) > 1 else [choice.unpriced, *devices]
        table.add_row(
            _plain(choice.name),
            *(_plain(_shares(shares), 60) for shares in compared),
            " ".join(f"{100 * shares.active:.0f}" for shares in compared),
            f"{choice.difference:.2f}",
        )
    for column in table.columns[1 : 1 + len(columns)]:
        column.no_wrap = False
    return table


def top_table(scores: Scores, units: Mapping[str, str], most: int | None = None) -> Table:
    """The top paths of each budget, at most `most`, with what each costs on every device."""
    names = [device.name for device in scores.devices]
    costs = [
        f"{shortened(name, DEVICE)} {units[name]}".replace("MACs MACs", "MACs") for name in names
    ]
    utility = any(path.utility is not None for top in scores.top for path in top.paths)
    paper = [] if "MACs" in names else ["MACs"]
    table = _table("budget", "path", *costs, *paper, "TPS", *(["utility"] if utility else []))
    for top in scores.top:
        unit = units[top.device]
        budget = f"{shortened(top.device, DEVICE)}, {in_unit(top.budget, unit)}"
        heading = budget + ("" if unit == "MACs" else f" {unit}")
        for place, path in enumerate(top.paths[:most]):
            cells = [path.id, *(in_unit(path.costs[name], units[name]) for name in names)]
            cells += [count(path.macs)] if paper else []
            cells += [f"{path.tps:.4f}", *([significant(path.utility)] if utility else [])]
            table.add_row(_plain("" if place else heading), *cells)
    return table


def range_table(scores: Scores) -> Table:
    """The smallest, the largest and sampled paths."""
    table = _table("path", "id", "TPS", "MACs")
    for name, path in scores.paths.items():
        table.add_row(name, path.id, f"{path.tps:.4f}", count(path.macs))
    return table


def _moved(rank: int, before: int) -> str:
    change = before - rank
    return f"{rank} {'+' if change > 0 else ''}{change}" if change else f"{rank} ="


def _percent(score: float) -> str:
    return f"{100 * score:.3f}"


def _correlation(value: float) -> str:
    return f"{value:.3f}" if is_number(value) else MISSING


def _shares(shares: OptionShares) -> str:
    return " ".join(f"{option}:{100 * share:.0f}" for option, share in shares.shares.items())


def _plain(content: str, limit: int = NAME) -> Text:
    from rich.text import Text

    return Text(shortened(content, limit))  # names may have brackets, rich's markup


def _table(*headings: str) -> Table:
    from rich.text import Text

    from tipsc.report.tables import plain_table

    table = plain_table()
    table.add_column(headings[0], no_wrap=True)
    for heading in headings[1:]:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    return table
