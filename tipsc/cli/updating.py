"""What tipsc build --like OLD --only PART says of its engine."""

from __future__ import annotations

from tipsc.cli.building import stage_document
from tipsc.cli.engines import path_document, paths_table
from tipsc.cli.output import Output
from tipsc.engine import Manifest
from tipsc.engine.delta import make_delta
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.like import Like
from tipsc.report.format import byte_size


def show_update(output: Output, pipeline: Pipeline, manifest: Manifest, like: Like) -> None:
    """An engine of which parts were trained again, and what is to be sent of it."""
    sent = len(make_delta(like.file, pipeline.output).to_bytes())
    size = pipeline.output.stat().st_size
    output.result(
        {
            "engine": str(pipeline.output),
            "name": manifest.name,
            "target": manifest.target,
            "like": str(like.file),
            "only": list(like.only),
            "delta_bytes": sent,
            "engine_bytes": size,
            "stages": [stage_document(stage) for stage in pipeline.stages.done],
            "paths": [path_document(path, manifest.names) for path in manifest.paths],
        },
        paths_table(manifest),
        f"engine   {pipeline.output}",
        f"delta    {byte_size(sent)} of {byte_size(size)} are to be sent to who has {like.file}",
    )
