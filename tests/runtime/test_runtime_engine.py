"""Engine and Context: run a path, and refuse what cannot be run in a clear sentence."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

from tipsc.engine import unpack, write_engine
from tipsc.errors import (
    BudgetError,
    DataError,
    EngineDamagedError,
    PathError,
    UsageError,
)
from tipsc.runtime import Engine
from tipsc.signature import Signature, TensorSpec


@pytest.fixture
def engine(engine_file):
    with Engine.open(engine_file) as engine:
        yield engine


def test_outputs_equal_those_of_plain_sessions(engine_file, engine, image, tmp_path):
    unpack(engine_file, tmp_path / "u")
    for path in engine.paths:
        session = ort.InferenceSession(str(tmp_path / "u" / f"{path.id}.onnx"))
        (expected,) = session.run(None, {"image": image})
        # Unpacked matrix products may add in another order: the last bits differ.
        np.testing.assert_allclose(engine.run(image, path=path), expected, rtol=1e-5, atol=1e-5)


def test_paths_stand_fastest_first_and_differ(engine, image):
    assert [p.latency.p50_ms for p in engine.paths] == [1.0, 2.0, 3.0, 4.0]
    outputs = [engine.run(image, path=path) for path in engine.paths]
    assert all(not np.array_equal(outputs[0], other) for other in outputs[1:])


def test_a_path_is_named_by_entry_or_id_and_leaves_no_trace(engine, image):
    first = engine.run(image, path=engine.paths[0])
    engine.run(image, path=engine.paths[3])
    assert np.array_equal(engine.run(image, path=engine.paths[0].id), first)


def test_an_output_is_not_overwritten_by_the_next_call(engine, image):
    first = engine.run(image, path="00000001")
    kept = first.copy()
    engine.run(image * 2, path="00000001")
    assert np.array_equal(first, kept)


def test_an_input_that_is_a_view_is_the_same_input(engine, image):
    view = np.ascontiguousarray(image.transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2)
    assert not view.flags.c_contiguous
    path = engine.paths[1]
    assert np.array_equal(engine.run(view, path=path), engine.run(image, path=path))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda x: x[0], r"expected float32\[1, 3, 16, 16\], got float32\[3, 16, 16\].*x\[None\]"),
        (lambda x: x.astype(np.float64), r"got float64\[1, 3, 16, 16\].*x\.astype\(np\.float32\)"),
        (lambda x: x.astype(np.uint8), r"got uint8.*x\.astype\(np\.float32\)"),
        (lambda x: np.concatenate([x, x]), r"got float32\[2, 3, 16, 16\]"),
        (lambda x: (x, x), "wrong number of inputs.*expected 1: image, got 2"),
        (lambda x: [], "wrong number of inputs"),
        (lambda x: x.tolist(), "not a numpy array"),
        (lambda x: None, "not a numpy array"),
        (lambda x: "image", "not a numpy array"),
    ],
)
def test_wrong_input(engine, image, change, sentence):
    with pytest.raises(DataError, match=sentence):
        engine.run(change(image), path=engine.paths[0])


def test_an_unknown_path(engine, image):
    with pytest.raises(PathError, match=r"no path '0000000l'.*did you mean 0000000"):
        engine.run(image, path="0000000l")


def test_only_some_paths(engine_file, image):
    with Engine.open(engine_file, paths=["00000003", "00000001"]) as engine:
        assert [p.id for p in engine.paths] == ["00000001", "00000003"]
        assert len(engine.manifest.paths) == 4
        with pytest.raises(PathError, match="was not opened"):
            engine.run(image, path="00000000")
        assert engine.pick(budget_ms=3.5).id == "00000001"
    with pytest.raises(PathError, match="no path 'ffffffff'"):
        Engine.open(engine_file, paths=["ffffffff"])


def test_a_closed_engine_and_its_contexts_say_so(engine_file, image):
    engine = Engine.open(engine_file)
    context = engine.context()
    path = engine.paths[0]
    assert np.array_equal(context.run(image, path=path), engine.run(image, path=path))
    engine.close()
    engine.close()
    for closed in (engine, context):
        with pytest.raises(UsageError, match="closed"):
            closed.run(image, path=path)


def test_pick_gives_a_budget_error_that_names_the_fastest(engine):
    assert engine.pick(budget_ms=2.5).id == "00000001"
    assert engine.pick(budget_ms=2.5, slowdown=2).id == "00000000"
    with pytest.raises(BudgetError, match=r"0\.5 ms.*fastest, 00000000, takes 1\.2 ms at p95"):
        engine.pick(budget_ms=0.5)


def test_a_damaged_file_is_refused(engine_file):
    data = bytearray(engine_file.read_bytes())
    data[len(data) // 2] ^= 1
    engine_file.write_bytes(data)
    with pytest.raises(EngineDamagedError):
        Engine.open(engine_file)


def test_no_threads(engine_file):
    with pytest.raises(UsageError, match="thread"):
        Engine.open(engine_file, threads=0)


def test_two_threads_within_a_call(engine_file, engine, image):
    with Engine.open(engine_file, threads=2) as parallel:
        np.testing.assert_allclose(
            parallel.run(image, path="00000001"),
            engine.run(image, path="00000001"),
            rtol=1e-5,
            atol=1e-5,
        )


def test_several_inputs_and_outputs(net, tmp_path):
    names = ("a", "b", "sum", "difference")
    a, b, *outs = (helper.make_tensor_value_info(name, 1, [2]) for name in names)
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["sum"]),
         helper.make_node("Sub", ["a", "b"], ["difference"])],
        "g", [a, b], outs,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    manifest = net.manifest(["00000000"])
    specs = [TensorSpec(name, "float32", (2,), "-") for name in names]
    # The manifest's order counts, not the graph's.
    signature = Signature.plain([specs[1], specs[0]], [specs[3], specs[2]])
    vars(manifest).update(signature=signature)
    write_engine(tmp_path / "e", manifest, b"", {"00000000": model.SerializeToString()})
    with Engine.open(tmp_path / "e") as engine:
        b_value, a_value = np.float32([1, 2]), np.float32([10, 20])
        difference, total = engine.run([b_value, a_value], path="00000000")
    assert difference.tolist() == [9, 18]
    assert total.tolist() == [11, 22]


OPEN = """
import sys, numpy as np
from tipsc.runtime import Engine
with Engine.open(sys.argv[1]) as engine:
    x = np.load(sys.argv[2])
    np.save(sys.argv[3], np.stack([engine.run(x, path=p) for p in engine.paths]))
"""


def test_processes_that_open_for_the_first_time_at_once(engine_file, engine, image, tmp_path):
    fresh = tmp_path / "fresh.tipsc"
    fresh.write_bytes(engine_file.read_bytes())
    np.save(tmp_path / "x.npy", image)
    children = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, fresh, tmp_path / "x.npy", tmp_path / f"{i}.npy"]
        )
        for i in range(3)
    ]
    assert [child.wait() for child in children] == [0, 0, 0]
    expected = np.stack([engine.run(image, path=p) for p in engine.paths])
    for i in range(3):
        assert np.array_equal(np.load(tmp_path / f"{i}.npy"), expected)


def test_kill_9_while_finalising(engine_file, image, tmp_path):
    np.save(tmp_path / "x.npy", image)
    code = "import os, signal, tipsc.backends.finalise as f\n"
    code += "f.Blob.add = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n" + OPEN
    command = [sys.executable, "-c", code, engine_file, tmp_path / "x.npy", tmp_path / "y.npy"]
    assert subprocess.run(command).returncode == -9
    folder = engine_file.with_name(f"{engine_file.name}-cache")
    assert not list(folder.glob("[0-9a-f]*"))
    with Engine.open(engine_file) as engine:
        assert engine.run(image, path=engine.paths[0]).shape == (1, 10)
    assert not list(folder.glob(".*.tmp-*"))
