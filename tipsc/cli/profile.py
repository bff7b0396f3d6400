"""tipsc profile: what candidate paths take on the target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tipsc.cli.options import config_argument, target_option
from tipsc.cli.output import Output, verb

if TYPE_CHECKING:
    from rich.table import Table

    from tipsc.profile import Profile


@verb
@config_argument
@target_option
def command(output: Output, config: Path, target: str) -> None:
    """Measure candidate paths of CONFIG on the target, and train first if that is missing."""
    from tipsc.build import PROFILE, Pipeline
    from tipsc.candidates import load_candidates
    from tipsc.cli.building import stage_document
    from tipsc.profile import Profile, profile_file
    from tipsc.stages import only_one_build

    with output.reporter() as reporter:
        pipeline = Pipeline(config, target, reporter=reporter)
        with only_one_build(pipeline.runs):
            stage = pipeline.profile()
    profile = Profile.load(stage.folder / PROFILE)
    found = load_candidates(pipeline.candidates().folder, profile.search_space)
    accuracies = {candidate.path.id: candidate.accuracy for candidate in found}
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
                    "accuracy": accuracies[path.id],
                    "latency": path.latency.model_dump(mode="json"),
                }
                for path in profile.paths
            ],
        },
        _table(profile, accuracies),
        f"repeating a measurement moves p10 by {profile.noise_floor.median:.1%}; "
        f"drift {profile.drift:+.1%}",
        f"profile  {file}",
    )


def _table(profile: Profile, accuracies: dict[str, float]) -> Table:
    from rich import box
    from rich.table import Table

    from tipsc.report.format import milliseconds, percent

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("path", no_wrap=True)
    for heading in ("acc %", "p10 ms", "p50 ms", "p95 ms", "cv %"):
        table.add_column(heading, justify="right", no_wrap=True)
    paths = sorted(profile.paths, key=lambda path: path.latency.p10_ms)
    columns = [
        [percent(accuracies[path.id]) for path in paths],
        milliseconds([path.latency.p10_ms for path in paths]),
        milliseconds([path.latency.p50_ms for path in paths]),
        milliseconds([path.latency.p95_ms for path in paths]),
        [f"{path.latency.cv * 100:.1f}" for path in paths],
    ]
    for path, *cells in zip(paths, *columns, strict=True):
        table.add_row(path.id, *cells)
    return table
