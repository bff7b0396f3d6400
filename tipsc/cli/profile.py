"""tipsc profile: what paths take on the target, and how well that is predicted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tipsc.cli.options import config_argument, connected, device_option, target_option
from tipsc.cli.output import Output, verb

if TYPE_CHECKING:
    from rich.table import Table

    from tipsc.profile import Profile, Shares
    from tipsc.profiling import Check

_PROOF_OF_95 = 59  # the smallest n with 0.95^n < 0.05


@verb
@config_argument
@target_option
@device_option
@click.option(
    "--check",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure N random paths more and compare them with their prediction.",
)
def command(
    output: Output, config: Path, target: str, device: str | None, check: int | None
) -> None:
    """Measure paths of CONFIG on the target, and train first if that is missing.

    build.measured paths are measured; all others are predicted from them.
    """
    from tipsc.build import CHECK, PROFILE, Pipeline
    from tipsc.cli.building import stage_document
    from tipsc.profile import Profile, profile_file
    from tipsc.profiling import Check
    from tipsc.stages import only_one_build

    with connected(device) as there, output.reporter() as reporter:
        pipeline = Pipeline(config, target, reporter=reporter, device=there)
        with only_one_build(pipeline.runs):
            stage = pipeline.profile()
            checked = pipeline.check(check) if check else None
    profile = Profile.load(stage.folder / PROFILE)
    result = Check.model_validate_json((checked.folder / CHECK).read_bytes()) if checked else None
    file = profile_file(pipeline.target.name, pipeline.config.name, pipeline.folder / "profiles")
    output.result(
        {
            "profile": str(file),
            "target": profile.target,
            "noise_floor": profile.noise_floor.model_dump(mode="json"),
            "drift": profile.drift,
            "stages": [stage_document(done) for done in pipeline.stages.done],
            "paths": [
                {
                    "id": path.id,
                    "options": path.options,
                    "latency": path.latency.model_dump(mode="json"),
                }
                for path in profile.paths
            ],
            "forecast": profile.forecast.model_dump(mode="json") if profile.forecast else None,
            "check": result.model_dump(mode="json") if result else None,
        },
        _table(profile),
        f"repeating a measurement moves p10 by {profile.noise_floor.median:.1%}; "
        f"drift {profile.drift:+.1%}",
        *_trust(profile, result),
        f"profile  {file}",
    )


def _trust(profile: Profile, check: Check | None) -> list[str]:
    """How well unmeasured paths are predicted, always beside what bounds it from both sides."""
    lines = []
    if (forecast := profile.forecast) is not None:
        lines.append(
            f"predicted {len(forecast.paths)} more paths; each of the {len(profile.paths)} "
            f"measured from the others: {_shares(forecast.leave_one_out)} "
            f"(a constant: {_shares(forecast.constant)})"
        )
        lines += [
            f"path {path.id} did not fit and was measured again: "
            f"{path.before_ms:.3g} -> {path.after_ms:.3g} ms"
            for path in forecast.remeasured
        ]
    if check is not None:
        lines.append(
            f"check on {check.paths} random paths that were not fitted: {_shares(check.predicted)} "
            f"(a constant: {_shares(check.constant)}); repeating moves p10 by "
            f"{check.noise_floor.median:.1%}"
        )
        if check.paths < _PROOF_OF_95:
            lines.append(
                f"{check.paths} paths cannot show that 95 % fit: that takes {_PROOF_OF_95} "
                "without a miss"
            )
    return lines


def _shares(shares: Shares) -> str:
    return f"{shares.within_5_pct:.0%} within 5 %, {shares.within_10_pct:.0%} within 10 %"


def _table(profile: Profile) -> Table:
    from rich import box
    from rich.table import Table

    from tipsc.report.format import milliseconds

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("path", no_wrap=True)
    for heading in ("p10 ms", "p50 ms", "p95 ms", "cv %"):
        table.add_column(heading, justify="right", no_wrap=True)
    paths = sorted(profile.paths, key=lambda path: path.latency.p10_ms)
    columns = [
        milliseconds([path.latency.p10_ms for path in paths]),
        milliseconds([path.latency.p50_ms for path in paths]),
        milliseconds([path.latency.p95_ms for path in paths]),
        [f"{path.latency.cv * 100:.1f}" for path in paths],
    ]
    for path, *cells in zip(paths, *columns, strict=True):
        table.add_row(path.id, *cells)
    return table
