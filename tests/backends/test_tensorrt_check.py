"""NVIDIA's own parser and builder on tiny nets; they need no GPU, and prove nothing about one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from onnx import helper
from synthetic_engine import Net

from tipsc.backends import runtime_of
from tipsc.backends.tensorrt import api
from tipsc.backends.tensorrt.examine import check_engine
from tipsc.backends.tensorrt.plans import PlanBuilder
from tipsc.engine import write_engine
from tipsc.errors import EngineDeviceError
from tipsc.runtime import Engine

needs_nvidia = pytest.mark.skipif(
    api.installed() is None, reason="tensorrt-rtx-cu12 has no wheel for this platform or Python"
)
UNKNOWN = [
    helper.make_node("Unique", ["image"], ["a"], name="stage0.unique"),
    helper.make_node("Relu", ["a"], ["b"], name="stage1.relu"),
    helper.make_node("Det", ["b"], ["logits"], name="head.det"),
]


def with_unknown_nodes() -> bytes:
    graph = helper.make_graph(
        UNKNOWN,
        "path",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


@needs_nvidia
def test_every_path_is_parsed_and_built_and_a_refused_one_names_all_its_nodes(
    net: Net, tmp_path: Path
) -> None:
    file, bad = tmp_path / "tiny.tipsc", "bad"
    mixed = {
        "shallow": net.graph(net.options(3, full=False), seed=0),
        bad: with_unknown_nodes(),
        "full": net.graph(net.options(3), seed=1),
    }
    write_engine(file, net.manifest(list(mixed)), net.store.blob, mixed)
    found = {check.path_id: check for check in check_engine(file, list(mixed))}
    assert list(found) == list(mixed)
    for path_id, check in found.items():
        assert (check.plan_bytes > 0) == (path_id != bad)
        assert bool(check.problem) == (path_id == bad)
    assert "stage0.unique (Unique)" in found[bad].problem
    assert "head.det (Det)" in found[bad].problem
    assert "stage1.relu" not in found[bad].problem


@needs_nvidia
def test_a_process_that_never_reports_is_one_named_error(engine_file: Path) -> None:
    engine_file.write_bytes(b"not an engine")
    with pytest.raises(EngineDeviceError, match="TensorRT cannot be used here"):
        check_engine(engine_file, ["00000000"])


@needs_nvidia
def test_where_no_plan_comes_tensorrts_own_words_are_told(net: Net) -> None:
    """Stripping needs a driver in TensorRT for RTX; where one is, it succeeds."""
    builder = PlanBuilder(api.load(), memoryview(bytes(net.store.blob)), strip=True)
    graph = net.graph(net.options(3), seed=1)
    try:
        assert builder.build("full", graph)
    except EngineDeviceError as error:
        assert "gave no plan" in error.what
        assert "Error Code" in str(error.got)
        assert error.fix == "leave --strip out"


def test_an_unbuilt_engine_says_what_to_do(
    net: Net, graphs: dict[str, bytes], tmp_path: Path
) -> None:
    file = tmp_path / "tiny-jetson.tipsc"
    manifest = replace(
        net.manifest(list(graphs)), target="jetson", backend="tensorrt", recipe={"plans": "one"}
    )
    write_engine(file, manifest, net.store.blob, graphs)
    with pytest.raises(
        EngineDeviceError, match=r"is unbuilt.*jetson.*tipsc finish.*tipsc unpack"
    ) as caught:
        Engine.open(file)
    assert caught.value.exit_code == 3


def test_a_system_package_without_metadata_tells_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "tensorrt"
    package.mkdir()
    (package / "__init__.py").write_text('raise ImportError("not to be imported")\n')
    monkeypatch.syspath_prepend(tmp_path)
    assert api.version_of("tensorrt") == "unknown"
    (package / "__init__.py").write_text('import ctypes\n__version__ = "10.3.0"\n')
    assert dict(runtime_of("tensorrt").check()) == {"tensorrt": "10.3.0", "module": "tensorrt"}


def test_no_module_of_the_backend_hides_its_functions() -> None:
    found = runtime_of("tensorrt")  # whose submodules are imported above
    assert callable(found.check)
    assert callable(found.open)


def test_capabilities_follow_names_and_not_versions() -> None:
    class Parser:
        load_initializer = None  # not there, whatever dir() says

    class Flags:
        STRONGLY_TYPED = 1

    class Module:
        __version__ = "8.6"
        OnnxParser = Parser
        NetworkDefinitionCreationFlag = Flags

    found = api.probe(Module)
    assert found.strongly_typed
    assert not (found.shared_weights or found.explicit_batch or found.strip_plan)
