"""Running plans: one stream, one activation buffer, one warmed context for each path.

Calls of all paths of an engine follow one after the other in its stream, so that their contexts
can share one activation buffer as large as the largest needs. Paths that share a plan have a
context each, whose switches point to a true or a false for good: a call sets nothing. Unverified
on hardware.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from tipsc.backends.tensorrt.api import Capabilities, probe
from tipsc.backends.tensorrt.cuda import Cuda, CudaStream, Event, Memory
from tipsc.engine.plan import DevicePlan, switches
from tipsc.errors import EngineDeviceError
from tipsc.signature import TensorSpec

#: numpy's names of types to TensorRT's
_TYPES: Mapping[str, str] = {
    "float32": "FLOAT", "float16": "HALF", "int32": "INT32", "int64": "INT64", "bool": "BOOL",
    "int8": "INT8", "uint8": "UINT8",
}  # fmt: skip
_AGAIN = "run tipsc finish again: plans fit one version and one kind of device"
#: gives a loaded plan (its paths, ICudaEngine) its weights
Refit = Callable[[tuple[str, ...], Any], None]


@dataclass(frozen=True)
class Choices:
    """How a TensorRT module runs plans; see :func:`choose`.

    Attributes:
        context: ``user_managed`` (an allocation strategy), ``without_memory`` (the older method)
            or ``own`` (each context has its own activations: more memory, same results).
        memory: ``set_device_memory`` with a size, or the ``device_memory`` attribute.
        size: the attribute that says how much activation memory a plan needs.
    """

    context: str
    memory: str
    size: str


def choose(capabilities: Capabilities) -> Choices:
    """The newest way that is there.

    Raises:
        EngineDeviceError: too old to run plans by the names of their tensors.
    """
    if not capabilities.execute_v3:
        raise EngineDeviceError("this TensorRT is too old", expected="8.5 or newer")
    if capabilities.user_managed_memory:
        context = "user_managed"
    else:
        context = "without_memory" if capabilities.without_device_memory else "own"
    return Choices(
        context,
        "set_device_memory" if capabilities.set_device_memory else "device_memory",
        "device_memory_size_v2" if capabilities.memory_size_v2 else "device_memory_size",
    )


class Shared:
    """What the paths of an engine share on the device: stream, activations, inputs, outputs."""

    def __init__(
        self,
        cuda: Cuda,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
        keep: Any = None,
    ) -> None:
        self._keep = keep  # what TensorRT's objects refer to without owning it
        self.cuda, self.inputs, self.outputs = cuda, tuple(inputs), tuple(outputs)
        #: element types in the plans; before TensorRT 10, int64 is int32 there
        self.dtypes = {spec.name: np.dtype(spec.dtype) for spec in (*inputs, *outputs)}
        self.lock = threading.Lock()
        self.users = 0
        self.stream = CudaStream(cuda)
        self.tensors = {spec.name: Memory(cuda, _bytes(spec)) for spec in (*inputs, *outputs)}
        self.activations = Memory(cuda, 0)
        self._flags: dict[bool, tuple[np.ndarray, Memory]] = {}

    def flag(self, value: bool, *, on_host: bool) -> int:
        """The address of a boolean that stays what it is."""
        if value not in self._flags:
            array = np.array([value])
            self._flags[value] = (array, Memory(self.cuda, array.nbytes))
            self.stream.to_device(self._flags[value][1], array)
            self.stream.synchronise()
        array, memory = self._flags[value]
        return int(array.ctypes.data) if on_host else memory.address

    def release(self) -> None:
        """One user less; the last one gives all back."""
        self.users -= 1
        if self.users == 0:
            self.close()

    def close(self) -> None:
        """Gives all back, also after a failure: then it is that which is to be told."""
        flags = (memory for _, memory in self._flags.values())
        held: tuple[Memory | CudaStream, ...] = (
            self.activations,
            *self.tensors.values(),
            *flags,
            self.stream,
        )
        for thing in held:
            with suppress(EngineDeviceError):
                thing.close()


class PlanExecutor:
    """One path as an execution context; see :class:`tipsc.backends.Executor`."""

    def __init__(self, shared: Shared, plan: Any, context: Any, batch: int | None = None) -> None:
        self._shared = shared
        specs = (shared.inputs, shared.outputs)
        self.inputs, self.outputs = (
            part if batch is None else tuple(spec.with_batch(batch) for spec in part)
            for part in specs
        )
        self._plan: Any = plan  # must outlive its context
        self._context: Any = context
        shared.users += 1
        for name, memory in shared.tensors.items():
            bind(context, name, memory.address)

    def run(self, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
        shared = self._shared
        arrays = [
            np.ascontiguousarray(feed, shared.dtypes[spec.name])
            for spec, feed in zip(self.inputs, feeds, strict=True)
        ]
        outputs = [np.empty(spec.shape, shared.dtypes[spec.name]) for spec in self.outputs]
        with shared.lock:
            for spec, array in zip(self.inputs, arrays, strict=True):
                shared.stream.to_device(shared.tensors[spec.name], array)
            self._enqueue()
            for spec, array in zip(self.outputs, outputs, strict=True):
                shared.stream.to_host(array, shared.tensors[spec.name])
            shared.stream.synchronise()
        return [
            array.astype(spec.dtype, copy=False)
            for spec, array in zip(self.outputs, outputs, strict=True)
        ]

    def device_ms(self) -> float:
        """Milliseconds of one run by the device's own clock, without copies.

        The run is waited for before the next: enqueueing ahead would hide what an application
        waits for.
        """
        shared = self._shared
        with shared.lock:
            begin, end = Event(shared.cuda), Event(shared.cuda)
            try:
                begin.record(shared.stream)
                self._enqueue()
                end.record(shared.stream)
                return end.milliseconds_since(begin)
            finally:
                with suppress(EngineDeviceError):
                    begin.close()
                    end.close()

    def _enqueue(self) -> None:
        if self._context is None or not self._context.execute_async_v3(self._shared.stream.handle):
            raise EngineDeviceError("TensorRT did not take the call; its log says why")

    def close(self) -> None:
        with self._shared.lock:
            if self._context is not None:
                self._context = self._plan = None
                self._shared.release()


def make_executors(
    trt: Any,
    cuda: Cuda,
    plans: Sequence[DevicePlan],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    refit: Refit | None = None,
    path_ids: Collection[str] | None = None,
    batches: Mapping[str, int] | None = None,
) -> dict[str, PlanExecutor]:
    """A warmed executor for each path of the plans, or each of `path_ids`.

    Args:
        plans: at least one.
        inputs, outputs: of the path that takes most examples at once.
        refit: gives a plan that was stripped its weights.
        batches: by path id, how many examples it takes; None: all as many.

    Raises:
        EngineDeviceError: TensorRT refuses a plan.
    """
    choices = choose(probe(trt))
    logger = trt.Logger(trt.Logger.ERROR)
    runtime = trt.Runtime(logger)
    loaded = [(plan.paths, _load(runtime, plan)) for plan in plans]
    for paths, plan in loaded:
        if refit is not None:
            refit(paths, plan)
    shared, executors = Shared(cuda, inputs, outputs, keep=(logger, runtime)), {}
    try:
        if choices.context != "own":
            most = max(int(getattr(plan, choices.size)) for _, plan in loaded)
            shared.activations = Memory(cuda, most)
        for paths, plan in loaded:
            _take_types(trt, plan, shared, "+".join(paths))
            for place, name in enumerate(paths):
                if path_ids is not None and name not in path_ids:
                    continue
                context = _context(trt, plan, choices, shared.activations)
                if context is None:
                    raise EngineDeviceError("TensorRT gives no context for a path", where=name)
                size = None if batches is None else batches[name]
                executors[name] = PlanExecutor(shared, plan, context, size)
                for switch, value in switches(place, len(paths)).items():
                    on_host = plan.get_tensor_location(switch) == trt.TensorLocation.HOST
                    bind(context, switch, shared.flag(value, on_host=on_host))
        for executor in executors.values():
            zeros = [np.zeros(spec.shape, spec.dtype) for spec in executor.inputs]
            executor.run(zeros)  # the first call of a context allocates and tunes
    except BaseException:
        shared.close()
        raise
    return executors


def bind(context: Any, name: str, address: int) -> None:
    """Says where a tensor is.

    Raises:
        EngineDeviceError: the plan has no such tensor.
    """
    if not context.set_tensor_address(name, address):
        raise EngineDeviceError("the plan does not take this tensor", where=name, fix=_AGAIN)


def _take_types(trt: Any, plan: Any, shared: Shared, where: str) -> None:
    """Follows a plan that has int32 where the engine says int64, and refuses other differences."""
    narrow = (trt.DataType.INT32, np.dtype("int64"))
    for spec in (*shared.inputs, *shared.outputs):
        found, stated = plan.get_tensor_dtype(spec.name), np.dtype(spec.dtype)
        if (found, stated) == narrow:
            shared.dtypes[spec.name] = np.dtype("int32")
        elif found != getattr(trt.DataType, _TYPES.get(stated.name, ""), None):
            raise EngineDeviceError(
                "a tensor has another type in the plan than in the engine",
                where=f"{where}, {spec.name}",
                expected=stated.name,
                got=found,
                fix=_AGAIN,
            )


def _load(runtime: Any, plan: DevicePlan) -> Any:
    loaded = runtime.deserialize_cuda_engine(bytes(plan.content))
    if loaded is None:
        raise EngineDeviceError(
            "TensorRT refuses the plan of a path",
            where=plan.name,
            fix=_AGAIN,
        )
    return loaded


def _context(trt: Any, plan: Any, choices: Choices, activations: Memory) -> Any:
    if choices.context == "own":
        return plan.create_execution_context()
    if choices.context == "user_managed":
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = plan.create_execution_context(strategy)
    else:
        context = plan.create_execution_context_without_device_memory()
    if context is not None and activations.size:
        if choices.memory == "set_device_memory":
            context.set_device_memory(activations.address, activations.size)
        else:
            context.device_memory = activations.address
    return context


def _bytes(spec: TensorSpec) -> int:
    return int(np.prod(spec.shape, dtype=np.int64)) * np.dtype(spec.dtype).itemsize
