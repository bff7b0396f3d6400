"""Stripped plans: weights put back from the engine's own graphs when it is opened.

Saves file and transfer, not memory. Unverified on hardware.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tipsc.engine.format import WEIGHTS_LOCATION
from tipsc.engine.read import EngineFile
from tipsc.errors import EngineDeviceError


def refit_plan(trt: Any, engine: EngineFile, paths: tuple[str, ...], plan: Any) -> None:
    """Gives a loaded plan the weights of its path; paths that share a plan are never stripped.

    Raises:
        EngineDeviceError: TensorRT does not take them.
    """
    (path_id,) = paths
    logger = trt.Logger(trt.Logger.ERROR)
    refitter = trt.Refitter(plan, logger)
    parser = trt.OnnxParserRefitter(refitter, logger)
    with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
        file = Path(folder) / "path.onnx"
        file.write_bytes(engine.graph(path_id))
        (Path(folder) / WEIGHTS_LOCATION).write_bytes(engine.weights)
        if not (parser.refit_from_file(str(file)) and refitter.refit_cuda_engine()):
            raise EngineDeviceError(
                "TensorRT does not take the weights of a stripped plan",
                where=path_id,
                fix="run tipsc finish again without --strip",
            )
