"""Whether packed weights that are shared change what a path computes.

XNNPACK's weight cache tells weights apart by where they lie, and has given the weights of another
operation without a word. So every path is run as it ships with no cache; and in the form that
``open`` gives it, with a cache in memory and with the file that applications will use.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tipsc.backends.litert import IN_MEMORY, MODEL, in_order, open_model, plain
from tipsc.engine.read import EngineFile
from tipsc.errors import VerificationError
from tipsc.filled import filled


def check_caches(engine: EngineFile, inputs: Sequence[np.ndarray], threads: int) -> None:
    """Raises VerificationError for the first path with other outputs; see the table's entry."""
    with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
        shipped, opened = Path(folder) / "shipped.tflite", Path(folder) / MODEL
        shipped.write_bytes(engine.weights)
        opened.write_bytes(plain(engine.weights))
        packed = str(Path(folder) / "packed")
        # The file is written by the first program and read by the second.
        caches = {"in memory": IN_MEMORY, "new file": packed, "file": packed}
        programs = {"none": open_model(shipped, threads=threads)}
        for name, cache in caches.items():
            programs[name] = open_model(opened, threads=threads, weight_cache=cache)
        orders = [spec.channels_last for spec in engine.manifest.signature.inputs]
        for path in engine.manifest.paths:
            examples = [
                [in_order(array, axes) for array, axes in zip(arrays, orders, strict=True)]
                for arrays in filled(inputs, path.batch)
            ]
            outputs = {}
            for name, program in programs.items():
                run = program.runner(path.id)
                outputs[name] = np.concatenate([y.ravel() for x in examples for y in run(x)])
            for name, output in outputs.items():
                if not np.array_equal(output, outputs["none"]):
                    raise VerificationError(
                        "the path computes something else with a weight cache than without",
                        where=f"path {path.id}, cache {name}",
                        got=f"a difference of {np.abs(output - outputs['none']).max():.3g}",
                        fix="do not ship this engine; report it with its versions",
                    )
