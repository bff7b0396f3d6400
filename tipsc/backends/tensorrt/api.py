"""Which TensorRT is here, and what it can do: asked of its classes, never of its version.

Names come and go between TensorRT 8.6 and 11 (``STRIP_PLAN`` came with 10, ``EXPLICIT_BATCH`` went
with 11); a capability is there when its name is.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tipsc.errors import EngineDeviceError, MissingExtraError
from tipsc.extras import how_to_install

#: The device's own TensorRT first; tensorrt_rtx is the edition that pip can install anywhere.
MODULES = ("tensorrt", "tensorrt_rtx")


@dataclass(frozen=True)
class Capabilities:
    """What the names of a TensorRT module allow.

    Attributes:
        strongly_typed: the graph alone decides the precision.
        explicit_batch: the flag has to be given (8.6, 10), because the default is implicit batch.
        shared_weights: the parser takes initializers from memory (``load_initializer``).
        supports_model: the parser lists all nodes that it does not know, not only the first.
        strip_plan: plans without weights, refitted when they are opened.
        refit_identical: a stripped plan that is optimised for exactly these weights.
        user_managed_memory: contexts take activation memory from the caller by an allocation
            strategy (10 and later).
        without_device_memory: the same by the older method (8.6 and 10).
        execute_v3: ``execute_async_v3`` over named tensors.
        set_device_memory: contexts take activation memory with its size.
        memory_size_v2: plans tell their activation memory as ``device_memory_size_v2``.
        timing_cache: timings are kept between builds.
        precision_flags: fp16 and int8 have to be allowed by flags, unless the network is
            strongly typed.
        tf32: kernels may round fp32 to TF32 unless a flag is cleared.
        refit: a stripped plan takes its weights from the ONNX graph.
    """

    strongly_typed: bool
    explicit_batch: bool
    shared_weights: bool
    supports_model: bool
    strip_plan: bool
    refit_identical: bool
    user_managed_memory: bool
    without_device_memory: bool
    execute_v3: bool
    timing_cache: bool
    set_device_memory: bool
    memory_size_v2: bool
    precision_flags: bool
    tf32: bool
    refit: bool


#: capability to the dotted name, in the module, whose presence means it
NAMES = {
    "strongly_typed": "NetworkDefinitionCreationFlag.STRONGLY_TYPED",
    "explicit_batch": "NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
    "shared_weights": "OnnxParser.load_initializer",
    "supports_model": "OnnxParser.supports_model_v2",
    "strip_plan": "BuilderFlag.STRIP_PLAN",
    "refit_identical": "BuilderFlag.REFIT_IDENTICAL",
    "user_managed_memory": "ExecutionContextAllocationStrategy.USER_MANAGED",
    "without_device_memory": "ICudaEngine.create_execution_context_without_device_memory",
    "execute_v3": "IExecutionContext.execute_async_v3",
    "timing_cache": "IBuilderConfig.create_timing_cache",
    "set_device_memory": "IExecutionContext.set_device_memory",
    "memory_size_v2": "ICudaEngine.device_memory_size_v2",
    "precision_flags": "BuilderFlag.FP16",
    "tf32": "BuilderFlag.TF32",
    "refit": "OnnxParserRefitter.refit_from_file",
}


def probe(module: Any) -> Capabilities:
    """The capabilities of a TensorRT module."""
    return Capabilities(**{key: _has(module, name) for key, name in NAMES.items()})


def _has(module: Any, dotted: str) -> bool:
    found = module
    for part in dotted.split("."):
        found = getattr(found, part, None)
        if found is None:
            return False
    return True


def installed() -> str | None:
    """The name of the TensorRT module that is here, without importing it."""
    return next((name for name in MODULES if importlib.util.find_spec(name)), None)


def version_of(name: str) -> str:
    """The version of an installed module, without importing it; "unknown" if it does not tell."""
    try:
        return metadata.version("tensorrt" if name == "tensorrt" else "tensorrt-rtx-cu12")
    except metadata.PackageNotFoundError:  # a system's packages may come without metadata
        spec = importlib.util.find_spec(name)
    try:
        text = Path(spec.origin if spec and spec.origin else "").read_text(errors="replace")
    except OSError:
        return "unknown"
    found = re.search(r"^__version__ *= *[\"']([0-9][0-9.a-z]*)[\"']", text, re.MULTILINE)
    return found.group(1) if found else "unknown"


def load() -> Any:
    """The TensorRT module of this machine.

    Its libraries print on file descriptor 1 and can end the process: off the device, import it
    in a process of its own (:mod:`tipsc.backends.tensorrt.examine`).

    Raises:
        MissingExtraError: there is none.
        EngineDeviceError: it is there, and one of its libraries is not.
    """
    if name := installed():
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            raise EngineDeviceError(
                f"{name} is installed and cannot be loaded",
                got=error,
                fix="install the library that this names, of the version that it asks for",
            ) from error
        # Some operators are plugins of its own (InstanceNormalization in 8.6), known only then.
        if initialise := getattr(module, "init_libnvinfer_plugins", None):
            initialise(None, "")
        return module
    raise MissingExtraError(
        "the backend tensorrt needs TensorRT, which is not installed",
        fix="on a Jetson run: sudo apt-get install python3-libnvinfer; "
        f"elsewhere, to check graphs, {how_to_install('tensorrt-check')}",
    )
