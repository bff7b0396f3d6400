"""An engine takes what its limits allow, or is refused before it takes more."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import zlib
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

import tipsc.backends.apart as apart
from tipsc.engine import parse_engine, read_engine, write_engine
from tipsc.errors import DataError, EngineDamagedError, EngineDeviceError, UsageError
from tipsc.runtime import Engine, Limits
from tipsc.signature import Signature, TensorSpec

MIB = 1 << 20


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("file_bytes", "the file of the engine"),
        ("manifest_bytes", "the manifest"),
        ("graph_bytes", "the path graphs"),
        ("tensor_bytes", "the inputs and outputs"),
    ],
)
def test_each_limit_refuses(engine_file, name, what):
    read_engine(engine_file, Limits(**{name: 10 * MIB}))
    with pytest.raises(EngineDamagedError, match=rf"{what}.*expected <= 30, got \d+.*limits="):
        Engine.open(engine_file, limits=Limits(**{name: 30}))


@pytest.mark.parametrize("value", [0, -1, 1.5, "1", True, None])
def test_a_limit_is_a_number_of_bytes(value):
    with pytest.raises(UsageError, match=r"limits\.graph_bytes"):
        Limits(graph_bytes=value)


def test_the_writer_refuses_a_graph_that_the_reader_would(net, graphs, tmp_path):
    graphs = graphs | {"00000000": graphs["00000000"] + b"\x32\x80\x80\x80\x01" + bytes(2 * MIB)}
    with pytest.raises(DataError, match="largest path graph"):
        write_engine(tmp_path / "e", net.manifest(list(graphs)), net.store.blob, graphs)


PEAK = """
    import resource, sys
    from tipsc.engine import read_engine
    from tipsc.errors import EngineDamagedError
    def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    before = peak()
    try:
        read_engine(sys.argv[1])
    except EngineDamagedError as error:
        print(peak() - before, error)
"""


@pytest.mark.parametrize("honest", [True, False])
def test_a_bomb_of_graphs_is_refused_before_it_grows(engine_file, honest, tmp_path):
    """400 MB of zeros pack into 0.4 MB; the table says so, or tells less."""
    from test_engine_file import forged, unpacked

    header, bodies = unpacked(engine_file.read_bytes())
    bomb = zlib.compress(bytes(400 * MIB), 9)
    if honest:
        header["graphs"][0]["length"] = 400 * MIB
    (tmp_path / "bomb").write_bytes(forged(header, bodies | {"graphs": bomb}))
    command = [sys.executable, "-c", textwrap.dedent(PEAK), str(tmp_path / "bomb")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    mib, said = printed.split(" ", 1)
    assert int(mib) < 50
    assert ("more bytes than allowed" if honest else "another length") in said


def test_a_graph_is_no_larger_than_the_weights_allow(engine_file):
    from test_engine_file import forged, unpacked

    header, bodies = unpacked(engine_file.read_bytes())
    header["graphs"][0]["length"] = len(bodies["weights"]) + MIB + 1
    with pytest.raises(EngineDamagedError, match="largest path graph"):
        parse_engine(forged(header, bodies))


def test_a_manifest_of_endless_tensors(engine_file):
    from test_engine_file import forged, unpacked

    header, bodies = unpacked(engine_file.read_bytes())
    manifest = json.loads(bodies["manifest"])
    manifest["signature"]["inputs"][0]["shape"] = [1, 3, 10**6, 10**6]
    bodies["manifest"] = json.dumps(manifest).encode()
    with pytest.raises(EngineDamagedError, match=r"inputs and outputs.*got 12000000"):
        parse_engine(forged(header, bodies))


def engine_of(net, file: Path, nodes, constants, weights: bytes = b"") -> Path:
    """An engine of one path, which takes ``image`` and gives ``y``, a number each."""
    one = [TensorSpec(name, "float32", (1,), "-") for name in ("image", "y")]
    manifest = net.manifest(["00000000"])
    vars(manifest).update(signature=Signature.plain(one[:1], one[1:]))
    values = [helper.make_tensor_value_info(name, 1, [1]) for name in ("image", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    write_engine(file, manifest, weights, {"00000000": model.SerializeToString()})
    return file


@pytest.fixture
def expanding(net, tmp_path: Path) -> Path:
    """64 kB of weights that a call multiplies to 256 MiB."""
    matrix = np.ones((8192, 1), np.float32)
    store = type(net.store)()
    store.add("column", matrix)
    store.add("row", matrix.reshape(1, -1))
    nodes = [
        helper.make_node("Mul", ["column", "image"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "row"], ["large"]),
        helper.make_node("ReduceMean", ["large"], ["most"], axes=[0, 1], keepdims=0),
        helper.make_node("Add", ["most", "image"], ["y"]),
    ]
    constants = [store.external("column"), store.external("row")]
    return engine_of(net, tmp_path / "expanding.tipsc", nodes, constants, bytes(store.blob))


def test_a_graph_that_expands_does_not_fit_its_limit(expanding, tmp_path):
    with pytest.raises(EngineDeviceError, match=r"more memory than limits.memory_bytes.*<= 104857"):
        Engine.open(expanding, limits=Limits(memory_bytes=100 * MIB), cache_dir=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_a_graph_that_expanded_is_not_kept(net, tmp_path, monkeypatch):
    """A second line of defence: for what no check of the graph knows."""
    monkeypatch.setattr("tipsc.engine.read.check_allowed", lambda *_: None)
    count = helper.make_tensor("count", TensorProto.INT64, [1], [16 * MIB])
    nodes = [
        helper.make_node("ConstantOfShape", ["count"], ["large"]),
        helper.make_node("Mul", ["large", "image"], ["product"]),
        helper.make_node("ReduceMean", ["product"], ["most"], axes=[0], keepdims=1),
        helper.make_node("Add", ["most", "image"], ["y"]),
    ]
    file = engine_of(net, tmp_path / "e.tipsc", nodes, [count])
    with pytest.raises(EngineDeviceError, match="grew when ONNX Runtime worked out"):
        Engine.open(file, cache_dir=tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_an_engine_that_fits_is_finalised_apart_once(engine_file, image, tmp_path, monkeypatch):
    with Engine.open(engine_file, cache_dir=tmp_path / "c") as engine:
        expected = [engine.run(image, path=path) for path in engine.paths]
    limits, started = Limits(memory_bytes=400 * MIB), []
    run = subprocess.run
    monkeypatch.setattr(
        apart.subprocess, "run", lambda *a, **k: (started.append(a), run(*a, **k))[1]
    )
    for _ in range(2):
        with Engine.open(engine_file, limits=limits, cache_dir=tmp_path / "d") as engine:
            found = [engine.run(image, path=path) for path in engine.paths]
        assert all(map(np.array_equal, found, expected))
        assert len(started) == 1  # the second time it is there


def test_a_backend_that_refuses_apart_is_quoted(engine_file, net, tmp_path):
    nodes = [helper.make_node("NoSuchOperator", ["image"], ["y"])]
    file = engine_of(net, tmp_path / "m.tipsc", nodes, [])
    with pytest.raises(EngineDeviceError, match=r"refuses the engine.*NoSuchOperator"):
        Engine.open(file, limits=Limits(memory_bytes=400 * MIB))


def test_without_a_python_to_start(engine_file, monkeypatch):
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(UsageError, match="memory_bytes needs an engine file, and a Python"):
        Engine.open(engine_file, limits=Limits(memory_bytes=400 * MIB))
