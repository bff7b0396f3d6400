"""tipsc score: what topology says of a supernet, and what the costs of a device change in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tipsc.cli.options import ANY_PATH, OUTPUT_FILE, Number, config_argument, target_option
from tipsc.cli.output import Output, verb, wrapped

if TYPE_CHECKING:
    from tipsc.scoring import Agreement, OptionShares, PathScore, Scores
    from tipsc.scoring.devices import ScoredDevice

SHORT, LONG = 4, 10  # rows of a table
SENTENCES = 3  # about the choices, on the first screen
MORE = (
    "--all shows more: each feature map and how its scores go with degree, what costs move, more "
    "paths; --html FILE draws it, --format json has everything."
)


@verb
@config_argument
@click.option(
    "--profile",
    "profiles",
    type=ANY_PATH,
    multiple=True,
    metavar="FILE",
    help="A device's profile of this model; twice to compare two devices.",
)
@target_option
@click.option("--macs", is_flag=True, help="Compare with MACs as if they were a device's costs.")
@click.option(
    "--budget",
    type=Number(min=0, min_open=True),
    metavar="MS",
    help="Expected latency of a drawn path.",
)
@click.option(
    "--share",
    type=Number(0.0, 1.0),
    default=0.5,
    show_default=True,
    help="Instead: where in the range of costs, by logarithm.",
)
@click.option(
    "--budgets",
    type=click.IntRange(0, 32),
    default=3,
    show_default=True,
    metavar="N",
    help="For how many budgets top paths are shown.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Choices and feature maps shown; by default {SHORT}, with --all and in JSON {LONG}.",
)
@click.option("--all", "everything", is_flag=True, help="Show all tables, not the first screen.")
@click.option(
    "--coupling",
    type=Number(min=0.0, max=1e6),
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
@click.option("--html", "page", type=OUTPUT_FILE, metavar="FILE", help="Draw the story as a page.")
def command(
    output: Output,
    config: Path,
    profiles: tuple[Path, ...],
    target: str,
    macs: bool,
    budget: float | None,
    share: float,
    budgets: int,
    top: int | None,
    everything: bool,
    coupling: float,
    subnetworks: int,
    page: Path | None,
) -> None:
    """Score the supernet of CONFIG: by topology (TIPS, arXiv 2305.08021) and by measured costs.

    Costs are those of the profiles that are given, else of the target's profile if one lies beside
    CONFIG, else estimated from what is published of the target, else MACs. Nothing is trained, and
    no data are read.
    """
    from tipsc.elastic.factors import additive_totals
    from tipsc.errors import DataError
    from tipsc.project.config import load_config
    from tipsc.project.loading import make_supernet
    from tipsc.project.target import load_target
    from tipsc.report.score_page import write_scores
    from tipsc.scoring import score
    from tipsc.scoring.devices import MS, devices_of

    settings, folder = load_config(config)
    supernet = make_supernet(settings, folder)
    files = profiles or _published(settings.name, target, folder)
    totals = additive_totals(supernet)
    devices = devices_of(supernet, totals, files, target=load_target(target), macs=macs)
    unmeasured = [device.unit for device in devices if device.unit != MS]
    if budget is not None and unmeasured:
        raise DataError(
            "a budget in milliseconds needs costs in milliseconds that were measured",
            got=unmeasured[0],
            fix="give --profile, or --share instead of --budget",
        )
    scores = score(
        supernet,
        {device.name: device.cost for device in devices},
        macs=totals["macs"],
        budget=budget,
        share=share,
        budgets=budgets,
        coupling=coupling,
        subnetworks=subnetworks,
        seed=settings.seed,
    )
    if page is not None:
        write_scores(settings.name, devices, scores, page)
    whole = everything or output.as_json
    most = top or (LONG if whole else SHORT)
    document = _document(settings.name, devices, scores, most)
    parts = _all_parts if everything else _first_parts
    output.result(
        {**document, "html": None if page is None else str(page)},
        *parts(settings.name, devices, scores, most),
        *([] if page is None else [f"page  {page}"]),
    )


def _published(name: str, target: str, folder: Path) -> tuple[Path, ...]:
    """The target's profile beside the configuration, if there is one."""
    from tipsc.profile import profile_file
    from tipsc.project.target import load_target

    file = profile_file(load_target(target).name, name, folder / "profiles")
    return (file,) if file.exists() else ()


def _heading(name: str, devices: Sequence[ScoredDevice], scores: Scores) -> list[str]:
    from tipsc.report.score_tables import budget_line

    units = {device.name: device.unit for device in devices}
    return [
        f"{name}: {len(scores.feature_maps)} feature maps in {scores.subnetworks} of "
        f"{_size(scores.paths_in_space)} paths, coupling {scores.coupling:g}",
        *wrapped(f"{device.name}: {device.source}." for device in devices),
        *wrapped(budget_line(found, units[found.name]) for found in scores.devices),
        "",
    ]


def _first_parts(name: str, devices: Sequence[ScoredDevice], scores: Scores, top: int) -> list[Any]:
    """What fits on a screen: what costs change, and the paths to look at first."""
    from tipsc.report import score_tables as tables
    from tipsc.scoring.story import LIMITS_IN_SHORT, differences

    units = {device.name: device.unit for device in devices}
    return [
        *_heading(name, devices, scores),
        *wrapped(differences(scores, SENTENCES)),
        tables.choices_table(scores, top),
        *wrapped(_highest(scores)),
        *([tables.top_table(scores, units, most=1)] if scores.top else []),
        *wrapped([LIMITS_IN_SHORT, MORE]),
    ]


def _highest(scores: Scores) -> list[str]:
    names = [entry.name for entry in scores.by_tas[:SENTENCES]]
    budgets = ["The path of the highest TPS found within each budget:"] if scores.top else []
    return [f"Highest published TAS: {', '.join(names)}.", *budgets]


def _all_parts(name: str, devices: Sequence[ScoredDevice], scores: Scores, top: int) -> list[Any]:
    from tipsc.report import score_tables as tables
    from tipsc.scoring.story import LIMITS, beyond_degree, differences

    units = {device.name: device.unit for device in devices}
    moved = scores.moved[:top]
    return [
        *_heading(name, devices, scores),
        *wrapped(differences(scores)),
        tables.choices_table(scores, top),
        *wrapped([beyond_degree(scores)]),
        tables.degree_table(scores),
        "Highest published TAS (* on the heaviest route):",
        tables.maps_table(scores.by_tas[:top], scores),
        "Feature maps that costs move most (+n: so many others come and go with it):",
        tables.maps_table([m.feature_map for m in moved], scores, [m.alike for m in moved]),
        *wrapped([tables.top_line(scores)] if scores.top else []),
        *([tables.top_table(scores, units), *tables.overlap_lines(scores)] if scores.top else []),
        tables.range_table(scores),
        *wrapped([LIMITS]),
    ]


def _document(
    name: str, devices: Sequence[ScoredDevice], scores: Scores, top: int
) -> dict[str, Any]:
    units = {device.name: device for device in devices}
    return {
        "name": name,
        "coupling": scores.coupling,
        "subnetworks": scores.subnetworks,
        "paths_in_space": scores.paths_in_space,
        "eta": scores.eta,
        "devices": [
            {
                "name": found.name,
                "unit": units[found.name].unit,
                "source": units[found.name].source,
                "cost_range": list(found.cost_range),
                "budget": found.budget,
                "mu": found.mu,
                "agreement": {
                    "degree": vars(found.degree),
                    "price_0": vars(found.unpriced),
                },
            }
            for found in scores.devices
        ],
        "agreement": {
            "published_with_degree": vars(scores.published),
            "price_0_with_degree": vars(scores.unpriced),
            "between_devices": _agreement(scores.between),
        },
        "feature_maps": [_map(entry) for entry in scores.by_tas[:top]],
        "moved": [
            {"name": m.feature_map.name, "difference": m.difference, "alike": m.alike}
            for m in scores.moved
        ],
        "kinds": scores.kinds,
        "choices": [
            {
                "name": choice.name,
                "difference": choice.difference,
                "price_0": _shares(choice.unpriced),
                "devices": {key: _shares(found) for key, found in choice.devices.items()},
            }
            for choice in scores.choices
        ],
        "top": [
            {
                "device": found.device,
                "share": found.share,
                "budget": found.budget,
                "paths": [_path(path) for path in found.paths],
            }
            for found in scores.top
        ],
        "overlap": [
            {"share": share, "common": common[0], "of": common[1]}
            for share in scores.shares
            if (common := scores.overlap(share)) is not None
        ],
        "paths": {key: _path(path) for key, path in scores.paths.items()},
    }


def _map(entry: Any) -> dict[str, Any]:
    fields = {**vars(entry), "folded": dict(entry.folded), "folded_rank": dict(entry.folded_rank)}
    fields["price_0"] = fields.pop("unpriced")
    del fields["inputs"]
    return fields


def _agreement(found: Agreement | None) -> dict[str, float] | None:
    return None if found is None else vars(found)


def _shares(found: OptionShares) -> dict[str, Any]:
    return {"active": found.active, "shares": {str(o): s for o, s in found.shares.items()}}


def _path(found: PathScore) -> dict[str, Any]:
    return {
        "id": found.id,
        "options": dict(found.path.options),
        "tps": found.tps,
        "macs": found.macs,
        "costs": dict(found.costs),
        "utility": found.utility,
    }


def _size(paths: int) -> str:
    return f"{paths:,}" if paths < 10**9 else f"{paths:.2e}"
