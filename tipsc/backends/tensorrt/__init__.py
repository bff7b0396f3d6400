"""TensorRT on NVIDIA devices: one plan a path, built on the device itself.

An engine for this backend carries portable graphs and weights; plans can be made from them on the
device only, by its own TensorRT. Here is what can be done without one: every path is parsed and
built (:mod:`tipsc.backends.tensorrt.examine`). Nothing of it is verified on hardware.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from tipsc.backends.tensorrt import api
from tipsc.engine.read import EngineFile
from tipsc.errors import EngineDeviceError, MissingExtraError

__all__ = ["check", "open"]


def check() -> Mapping[str, str]:
    """The TensorRT of this machine, found without loading its libraries.

    Raises:
        MissingExtraError: there is none.
    """
    from importlib import metadata

    name = api.installed()
    if name is None:
        raise MissingExtraError(
            "the backend tensorrt needs TensorRT, which is not installed",
            fix="on a Jetson run: sudo apt-get install python3-libnvinfer",
        )
    try:
        version = metadata.version("tensorrt" if name == "tensorrt" else "tensorrt-rtx-cu12")
    except metadata.PackageNotFoundError:  # Debian's packages of it have no metadata
        version = "unknown"
    return {"tensorrt": version, "module": name}


def open(
    engine: EngineFile,
    *,
    path_ids: Collection[str] | None = None,
    threads: int = 1,
    cache_dir: Path | None = None,
) -> Mapping[str, object]:
    """Refuses, saying what to do: plans for TensorRT are built on the device.

    Raises:
        EngineDeviceError: always, in this version.
    """
    target = engine.manifest.target
    file = engine.file.name if engine.file else "ENGINE"
    raise EngineDeviceError(
        f"this engine is unbuilt: its TensorRT plans are made on a {target}, and running them "
        "is not in this version",
        where=file,
        got=api.installed() or "no TensorRT here",
        fix=f"run 'tipsc unpack {file}' for its ONNX graphs, which ONNX Runtime runs anywhere",
    )
