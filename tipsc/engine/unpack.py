"""Give the standard files of an engine back: nobody is locked in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tipsc.engine.atomic import write_atomically
from tipsc.engine.external import rewrite_external
from tipsc.engine.read import read_engine
from tipsc.engine.strict import dumps
from tipsc.errors import UsageError

WEIGHTS_FILE = "weights.bin"
TFLITE_FILE = "model.tflite"


def unpack(file: str | os.PathLike[str], folder: str | os.PathLike[str]) -> list[Path]:
    """Write the standard files and ``manifest.json``.

    Form onnx: ``<path id>.onnx`` for each path and ``weights.bin``; they load in plain ONNX
    Runtime. An engine that was finished on a device has ``<path id>.plan`` as well, or
    ``<id>+<id>.plan`` where paths share one (:mod:`tipsc.engine.plan`). Form tflite:
    ``model.tflite``, which plain LiteRT opens; a path is the signature of its id. All give the
    outputs of the engine.

    Returns:
        The files, in the manifest's order of paths, then the weights, then the manifest.

    Raises:
        UsageError, EngineError: as :func:`tipsc.engine.read_engine`.
        OSError: the folder cannot be written.
    """
    engine = read_engine(file)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / (TFLITE_FILE if engine.form == "tflite" else WEIGHTS_FILE)
    if weights.is_file() and weights.read_bytes() != b"".join(engine.weights_parts()):
        # Models of the two would be side by side, and some read the weights of the other.
        raise UsageError(
            "another engine was unpacked into this folder",
            where=str(folder),
            got=f"{weights.name} with other weights",
            fix="give an empty folder, or empty this one",
        )
    written = []

    def write(name: str, content: Iterable[bytes | memoryview]) -> None:
        write_atomically(folder / name, content)
        written.append(folder / name)

    if engine.form == "tflite":
        write(TFLITE_FILE, engine.weights_parts())
        write("manifest.json", [dumps(engine.manifest.to_json())])
        return written
    for path in engine.manifest.paths:
        graph = rewrite_external(
            engine.graph(path.id), lambda reference: replace(reference, location=WEIGHTS_FILE)
        )
        write(f"{path.id}.onnx", [graph])
    for plan in engine.plans:
        write(f"{plan.name}.plan", [plan.content])
    write(WEIGHTS_FILE, engine.weights_parts())
    write("manifest.json", [dumps(engine.manifest.to_json())])
    return written
