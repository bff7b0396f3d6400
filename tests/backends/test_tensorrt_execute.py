"""How plans are run: how CUDA is called, and what paths share. No GPU: nothing of one is shown.

libcudart is NVIDIA's own where it must say that no device is here; where calls must succeed, it is
a stand-in of the same signatures, and so is what stands for TensorRT.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tipsc import engine
from tipsc.backends.tensorrt import cuda as cuda_module
from tipsc.backends.tensorrt.cuda import Cuda, Memory, candidates
from tipsc.backends.tensorrt.execute import make_executors
from tipsc.engine.plan import switch_names
from tipsc.errors import EngineDeviceError
from tipsc.signature import TensorSpec

SPECS = (TensorSpec("x", "float32", (1, 4), "N-"),), (TensorSpec("y", "float32", (1, 4), "N-"),)


def test_nvidias_runtime_says_that_no_device_is_here() -> None:
    real = [name for name in candidates() if "/" in name]
    if not real or any(Path("/dev").glob("nvidia*")):
        pytest.skip("nvidia-cuda-runtime-cu12 is not installed, or a GPU is here")
    with pytest.raises(EngineDeviceError, match=r"no CUDA device is here.*CUDA driver") as error:
        cuda_module.load()
    assert error.value.exit_code == 3


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler is here")
    file = tmp_path_factory.mktemp("cudart") / "libcudart.so"
    source = Path(__file__).with_name("stand_in_cudart.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", file, source], check=True)
    return ctypes.CDLL(str(file))


KINDS: dict[str | None, Any] = {
    "int32": ctypes.c_int32,
    "int64": ctypes.c_int64,
    None: ctypes.c_float,
}


class Context:
    """Computes y = factor * x, from and to the addresses that it was given.

    Of several factors it takes the first whose switch is true, or else the last.
    """

    def __init__(self, plan: Plan) -> None:
        self.factors, self.dtypes = plan.factors, plan.dtypes
        self.addresses: dict[str, int] = {}
        self.memory = (0, 0)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return name != "unknown"

    def set_device_memory(self, address: int, size: int) -> None:
        self.memory = (address, size)

    def execute_async_v3(self, stream: int) -> bool:
        if not stream or not self.memory[0]:
            return False
        arrays = {
            name: np.ctypeslib.as_array((KINDS[self.dtypes.get(name)] * 4).from_address(address))
            for name, address in self.addresses.items()
            if not name.startswith("runs")
        }
        true = [
            ctypes.c_bool.from_address(self.addresses[name]).value
            for name in switch_names(len(self.factors))
        ]
        factor = next((f for f, runs in zip(self.factors, true, strict=False) if runs), None)
        arrays["y"][:] = (self.factors[-1] if factor is None else factor) * arrays["x"]
        return True


class Plan:
    def __init__(self, content: bytes) -> None:
        self.factors = [float(part) for part in content.split(b",")]
        self.device_memory_size_v2 = int(100 * max(self.factors))
        self.contexts: list[Context] = []
        self.location = "device"
        self.dtypes: dict[str, str] = {}

    def get_tensor_location(self, name: str) -> str:
        return self.location

    def get_tensor_dtype(self, name: str) -> str:
        return self.dtypes.get(name, "float")

    def create_execution_context(self, strategy: str) -> Context:
        assert strategy == "user managed"
        self.contexts.append(Context(self))
        return self.contexts[-1]


def stand_in(location: str = "device", **dtypes: str) -> Any:
    """What stands for TensorRT 10: a plan is a number or several, and "bad" is refused."""
    plans: list[Plan] = []

    def deserialize(content: bytes) -> Plan | None:
        if content == b"bad":
            return None
        plans.append(Plan(content))
        plans[-1].location, plans[-1].dtypes = location, dtypes
        return plans[-1]

    class Logger:
        ERROR = 1

        def __init__(self, severity: int) -> None: ...

    class Runtime:
        def __init__(self, logger: Logger) -> None: ...

        deserialize_cuda_engine = staticmethod(deserialize)

    return SimpleNamespace(
        Logger=Logger,
        Runtime=Runtime,
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="user managed"),
        IExecutionContext=Context,
        ICudaEngine=SimpleNamespace(device_memory_size_v2=1),
        TensorLocation=SimpleNamespace(HOST="host"),
        DataType=SimpleNamespace(FLOAT="float", INT32="int32", INT64="int64"),
        plans=plans,
    )


def plan(content: str, *paths: str) -> engine.DevicePlan:
    return engine.DevicePlan(paths, content.encode())


@pytest.mark.parametrize("location", ["device", "host"])
def test_paths_that_share_a_plan_run_each_its_own_branch(
    library: ctypes.CDLL, location: str
) -> None:
    trt = stand_in(location)
    plans = [plan("2,3,5", "a", "b", "c"), plan("7", "d")]
    executors = make_executors(trt, Cuda(library), plans, *SPECS)
    x = np.arange(4, dtype=np.float32)[None]
    for name, factor in (("b", 3), ("a", 2), ("d", 7), ("c", 5), ("a", 2)):
        np.testing.assert_array_equal(executors[name].run([x])[0], factor * x)
    assert [len(loaded.contexts) for loaded in trt.plans] == [3, 1]
    for executor in executors.values():
        executor.close()
    assert library.live() == 0

    only = make_executors(trt, Cuda(library), plans[:1], *SPECS, path_ids=["b"])
    assert list(only) == ["b"]
    np.testing.assert_array_equal(only["b"].run([x])[0], 3 * x)
    only["b"].close()
    assert library.live() == 0


@pytest.mark.parametrize("inside", ["int32", "int64"])
def test_tokens_reach_the_plan_in_its_own_type(library: ctypes.CDLL, inside: str) -> None:
    """TensorRT before 10 has int32 where a model has int64."""
    specs = (TensorSpec("x", "int64", (1, 4), "NL"),), SPECS[1]
    executors = make_executors(stand_in(x=inside), Cuda(library), [plan("2", "a")], *specs)
    x = np.array([[3, 1, 4, 1]])
    np.testing.assert_array_equal(executors["a"].run([x])[0], 2 * x)
    executors["a"].close()
    assert library.live() == 0


def test_another_type_or_an_unknown_tensor_is_refused(library: ctypes.CDLL) -> None:
    with pytest.raises(EngineDeviceError, match=r"a, x: .*another type.*float32.*int32"):
        make_executors(stand_in(x="int32"), Cuda(library), [plan("2", "a")], *SPECS)
    unknown = (TensorSpec("unknown", "float32", (1, 4), "N-"),)
    with pytest.raises(EngineDeviceError, match="unknown: the plan does not take this tensor"):
        make_executors(stand_in(), Cuda(library), [plan("2", "a")], unknown, SPECS[1])
    assert library.live() == 0


def test_paths_share_a_stream_and_the_largest_activations(library: ctypes.CDLL) -> None:
    trt = stand_in()
    executors = make_executors(trt, Cuda(library), [plan("2", "a"), plan("3", "b")], *SPECS)
    memories = [context.memory for plan in trt.plans for context in plan.contexts]
    assert len(set(memories)) == 1
    assert memories[0][1] == 300
    assert memories[0][0] % cuda_module.ALIGNMENT == 0
    x = np.arange(4, dtype=np.float32)[None]
    for _ in range(2):
        np.testing.assert_array_equal(executors["a"].run([x])[0], 2 * x)
        np.testing.assert_array_equal(executors["b"].run([x[:, ::-1]])[0], 3 * x[:, ::-1])
    assert executors["a"].device_ms() >= 0
    executors["a"].close()
    executors["a"].close()
    np.testing.assert_array_equal(executors["b"].run([x])[0], 3 * x)
    with pytest.raises(EngineDeviceError, match="did not take the call"):
        executors["a"].run([x])
    executors["b"].close()
    assert library.live() == 0


def test_what_fails_on_the_way_gives_everything_back(library: ctypes.CDLL) -> None:
    with pytest.raises(EngineDeviceError, match=r"b: TensorRT refuses the plan.*tipsc finish"):
        make_executors(stand_in(), Cuda(library), [plan("2", "a"), plan("bad", "b")], *SPECS)
    with pytest.raises(EngineDeviceError, match="out of memory"):
        make_executors(stand_in(), Cuda(library), [plan("99999999", "a")], *SPECS)
    with pytest.raises(EngineDeviceError, match="did not take the call"):  # no activations at all
        make_executors(stand_in(), Cuda(library), [plan("0", "a")], *SPECS)
    assert library.live() == 0


def test_the_device_is_asked_what_it_is(library: ctypes.CDLL) -> None:
    found = Cuda(library)
    found.require_device()
    assert found.compute_capability() == "8.7"
    assert found.free_bytes() == 1 << 30
    memory = Memory(found, 0)
    assert memory.address == 0
    memory.close()
    assert library.live() == 0
