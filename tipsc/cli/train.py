"""tipsc train: the supernet's weights."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from tipsc.cli.options import config_argument
from tipsc.cli.output import Output, verb


@verb
@config_argument
def command(output: Output, config: Path) -> None:
    """Train the supernet of CONFIG, or go on with a training that was stopped.

    Works under torchrun as well: each process draws its own paths and has its own part of the
    data, the first one prints and writes.
    """
    import torch

    from tipsc.cli.building import SharedStages, stage_document
    from tipsc.pipeline.build import Training
    from tipsc.pipeline.stages import only_one_build
    from tipsc.pipeline.train import WEIGHTS
    from tipsc.report.format import duration, significant
    from tipsc.train import History
    from tipsc.train.distributed import group, started
    from tipsc.train.loop import HISTORY_FILE

    first = started("RANK", 0) == 0
    if not first:
        output = Output(quiet=True)
    with output.reporter() as reporter, group(torch.device("cpu")) as processes:
        pipeline = Training(config, reporter=reporter)
        pipeline.stages = SharedStages(pipeline.runs, processes)
        with only_one_build(pipeline.runs) if first else nullcontext():
            stage = pipeline.trained()
    if not first:
        return
    losses = History.read(stage.folder / HISTORY_FILE).losses
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
