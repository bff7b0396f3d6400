"""Engines of TensorRT in C: what libtipsc asks of TensorRT and CUDA, and what it refuses.

What stands for both runs a plan by a trivial rule in host memory; NVIDIA's own library is asked as
far as it answers without a GPU. No plan was run on a GPU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from building import EMBED, TENSORRT, built, missing_tools, run, with_tensorrt
from engines import WIDTH
from library import CError, Library, runtime_of_package
from stand_in_tensorrt import BUILT, TYPES, WEIGHTS, finished, plan

from tipsc.backends.tensorrt import check_built
from tipsc.engine import DevicePlan, read_engine
from tipsc.errors import EngineDeviceError
from tipsc.signature import Signature, TensorSpec

#: what a path does with its engine file; its exit code, what it wrote, and what it said
Run = Callable[..., subprocess.CompletedProcess[bytes]]
X = np.random.default_rng(1).standard_normal((4, 8)).astype(np.float32)
N = np.arange(3, 7, dtype=np.int64)
SLOW = pytest.mark.skipif(not os.environ.get("TIPSC_SLOW"), reason="TIPSC_SLOW=1 runs it")

if shutil.which("c++") is None:
    pytest.skip("no C++ compiler", allow_module_level=True)


@pytest.fixture
def paths(programs: Path, nvinfer: Path, tmp_path: Path) -> Run:
    """In a process of its own, which may not find the CUDA of another test; 7: it left memory."""

    def run_paths(engine: Path, *ids: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
        inputs = more.pop("inputs", X[:1].tobytes() + N[:1].tobytes())
        (tmp_path / "inputs").write_bytes(inputs)
        command = [programs / "paths", engine, more.pop("runtime", nvinfer), tmp_path / "inputs"]
        environment = {**os.environ, "TMPDIR": str(tmp_path), **more}
        return subprocess.run([*command, *ids], capture_output=True, env=environment)

    return run_paths


def outputs(x: np.ndarray, factor: float) -> bytes:
    """Of a path, by the rule of what stands for TensorRT: float64, rounded once."""
    one = factor * np.resize(x.astype(np.float64), (len(x), WIDTH))
    return b"".join(
        (
            one.astype(np.float32).tobytes(),
            (one + 1).astype(bool).tobytes(),
            np.float32(factor * np.float64(x.flat[0]) + 2).tobytes(),
        )
    )


def said(done: subprocess.CompletedProcess[bytes]) -> str:
    """Why an engine was refused."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    return done.stderr.decode()


@pytest.mark.parametrize("place", ["device", "host"])
def test_each_path_runs_its_own_branch_in_one_memory(
    paths: Run, place: str, tmp_path: Path
) -> None:
    """The largest plan's memory is that of all; each path runs twice, with others between."""
    plans = [
        plan("a", factors=[2], memory=64),
        plan("d", "b", "c", factors=[3, 5, 7], place=place, memory=70_000),
    ]
    engine = finished(tmp_path / "a.tipsc", plans)
    done = paths(engine)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"".join(outputs(X[:1], factor) for factor in (2, 3, 5, 7))
    only = paths(engine, "c", "a")  # of a plan that others share, and in the engine's order
    assert only.stdout == outputs(X[:1], 2) + outputs(X[:1], 7)


def test_paths_for_more_examples_use_the_same_memory(paths: Run, tmp_path: Path) -> None:
    plans = [plan("a", factors=[2]), plan("b", factors=[3], batch=4)]
    engine = finished(tmp_path / "a.tipsc", plans, batches={"b": 4})
    one, four = paths(engine, "a"), paths(engine, "b", inputs=X.tobytes() + N.tobytes())
    assert (one.stdout, four.stdout) == (outputs(X[:1], 2), outputs(X, 3))
    both = paths(
        engine, inputs=X.tobytes() + N.tobytes()
    )  # the first takes one row, and 4 bytes of N
    assert both.stdout == outputs(X[:1], 2) + outputs(X, 3)


@pytest.mark.parametrize("inside", ["kINT32", "kINT64"])
def test_tokens_reach_the_plan_in_its_own_type(paths: Run, inside: str, tmp_path: Path) -> None:
    """TensorRT before 10 has int32 where a model has int64."""
    signature = Signature.plain(
        [TensorSpec("n", "int64", (1, 4), "NL")], [TensorSpec("next", "int64", (1, 4), "NL")]
    )
    plans = [plan("a", factors=[-2], types={"int64": inside}, signature=signature)]
    engine = finished(tmp_path / "a.tipsc", plans, signature=signature)
    done = paths(engine, inputs=N.tobytes())
    assert done.returncode == 0, done.stderr
    assert done.stdout == (-2 * N).tobytes()


def test_a_stripped_plan_gets_the_weights_of_the_engine(paths: Run, tmp_path: Path) -> None:
    """The graph is checked first, and the files that TensorRT reads are gone afterwards."""
    plans = [plan("a"), plan("b")]
    engine = finished(tmp_path / "a.tipsc", plans, stripped="yes")
    done = paths(engine)
    assert done.returncode == 0, done.stderr
    assert done.stdout == 2 * outputs(X[:1], WEIGHTS.nbytes)
    assert {file.name for file in tmp_path.iterdir()} == {"a.tipsc", "inputs"}
    refused = said(paths(finished(tmp_path / "b.tipsc", [plan("a", factors=[2])], stripped="yes")))
    assert "does not take the weights of a stripped plan, of path a" in refused
    assert "without --strip" in refused
    unfit = said(paths(finished(tmp_path / "c.tipsc", plans)))  # nobody says that it is stripped
    assert "does not run path a: IExecutionContext::enqueueV3: something was not set" in unfit


def test_an_unbuilt_engine_says_what_to_do(paths: Run, tmp_path: Path) -> None:
    refused = said(paths(finished(tmp_path / "a.tipsc", [])))
    assert "this engine is unbuilt: its TensorRT plans are made on a jetson" in refused
    assert "tipsc finish" in refused and "--device ssh://[user@]host" in refused


@pytest.mark.parametrize(
    ("key", "value", "fits"),
    [
        ("version", "10.3.0.30", True),  # this library does not know its fourth number
        ("version", "unknown", True),
        ("version", "10.3.1", False),
        ("version", "10.3", False),
        ("version", "1.3.0", False),
        ("compute_capability", "8.6", False),
        ("module", "tensorrt_rtx", False),
    ],
)
def test_plans_of_another_machine_are_refused_as_in_python(
    paths: Run, key: str, value: str, fits: bool, tmp_path: Path
) -> None:
    engine = finished(tmp_path / "a.tipsc", [plan("a", factors=[2])], **{key: value})
    done = paths(engine)
    if fits:
        assert done.returncode == 0, done.stderr
        return
    name = key.replace("_", " ")
    with pytest.raises(EngineDeviceError) as pythons:
        check_built(read_engine(engine).manifest, BUILT, str(engine))
    assert pythons.value.what in said(done) and str(pythons.value.fix)[:40] in said(done)
    assert f"(expected {BUILT[name]}, got {value})" in said(done)


INTEGERS = {**TYPES, "float32": "kINT32"}
WITHOUT_Y = b"memory 64\nfactors 2\ninput x kFLOAT 1x8 device\ninput n kINT64 1 device"
WRONG = {
    "x has another type in the plan of path a": plan("a", factors=[2], types=INTEGERS),
    "x has another shape in the plan of path a": plan("a", factors=[2], batch=4),
    "the plan of path a does not take y": DevicePlan(
        ("a",), WITHOUT_Y + b"\noutput above kBOOL 1x40 device\noutput most kFLOAT - device"
    ),
    "the plan of path a: IRuntime::deserializeCudaEngine: no plan": DevicePlan(("a",), b"bad"),
}


@pytest.mark.parametrize("why", WRONG)
def test_a_plan_of_something_else_is_refused(paths: Run, why: str, tmp_path: Path) -> None:
    """And all that was made until then is given back."""
    refused = said(paths(finished(tmp_path / "a.tipsc", [WRONG[why]])))
    assert why in refused and "tipsc finish again" in refused


def test_without_a_device_or_a_library_it_says_so(paths: Run, tmp_path: Path) -> None:
    engine = finished(tmp_path / "a.tipsc", [plan("a", factors=[2])])
    refused = said(paths(engine, STAND_IN_NO_DEVICE="1"))
    assert "no CUDA device is here" in refused and "driver version is insufficient" in refused
    refused = said(paths(engine, runtime=tmp_path / "libnvinfer.so"))
    assert "TensorRT cannot be loaded" in refused and "apt-get install libnvinfer-dev" in refused
    assert "this is no TensorRT" in said(paths(engine, runtime=runtime_of_package()))
    assert "another TensorRT (expected 10.3 or later of 10, got 8.6.1)" in said(
        paths(engine, STAND_IN_VERSION="8601")
    )


UNLOADED = """
import ctypes, sys
from _ctypes import dlclose
from library import Library

library = Library(sys.argv[1])
library.open(sys.argv[2], runtime=sys.argv[3]).close()
dlclose(library.c._handle)
print(any("libtipsc" in line for line in open("/proc/self/maps")))
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc")
def test_it_stays_loaded_for_tensorrt_keeps_its_logger(
    library_file: Path, nvinfer: Path, tmp_path: Path
) -> None:
    engine = finished(tmp_path / "a.tipsc", [plan("a", factors=[2])])
    command = [sys.executable, "-c", UNLOADED, str(library_file), str(engine), str(nvinfer)]
    found = run(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)})
    assert found == "True\n"


@pytest.mark.parametrize("compiler", ["c++", "clang++", "aarch64-linux-gnu-g++"])
@pytest.mark.parametrize("major", ["10", "8", "1"])
def test_the_newest_names_of_each_version_compile(compiler: str, major: str) -> None:
    """No warning: names that are marked as old are called only where there is no other."""
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    strict = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fno-exceptions"]
    where = [f"-I{EMBED / 'include'}", "-isystem", str(TENSORRT / "include")]
    source = str(EMBED / "src" / "tensorrt_api.cpp")
    run([compiler, *strict, "-fsyntax-only", f"-DSTAND_IN_MAJOR={major}", *where, source])


def test_nvidias_own_library_refuses_what_is_no_plan(tmp_path: Path) -> None:
    """TensorRT for RTX, and CUDA's runtime, as far as they go without a GPU."""
    libs = pytest.importorskip("tensorrt_rtx_libs")
    if any(Path("/dev").glob("nvidia*")):
        pytest.skip("a GPU is here")
    (library,) = Path(libs.__file__).parent.glob("libtensorrt_rtx.so.*")
    src, where = EMBED / "src", [f"-I{EMBED / 'include'}", f"-I{EMBED / 'src'}"]
    made, program = tmp_path / "api.o", tmp_path / "nvidias"
    headers = ["-DSTAND_IN_MAJOR=1", f"-I{TENSORRT / 'include'}"]
    source = [str(src / "tensorrt_api.cpp"), "-o", str(made)]
    run(["c++", "-std=c++17", "-fno-exceptions", *headers, *where, "-c", *source])
    sources = [TENSORRT / "nvidias.c", src / "error.c", src / "tensorrt_cuda.c"]
    linked = [str(made), "-lstdc++", "-ldl", "-o", str(program)]
    run(["cc", *where, *map(str, sources), *linked])
    cudart = next(library.parents[1].glob("nvidia/cuda_runtime/lib"), tmp_path)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(cudart)}
    version, refused, cuda = run([str(program), str(library)], env=environment).splitlines()
    import tensorrt_rtx

    assert version == f"tensorrt_rtx {tensorrt_rtx.__version__}"
    assert "refuses the plan of path a: IRuntime::deserializeCudaEngine: Error Code 1" in refused
    assert "no CUDA device is here" in cuda


@SLOW
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_threads_under_a_sanitizer(sanitizer: str, nvinfer: Path, tmp_path: Path) -> None:
    from test_c_sanitizers import with_sanitizer

    build = with_sanitizer(sanitizer, tmp_path, *with_tensorrt())
    shared = plan("d", "b", "c", factors=[3, 5, 7], place="host", memory=70_000)
    engine = finished(tmp_path / "a.tipsc", [plan("a", factors=[2]), shared])
    run([str(build / "soak"), str(engine), str(nvinfer), "4", "3"])
    inputs = tmp_path / "inputs"
    inputs.write_bytes(X[:1].tobytes() + N[:1].tobytes())
    stripped = finished(tmp_path / "b.tipsc", [plan("a"), plan("b")], stripped="yes")
    command = [build / "paths", stripped, nvinfer, inputs]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr
    for at, wrong in enumerate(WRONG.values()):
        command[1] = finished(tmp_path / f"wrong{at}.tipsc", [wrong])
        assert "finish again" in said(subprocess.run(command, capture_output=True))


@SLOW
def test_a_library_without_the_headers_says_so(tmp_path: Path) -> None:
    if missing_tools("cmake", "cc"):
        pytest.skip("libtipsc is not built")
    library = Library(built(tmp_path / "build", "-DTIPSC_TENSORRT=OFF") / "libtipsc.so")
    with pytest.raises(CError, match=r"without the headers of TensorRT.*-DTIPSC_TENSORRT=ON"):
        library.open(finished(tmp_path / "a.tipsc", [plan("a", factors=[2])]))
