"""A path graph to a TensorRT plan: parse, configure, build."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tipsc.backends.tensorrt.api import Capabilities, probe
from tipsc.engine.external import external_initializers, opset_of
from tipsc.engine.format import WEIGHTS_LOCATION
from tipsc.errors import EngineDeviceError

#: of the memory that is free, what tactics may take while building
WORKSPACE_SHARE = 0.25
_MOST_WORKSPACE = 1 << 30
#: precision of a graph to the flags that allow it where networks have no types of their own;
#: such a TensorRT takes no int8 weights as our graphs have them
FLAGS: Mapping[str, tuple[str, ...]] = {"fp32": (), "fp16": ("FP16",)}
#: what such a TensorRT reads; of a later opset it would pass over the axes of reductions
_OLD_OPSET = 17


@dataclass(frozen=True)
class Unsupported:
    """A node that the parser does not take.

    Attributes:
        node: its name in the path graph, which is the layer's.
        operator: its ONNX operator.
        reason: in TensorRT's words.
    """

    node: str
    operator: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.node or 'unnamed node'} ({self.operator or 'unknown operator'}): {self.reason}"
        )


class UnsupportedGraph(EngineDeviceError):
    """TensorRT's parser refuses a path; `nodes` has every node that it refuses."""

    def __init__(self, path_id: str, nodes: tuple[Unsupported, ...]) -> None:
        self.path_id, self.nodes = path_id, nodes
        super().__init__(
            f"TensorRT does not take {len(nodes)} of its nodes: " + "; ".join(map(str, nodes)),
            where=f"path {path_id}",
        )

    def __reduce__(self) -> tuple[type[UnsupportedGraph], tuple[str, tuple[Unsupported, ...]]]:
        return type(self), (self.path_id, self.nodes)


class PlanBuilder:
    """Builds plans of paths over one weight store.

    Args:
        trt: the TensorRT module.
        weights: the weight store; not copied where the parser takes initializers from memory.
        timing_cache: what :meth:`timings` gave before, on the same device and version.
        strip: leave the weights out of plans, where the version can.
        precision: what the graphs compute in; a key of :data:`FLAGS`.

    Raises:
        EngineDeviceError: TensorRT's builder does not start, as those do not that need a GPU.
    """

    def __init__(
        self,
        trt: Any,
        weights: memoryview,
        *,
        timing_cache: bytes = b"",
        strip: bool = False,
        precision: str = "fp32",
    ) -> None:
        self._precision = precision
        self._trt = trt
        self.capabilities: Capabilities = probe(trt)
        self._weights = weights
        self._logger = _logger(trt)
        try:
            self._builder = trt.Builder(self._logger)
        except TypeError as error:  # how the bindings say that it gave nothing
            raise EngineDeviceError(
                f"the builder of {trt.__name__} {trt.__version__} does not start",
                got=self._logger.errors[-1] if self._logger.errors else error,
                fix="it needs a GPU with a driver that fits: run this on the device",
            ) from error
        self._timing_bytes = timing_cache
        self._timings: Any = None
        #: whether plans have no weights: asked for, and the version can strip and refit
        self.stripped = strip and self.capabilities.strip_plan and self.capabilities.refit

    @property
    def module(self) -> Any:
        """The TensorRT module."""
        return self._trt

    def build(self, path_id: str, graph: bytes) -> bytes:
        """The plan of one path.

        Raises:
            UnsupportedGraph: names all nodes that the parser refuses.
            EngineDeviceError: the builder found no implementation, or this TensorRT is too old.
        """
        self._check_age(path_id, graph)
        # The network must outlive its parser: TensorRT reads freed memory otherwise.
        network = self._builder.create_network(self._network_flags())
        parser = self._trt.OnnxParser(network, self._logger)
        keep = self._parse(parser, path_id, graph)
        plan = self._builder.build_serialized_network(network, self._config())
        del parser, keep
        if plan is None:
            raise EngineDeviceError(
                "TensorRT's builder gave no plan",
                where=f"path {path_id}",
                got=self._logger.errors[-1] if self._logger.errors else None,
                fix="leave --strip out" if self.stripped else None,
            )
        return bytes(plan)

    def _check_age(self, path_id: str, graph: bytes) -> None:
        """Refuses what a TensorRT without types in its networks (8.6) would get wrong."""
        if self.capabilities.strongly_typed:
            return
        problem, opset = "", opset_of(graph)
        if opset > _OLD_OPSET:
            problem = f"a graph in ONNX opset {opset}: it reads {_OLD_OPSET} at most"
        elif self._precision not in FLAGS:
            problem = f"weights in {self._precision}"
        if problem:
            raise EngineDeviceError(
                "this TensorRT is too old for the path",
                where=f"path {path_id}",
                expected="TensorRT 10 or newer",
                got=problem,
                fix="update JetPack, or build for a target in fp32 or fp16",
            )

    def timings(self) -> bytes:
        """The timing cache after the builds so far; empty where the version has none."""
        return bytes(self._timings.serialize()) if self._timings is not None else b""

    def _network_flags(self) -> int:
        flags, names = 0, self._trt.NetworkDefinitionCreationFlag
        if self.capabilities.explicit_batch:
            flags |= 1 << int(names.EXPLICIT_BATCH)
        if self.capabilities.strongly_typed:
            flags |= 1 << int(names.STRONGLY_TYPED)
        return flags

    def _parse(self, parser: Any, path_id: str, graph: bytes) -> Any:
        """Returns what must live until the plan is built."""
        if self.capabilities.shared_weights:
            return self._parse_with_shared_weights(parser, path_id, graph)
        # Older parsers read external data from files beside the graph.
        with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
            file = Path(folder) / "path.onnx"
            file.write_bytes(graph)
            (Path(folder) / WEIGHTS_LOCATION).write_bytes(self._weights)
            if not parser.parse_from_file(str(file)):
                raise UnsupportedGraph(path_id, _errors(parser))
        return None

    def _parse_with_shared_weights(self, parser: Any, path_id: str, graph: bytes) -> Any:
        store = np.frombuffer(self._weights, np.uint8)
        if not parser.load_model_proto(graph):
            raise UnsupportedGraph(path_id, _errors(parser))
        base = store.ctypes.data
        for tensor in external_initializers(graph):
            if not parser.load_initializer(
                tensor.name, base + tensor.data.offset, tensor.data.length
            ):
                raise UnsupportedGraph(path_id, _errors(parser))
        if not parser.parse_model_proto():
            raise UnsupportedGraph(path_id, _errors(parser))
        return store

    def _config(self) -> Any:
        trt = self._trt
        config = self._builder.create_builder_config()
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes())
        if self.capabilities.tf32:  # what is called fp32 computes in fp32
            config.clear_flag(trt.BuilderFlag.TF32)
        if self.capabilities.precision_flags and not self.capabilities.strongly_typed:
            # The graph says where; without types in the network the builder has to be allowed.
            for flag in FLAGS[self._precision]:
                config.set_flag(getattr(trt.BuilderFlag, flag))
        if self.stripped:
            config.set_flag(trt.BuilderFlag.STRIP_PLAN)
            if self.capabilities.refit_identical:
                config.set_flag(trt.BuilderFlag.REFIT_IDENTICAL)
        if self.capabilities.timing_cache and trt.__name__ == "tensorrt":
            # tensorrt_rtx chooses kernels when it runs: it has nothing to time while it builds.
            if self._timings is None:  # None again for bytes that it does not take
                self._timings = config.create_timing_cache(self._timing_bytes)
                self._timings = self._timings or config.create_timing_cache(b"")
            config.set_timing_cache(self._timings, ignore_mismatch=False)
        return config


def workspace_bytes() -> int:
    """What a build may take of the memory that is free now, in bytes.

    On a Jetson the processor and the GPU share it. ``MemAvailable`` of /proc/meminfo, in kB.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return _MOST_WORKSPACE // 4
    return min(int(free * 1024 * WORKSPACE_SHARE), _MOST_WORKSPACE)


def _logger(trt: Any) -> Any:
    """Keeps what TensorRT says of errors: where it gives no plan, that is all it says."""

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            kinds = trt.ILogger.Severity
            if severity in (kinds.INTERNAL_ERROR, kinds.ERROR):
                self.errors = [*self.errors[-9:], " ".join(message.split())]

    return Logger()


def _errors(parser: Any) -> tuple[Unsupported, ...]:
    found = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        node, operator = (
            str(getattr(error, name, lambda: "")()) for name in ("node_name", "node_operator")
        )
        found.append(Unsupported(node, operator, " ".join(str(error.desc()).split())))
    return tuple(dict.fromkeys(found)) or (Unsupported("", "", "no reason given"),)
