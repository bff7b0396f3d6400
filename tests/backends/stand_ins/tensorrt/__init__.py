"""Stands for TensorRT 8.6 where no GPU is: a plan is an ONNX model, and ONNX Runtime runs it.

It has the names that the adapter uses of that version, takes addresses in host memory (of
``stand_in_cudart.c``), and refuses what is no plan. It shows that the adapter's code and
``benchmarks/gpu.py`` go from one end to the other, and nothing of what TensorRT does.
"""

from __future__ import annotations

import ctypes
import enum
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

__version__ = "8.6.0"
_MAGIC = b"stand-in plan\n"


class NetworkDefinitionCreationFlag(enum.IntEnum):
    EXPLICIT_BATCH = 0


class BuilderFlag(enum.Enum):
    FP16 = 0
    TF32 = 1


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class TensorLocation(enum.Enum):
    HOST = 0
    DEVICE = 1


class DataType(enum.Enum):
    FLOAT = "float"
    HALF = "float16"
    INT32 = "int32"
    INT64 = "int64"
    BOOL = "bool"


_KINDS = {
    "float": np.float32, "float16": np.float16, "int32": np.int32, "int64": np.int64, "bool": bool,
}  # fmt: skip


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR = 0
        ERROR = 1

    def log(self, severity: Any, message: str) -> None: ...


class Logger(ILogger):
    ERROR = ILogger.Severity.ERROR

    def __init__(self, severity: Any = None) -> None: ...


def init_libnvinfer_plugins(logger: Any, namespace: str) -> None: ...


class INetworkDefinition:
    model = b""


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self.network, self.num_errors = network, 0

    def get_error(self, index: int) -> Any: ...

    def parse_from_file(self, file: str) -> bool:
        self.network.model = onnx.load(file).SerializeToString()
        return Path(file).is_file()


class ITimingCache:
    def serialize(self) -> bytes:
        return b"timings"


class IBuilderConfig:
    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None: ...

    def set_flag(self, flag: BuilderFlag) -> None: ...

    def clear_flag(self, flag: BuilderFlag) -> None: ...

    def create_timing_cache(self, content: bytes) -> ITimingCache:
        return ITimingCache()

    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool:
        return True


class Builder:
    def __init__(self, logger: ILogger) -> None: ...

    def create_network(self, flags: int) -> INetworkDefinition:
        assert flags == 1, "implicit batch"
        return INetworkDefinition()

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def build_serialized_network(
        self, network: INetworkDefinition, config: IBuilderConfig
    ) -> bytes:
        return _MAGIC + network.model


class IExecutionContext:
    def __init__(self, engine: ICudaEngine) -> None:
        self.engine, self.device_memory = engine, 0
        self._addresses: dict[str, int] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return name in self.engine.tensors

    def execute_async_v3(self, stream: int) -> bool:
        if not stream or self._addresses.keys() != self.engine.tensors.keys():
            return False
        feeds = {one.name: self._at(one.name) for one in self.engine.session.get_inputs()}
        outputs = self.engine.session.get_outputs()
        for one, array in zip(outputs, self.engine.session.run(None, feeds), strict=True):
            self._at(one.name)[...] = array
        return True

    def _at(self, name: str) -> np.ndarray:
        kind, shape = self.engine.tensors[name]
        dtype = np.dtype(_KINDS[kind])
        size = int(np.prod(shape)) * dtype.itemsize
        memory = (ctypes.c_char * size).from_address(self._addresses[name])
        return np.frombuffer(memory, dtype).reshape(shape)


class ICudaEngine:
    device_memory_size = 4096

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(content, options)
        self.tensors = {
            one.name: (one.type.removeprefix("tensor(").removesuffix(")"), one.shape)
            for one in (*self.session.get_inputs(), *self.session.get_outputs())
        }

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation.DEVICE

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType(self.tensors[name][0])

    def create_execution_context(self) -> IExecutionContext:
        return IExecutionContext(self)

    def create_execution_context_without_device_memory(self) -> IExecutionContext:
        return IExecutionContext(self)


class Runtime:
    def __init__(self, logger: ILogger) -> None: ...

    def deserialize_cuda_engine(self, content: bytes) -> ICudaEngine | None:
        if not content.startswith(_MAGIC):
            return None
        try:
            return ICudaEngine(content[len(_MAGIC) :])
        except Exception:  # as TensorRT does: no engine, and a line in its log
            return None
