"""tipsc score: the published topological scores, before any training."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipsc.cli.options import config_argument
from tipsc.cli.output import Output, verb

if TYPE_CHECKING:
    from rich.table import Table

    from tipsc.elastic import Supernet

HONESTY = (
    "TAS is degree and nothing more: how many operations touch a feature map, and in how many of "
    "the\nsubnetworks it is. TPS is close to size. Neither has seen weights, data or the device "
    "(docs/chain.md)."
)


@verb
@config_argument
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    metavar="N",
    help="Feature maps shown.",
)
@click.option(
    "--coupling",
    type=float,
    default=1.0,
    show_default=True,
    metavar="L",
    help="Weight between copies of a feature map: lambda of the paper.",
)
@click.option(
    "--subnetworks",
    type=click.IntRange(2, 4096),
    default=64,
    show_default=True,
    metavar="T",
    help="Largest, smallest and sampled ones.",
)
def command(output: Output, config: Path, top: int, coupling: float, subnetworks: int) -> None:
    """Score the supernet of CONFIG by its topology alone (TIPS, arXiv 2305.08021).

    TAS of its feature maps, TPS of its smallest, largest and sampled paths. Nothing is trained,
    and no data are read.
    """
    from tipsc.config import load_config, make_supernet

    settings, folder = load_config(config)
    supernet = make_supernet(settings, folder)
    scores = _score(supernet, coupling, subnetworks, settings.seed)
    maps = scores.feature_maps[:top]
    output.result(
        {
            "name": settings.name,
            "coupling": coupling,
            "subnetworks": subnetworks,
            "paths_in_space": supernet.space.size,
            "feature_maps": [vars(entry) for entry in maps],
            "paths": {name: vars(entry) for name, entry in scores.paths.items()},
        },
        f"{settings.name}: {len(scores.feature_maps)} feature maps in {subnetworks} of "
        f"{_size(supernet.space.size)} paths, coupling {coupling:g}",
        _maps_table(maps, subnetworks),
        _paths_table(scores.paths),
        HONESTY,
    )


@dataclass(frozen=True)
class FeatureMapScore:
    """A feature map: its TAS, the best route through it (1: on the heaviest), its subnetworks."""

    name: str
    tas: float
    importance: float
    on_heaviest_route: bool
    subnetworks: int


@dataclass(frozen=True)
class PathScore:
    """A path and its TPS; MACs beside it, because TPS is close to size."""

    id: str
    tps: float
    macs: int


@dataclass(frozen=True)
class Scores:
    """Feature maps by falling TAS, and the paths that stand for the range."""

    feature_maps: list[FeatureMapScore]
    paths: dict[str, PathScore]


def _score(supernet: Supernet, coupling: float, subnetworks: int, seed: int) -> Scores:
    from tipsc import dtmc
    from tipsc.elastic import CostModel

    costs, space, generator = CostModel(supernet), supernet.space, random.Random(seed)
    paths = [space.smallest, space.largest]
    paths += [space.sample_options(generator) for _ in range(subnetworks - 2)]
    union = dtmc.supergraph([costs.trace(path).steps for path in paths])
    tas = dtmc.tas(union, coupling)
    tps = dtmc.tps(union, tas).tolist()
    importance = dtmc.operation_importance(union.graph, tas)
    route = set(dtmc.heaviest_route(union.graph, tas))
    copies = union.present.sum(axis=0).tolist()
    # An operation writes the feature map that is called after it, or a width group of that.
    by_map = {
        union.graph.nodes[head]: importance[operation]
        for head, operation in zip(union.graph.head.tolist(), union.graph.operations, strict=True)
    }
    maps = [
        FeatureMapScore(
            name, float(tas[index]), by_map.get(name, 1.0), index in route, int(copies[index])
        )
        for index, name in enumerate(union.graph.nodes)
    ]
    sampled = sorted(range(2, subnetworks), key=lambda index: tps[index])
    shown = {"smallest": 0, "largest": 1}
    if sampled:
        shown = {
            "smallest": 0,
            "sampled, lowest": sampled[0],
            "sampled, middle": sampled[len(sampled) // 2],
            "sampled, highest": sampled[-1],
            "largest": 1,
        }
    return Scores(
        sorted(maps, key=lambda entry: -entry.tas),
        {
            name: PathScore(paths[index].id, tps[index], costs.of(paths[index]).macs)
            for name, index in shown.items()
        },
    )


def _size(paths: int) -> str:
    return f"{paths:,}" if paths < 10**9 else f"{paths:.2e}"


def _plain_table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column(headings[0], no_wrap=True)
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _maps_table(maps: list[FeatureMapScore], subnetworks: int) -> Table:
    from rich.text import Text

    table = _plain_table("feature map", "TAS %", f"in of {subnetworks}", "importance", "heaviest")
    for entry in maps:
        table.add_row(
            Text(entry.name),  # a width group has brackets, which rich would take for markup
            f"{entry.tas * 100:.3f}",
            str(entry.subnetworks),
            f"{entry.importance:.3f}",
            "yes" if entry.on_heaviest_route else "",
        )
    return table


def _paths_table(paths: dict[str, Any]) -> Table:
    from tipsc.report.format import count

    table = _plain_table("path", "id", "TPS", "MACs")
    for name, entry in paths.items():
        table.add_row(name, entry.id, f"{entry.tps:.4f}", count(entry.macs))
    return table
