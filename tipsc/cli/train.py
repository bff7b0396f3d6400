"""tipsc train: the weights of the whole space, and of the paths that ship."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

from tipsc.cli.options import config_argument, target_option
from tipsc.cli.output import Output, verb

_FEWEST = 5  # the first three are not timed


@verb
@config_argument
@target_option
@click.option(
    "--rehearse",
    type=click.IntRange(min=_FEWEST),
    metavar="STEPS",
    help="Train nothing: take so many steps, and say how long all will take and what limits it.",
)
def command(output: Output, config: Path, target: str, rehearse: int | None) -> None:
    """Train the model of CONFIG, or go on with a training that was stopped.

    The paths that ship on the target are trained last. They are chosen by what they cost there, so
    that paths are measured and searched first, if that is missing.

    Works under torchrun as well: the processes share each batch, the first one measures, chooses,
    prints and writes.
    """
    if rehearse is not None:
        _rehearsed(output, config, rehearse)
        return
    from tipsc.cli.building import SharedStages, chosen_by_first, stage_document
    from tipsc.pipeline.build import Pipeline
    from tipsc.pipeline.record import history_of
    from tipsc.pipeline.stages import only_one_build
    from tipsc.pipeline.train import WEIGHTS
    from tipsc.report.format import duration, significant
    from tipsc.train.distributed import group, started
    from tipsc.train.learner import HISTORY_FILE

    first = started("RANK", 0) == 0
    if not first:
        output = Output(quiet=True)
    with output.reporter() as reporter, group() as processes:
        pipeline = Pipeline(config, target, reporter=reporter)
        pipeline.stages = SharedStages(pipeline.runs, processes)
        _ = pipeline.lessons.last  # refuses a training of no epochs
        with only_one_build(pipeline.runs) if first else nullcontext():
            pipeline.trained()
            if pipeline.lessons.narrow is not None:
                pipeline.told = chosen_by_first(pipeline, processes)
            stage = pipeline.weights()
    if not first:
        return
    losses = history_of(pipeline).losses
    weights = stage.folder / WEIGHTS
    output.result(
        {
            "weights": str(weights),
            "history": str(stage.folder / HISTORY_FILE),
            "stage": stage_document(stage),
            "steps": len(losses),
            "loss": {"first": losses[0], "last": losses[-1]},
        },
        f"{len(losses)} steps in {duration(stage.seconds)}, loss {significant(losses[0])} at the "
        f"first and {significant(losses[-1])} at the last",
        f"weights  {weights}",
    )


def _rehearsed(output: Output, config: Path, steps: int) -> None:
    from dataclasses import asdict

    from tipsc.errors import UsageError
    from tipsc.pipeline.context import Project
    from tipsc.pipeline.rehearse import rehearse
    from tipsc.report.format import duration, significant
    from tipsc.train.distributed import started

    if (processes := started("WORLD_SIZE", 1)) > 1:
        raise UsageError(
            "a rehearsal is of one process",
            where="--rehearse",
            got=f"{processes} of torchrun",
            fix="start it without torchrun; several processes share each batch",
        )

    with output.reporter() as reporter:
        project = Project(config, reporter=reporter)
        _ = project.lessons.last
        lessons = [part for part in (project.lessons.wide, project.lessons.narrow) if part]
        found = rehearse(project, lessons, steps, reporter.begin("rehearse"))
    bounds = {
        "data": f"the data: each step waits {duration(found.data_seconds)} for its batch",
        "host": f"the host, which draws paths for {duration(found.host_seconds)} a step and asks "
        "the device for what it computes",
        "device": f"what {found.device} can compute",
    }
    memory = "unknown memory" if found.peak_mib is None else f"{found.peak_mib:,.0f} MiB"
    output.result(
        {**asdict(found), "seconds": found.seconds},
        f"{significant(1 / found.seconds_a_step)} steps a second on {found.device}, in {memory}",
        f"the whole training: {found.steps:,} steps, {duration(found.seconds)}",
        f"limited by {bounds[found.bound]}",
    )
