"""How large the values inside a path get on data."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from tipsc.engine.format import WEIGHTS_LOCATION
from tipsc.errors import LoweringError, MissingExtraError
from tipsc.filled import filled
from tipsc.lower.lower import Lowered

#: training images that ranges of activations are taken from; more change them little
CALIBRATION_IMAGES = 256


def ranges_of(
    lowered: Lowered, path: str, names: Sequence[str], inputs: Sequence[np.ndarray]
) -> dict[str, float]:
    """The largest absolute value that each of these values of a path has on some inputs.

    Args:
        names: of values in the path's graph.
        inputs: (N, ...) each, in the order of the signature.

    Raises:
        LoweringError: a value is not finite.
        MissingExtraError: onnxruntime is not installed.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise MissingExtraError.of("onnxruntime", None, "int8 calibration") from error
    model, size = onnx.load_from_string(lowered.graphs[path]), lowered.batches.get(path, 1)
    given = [spec.name for spec in lowered.signature.inputs]
    known = {value.name for value in model.graph.input}
    largest = dict.fromkeys(names, 0.0)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
        (Path(folder) / WEIGHTS_LOCATION).write_bytes(lowered.weights)
        file = Path(folder) / "path.onnx"
        inner = [name for name in names if name not in known]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
        file.write_bytes(model.SerializeToString())
        session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        outputs = [output.name for output in session.get_outputs()]
        for batch in filled(inputs, size):
            feed = dict(zip(given, batch, strict=True))
            values = dict(zip(outputs, session.run(outputs, feed), strict=True)) | feed
            for name in names:
                largest[name] = float(np.maximum(largest[name], np.abs(values[name]).max()))
    for name, value in largest.items():
        if not math.isfinite(value):
            raise LoweringError(
                "a value inside the path is not finite on the calibration images",
                where=f"path {path}, {name}",
                got=f"{value}",
                fix="look for it in the data, or build in fp32",
            )
    return largest
