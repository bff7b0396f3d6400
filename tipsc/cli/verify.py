"""tipsc verify: every path of an engine against torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tipsc.cli.options import config_argument, connected, device_option, engine_argument
from tipsc.cli.output import Output, verb, wrapped
from tipsc.engine import Manifest, read_engine
from tipsc.engine.manifest import entry_ids
from tipsc.errors import UsageError, VerificationError

if TYPE_CHECKING:
    from rich.table import Table

    from tipsc.cli.building import FinishedStages
    from tipsc.elastic import Supernet
    from tipsc.lower import Difference
    from tipsc.pipeline.build import Pipeline
    from tipsc.search.candidates import Candidate


@verb
@engine_argument
@config_argument
@click.option(
    "--target",
    metavar="FILE",
    help="The file of the engine's target, where it is none that `tipsc targets` lists.",
)
@device_option
def command(
    output: Output, engine: Path, config: Path, target: str | None, device: str | None
) -> None:
    """Compare every path of ENGINE with torch, on the test data of CONFIG.

    CONFIG is the configuration that the engine was built from, with its finished stages.
    """
    manifest = read_engine(engine).manifest  # before torch is imported
    wanted = _target(target, manifest)

    from tipsc.cli.building import FinishedStages
    from tipsc.cli.engines import quality_document
    from tipsc.pipeline.build import Pipeline
    from tipsc.pipeline.verify import verify_engine

    pipeline = Pipeline(config, wanted)
    stages = FinishedStages(pipeline.runs)
    pipeline.stages = stages
    candidates, supernet = _candidates(pipeline, stages, manifest)
    build = pipeline.config.build
    with connected(device) as there, output.reporter() as reporter:
        verified = verify_engine(
            engine,
            pipeline.target,
            supernet,
            candidates,
            pipeline.data.test,
            pipeline.data.judged_by,
            build.verify_examples,
            build.tolerance,
            reporter.begin("verifying"),
            build.quantised_loss,
            device=there,
            batches=build.batches,
        )
    differences = verified.differences
    examples = max(difference.inputs for difference in differences.values())
    output.result(
        {
            "engine": str(engine),
            "name": manifest.name,
            "tolerance": build.tolerance,
            "examples": examples,
            "paths": [
                {
                    "id": name,
                    "difference": d.largest,
                    "agreement": d.agreement,
                    "quality": quality_document(d.quality),
                    "lost": d.lost,
                }
                for name, d in differences.items()
            ],
        },
        _table(differences, manifest.names),
        *wrapped([_summary(pipeline, len(differences), examples)]),
    )


def _target(given: str | None, manifest: Manifest) -> str:
    """A name, or a file, of the target that an engine was built for.

    Raises:
        UsageError: it is another one, or a file that has to be named.
    """
    from tipsc.project.target import list_targets, load_target

    if given is None and manifest.target not in list_targets():
        raise UsageError(
            f"the engine was built for {manifest.target!r}, a target of a file of its own",
            fix="give that file: --target FILE",
        )
    if given is not None and (name := load_target(given).name) != manifest.target:
        raise UsageError(
            "the engine was built for another target",
            where=given,
            expected=manifest.target,
            got=name,
        )
    return given or manifest.target


def _summary(pipeline: Pipeline, paths: int, examples: int) -> str:
    build = pipeline.config.build
    if pipeline.target.precision == "fp32":
        return (
            f"all {paths} paths equal torch on {examples} examples (largest difference allowed: "
            f"{build.tolerance:g} of the largest output)"
        )
    return (
        f"no path of {paths} loses more than {build.quantised_loss:g} of the "
        f"{pipeline.data.judged_by.measure} against torch on {examples} examples"
    )


def _candidates(
    pipeline: Pipeline, stages: FinishedStages, manifest: Manifest
) -> tuple[list[Candidate], Supernet]:
    """The paths of the engine with the statistics that they were built with, and their weights.

    Raises:
        VerificationError: the engine is of other weights, or of other paths.
    """
    from tipsc.pipeline.train import loaded
    from tipsc.search.candidates import load_candidates

    trained = pipeline.trained().key
    if manifest.provenance.get("trained") != trained:
        raise VerificationError(
            "this engine was not made from this configuration's weights",
            where=manifest.name,
            expected=f"trained {trained}",
            got=manifest.provenance.get("trained", "no word of its weights"),
            fix="verify it with the configuration that it was built from, or build it again",
        )
    # An engine that was built for a device names what was chosen, and trained, for that device.
    shipped = _first(stages, ("ship", "again"), manifest.provenance.get("shipped", ""))
    found = load_candidates(shipped or pipeline.shipped().folder, pipeline.untrained.space)
    candidates = {candidate.path.id: candidate for candidate in found}
    batches = pipeline.config.build.batches
    known = {name for path_id in candidates for name in entry_ids(path_id, batches)}
    missing = [path.id for path in manifest.paths if path.id not in known]
    if missing:
        raise VerificationError(
            "this configuration now chooses other paths than the engine has",
            where=manifest.name,
            got=f"path {missing[0]}, which is not among them",
            fix="build it again",
        )
    weights = _first(stages, ("narrow", "again"), manifest.provenance.get("weights", ""))
    supernet = pipeline.supernet if weights is None else loaded(pipeline, weights)
    there = [candidates[path.id] for path in manifest.paths if path.id in candidates]
    return there, supernet


def _first(stages: FinishedStages, names: tuple[str, ...], key: str) -> Path | None:
    return next(filter(None, (stages.kept(name, key) for name in names)), None)


def _table(differences: Mapping[str, Difference], names: Mapping[str, str]) -> Table:
    from tipsc.report.format import percent, tiny
    from tipsc.report.metric import metric_of
    from tipsc.report.notes import called
    from tipsc.report.tables import plain_table

    metric = metric_of(next(iter(differences.values())).quality)
    table = plain_table()
    table.add_column("path", no_wrap=True)
    for heading in ("difference", "same answer %", metric.heading, "lost"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, difference in differences.items():
        table.add_row(
            called(name, names),
            tiny(difference.largest),
            percent(difference.agreement),
            metric.figure(difference.quality),
            f"{difference.lost * (100 if metric.share else 1):+.2f}",
        )
    return table
