"""tipsc train: the weights of the whole space, and of the paths that ship."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from tipsc.cli.options import config_argument, target_option
from tipsc.cli.output import Output, verb


@verb
@config_argument
@target_option
def command(output: Output, config: Path, target: str) -> None:
    """Train the model of CONFIG, or go on with a training that was stopped.

    The paths that ship on the target are trained last. They are chosen by what they cost there, so
    that paths are measured and searched first, if that is missing.

    Works under torchrun as well: each process draws its own paths and has its own part of the
    data, the first one measures, chooses, prints and writes.
    """
    from tipsc.cli.building import SharedStages, chosen_by_first, stage_document
    from tipsc.pipeline.build import Pipeline
    from tipsc.pipeline.record import history_of
    from tipsc.pipeline.stages import only_one_build
    from tipsc.pipeline.train import WEIGHTS
    from tipsc.report.format import duration, significant
    from tipsc.train.distributed import group, started
    from tipsc.train.loop import HISTORY_FILE

    first = started("RANK", 0) == 0
    if not first:
        output = Output(quiet=True)
    with output.reporter() as reporter, group() as processes:
        pipeline = Pipeline(config, target, reporter=reporter)
        pipeline.stages = SharedStages(pipeline.runs, processes)
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
