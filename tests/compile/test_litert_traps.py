"""Each way in which LiteRT has been seen to compute something else, or slowly, without a word."""

from __future__ import annotations

import shutil
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from conftest import Case
from tiny_paths import (
    MOBILENET,
    inputs_of,
    net,
)

from tipsc.backends.litert import IN_MEMORY, channels_last, open_model
from tipsc.backends.litert_interpreter import InterpreterProgram
from tipsc.compile.tflite.merge import _flatbuffer as flatbuffer
from tipsc.compile.tflite.merge import merge
from tipsc.engine import read_engine, write_tflite_engine
from tipsc.errors import EngineDeviceError, LoweringError
from tipsc.runtime import Engine

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def weighted(model: schema.ModelT) -> list[tuple[int, int]]:
    """Buffers of weights and bias of each operation that has them."""
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    return [
        (graph.tensors[op.inputs[1]].buffer, graph.tensors[op.inputs[2]].buffer)
        for graph in model.subgraphs
        for op in graph.operators
        if names[model.operatorCodes[op.opcodeIndex].builtinCode] in WEIGHTED
    ]


def outputs(file: Path, cache: str | None, x: np.ndarray) -> dict[str, np.ndarray]:
    program = open_model(file, weight_cache=cache)
    return {name: program.runner(name)(x) for name in program.signatures()}


@pytest.mark.parametrize("which", ["images_case", "int8"])
def test_every_operation_has_a_bias_of_its_own(
    which: str, images_case: Case, int8_engine: Path
) -> None:
    """XNNPACK's cache mixes up prefixes of weights, and int8 scales, that share a bias."""
    file = int8_engine if which == "int8" else images_case.engine
    model = schema.ModelT.InitFromPackedBuf(bytes(read_engine(file).weights), 0)
    pairs = weighted(model)
    biases = [bias for _, bias in pairs]
    assert len(set(biases)) == len(biases)
    places = sorted((model.buffers[b].offset, model.buffers[b].size) for b in biases)
    assert all(a + size <= b for (a, size), (b, _) in pairwise(places))
    # And the trap is there: weights of different lengths begin at the same place.
    lengths = defaultdict(set)
    for weights, _ in pairs:
        lengths[model.buffers[weights].offset].add(model.buffers[weights].size)
    assert any(len(sizes) > 1 for sizes in lengths.values())


def test_int8_weights_and_biases_alike_but_for_the_scale(
    images_case: Case, int8_engine: Path, tmp_path: Path
) -> None:
    """Two paths of equal int8 weights and biases whose activations have other scales."""
    (file, *_) = images_case.cache.glob("*.int8.tflite")
    content = file.read_bytes()
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    constant = {
        index
        for index, buffer in enumerate(model.buffers)
        if buffer.offset > 1 or (buffer.data is not None and len(buffer.data))
    }
    for buffer in model.buffers:  # the quantizer's constants lie behind its flatbuffer
        if buffer.offset > 1:
            buffer.data = np.frombuffer(
                content[buffer.offset : buffer.offset + buffer.size], np.uint8
            )
            buffer.offset = buffer.size = 0
    for tensor in model.subgraphs[0].tensors:
        quantised = tensor.quantization is not None and tensor.quantization.scale is not None
        if quantised and tensor.buffer not in constant:
            tensor.quantization.scale = tensor.quantization.scale * np.float32(1.5)
    both = tmp_path / "both.tflite"
    both.write_bytes(merge({"a": content, "b": flatbuffer(model)}).model)
    x = channels_last(inputs_of(images_case.supernet, 1).numpy())
    without = outputs(both, None, x)
    assert not np.array_equal(without["a"], without["b"])
    for cache in (IN_MEMORY, str(tmp_path / "packed"), str(tmp_path / "packed")):
        found = outputs(both, cache, x)
        assert all(np.array_equal(found[name], without[name]) for name in without)


def test_a_cache_of_another_model_is_never_used(images_case: Case, tmp_path: Path) -> None:
    """The same file name, the same shapes, other weights: what a second build gives."""
    supernet = net("mobilenet", **MOBILENET)
    x = inputs_of(supernet, 1).numpy()
    # Negated weights of the last layer, in the file itself: no second conversion.
    engine = read_engine(images_case.engine)
    content = bytearray(engine.weights)
    model = schema.ModelT.InitFromPackedBuf(bytes(content), 0)
    weights, _ = weighted(model)[-1]
    buffer = model.buffers[weights]
    part = np.frombuffer(content, np.float32, buffer.size // 4, buffer.offset)
    part *= -1
    place, other = tmp_path / "engine.tipsc", tmp_path / "other.tipsc"
    shutil.copy(images_case.engine, place)
    write_tflite_engine(other, engine.manifest, content)
    path = engine.manifest.paths[-1].id
    with Engine.open(place) as opened:
        first = opened.run(x, path=path)
    with Engine.open(place, cache_dir=tmp_path / "mine"):
        pass
    shutil.copy(other, place)
    with Engine.open(place) as opened:
        second = opened.run(x, path=path)
    model_file = tmp_path / "model.tflite"
    model_file.write_bytes(content)
    right = outputs(model_file, None, channels_last(x))[path]
    assert np.array_equal(second, right)
    # The trap itself: LiteRT takes the other model's weights from the file without a word.
    original, stale = tmp_path / "original.tflite", str(tmp_path / "stale")
    original.write_bytes(engine.weights)
    outputs(original, stale, channels_last(x))
    assert not np.array_equal(outputs(model_file, stale, channels_last(x))[path], right)
    assert not np.array_equal(first, right)
    with pytest.raises(EngineDeviceError, match="another"):
        Engine.open(place, cache_dir=tmp_path / "mine")


def test_a_damaged_cache_is_made_again(images_case: Case, tmp_path: Path) -> None:
    x = inputs_of(images_case.supernet, 1).numpy()
    path = images_case.candidates[0].path.id
    with Engine.open(images_case.engine, cache_dir=tmp_path / "c") as engine:
        right = engine.run(x, path=path)
    packed = tmp_path / "c" / "packed.xnnpack"
    content = bytearray(packed.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    packed.write_bytes(content)
    with Engine.open(images_case.engine, cache_dir=tmp_path / "c") as engine:
        assert np.array_equal(engine.run(x, path=path), right)


def test_the_interpreter_runs_signatures_through_xnnpack(
    images_case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without it, tflite-runtime runs signatures nine times slower."""
    file = tmp_path / "model.tflite"
    file.write_bytes(read_engine(images_case.engine).weights)
    program = InterpreterProgram(file, threads=1)
    names = [op["op_name"] for op in program._interpreter._get_ops_details()]
    assert "DELEGATE" in names
    x = inputs_of(images_case.supernet, 1).numpy()
    with Engine.open(images_case.engine) as engine:
        for path in engine.paths:
            plain = program.runner(path.id)(channels_last(x))
            assert np.allclose(plain, engine.run(x, path=path), rtol=1e-5, atol=1e-6)


def test_external_buffers_are_read(images_case: Case, tmp_path: Path) -> None:
    """Constants may lie behind the flatbuffer, where the object API looks past them."""
    (file, *_) = images_case.cache.glob("*[0-9a-f].tflite")
    once = merge({"a": file.read_bytes()}).model
    assert any(b.offset > 1 for b in schema.ModelT.InitFromPackedBuf(once, 0).buffers)
    (tmp_path / "twice.tflite").write_bytes(merge({"a": once}).model)
    x = channels_last(inputs_of(images_case.supernet, 1).numpy())
    alone = Interpreter(str(file)).get_signature_runner()
    (given,) = alone.get_input_details()
    (expected,) = alone(**{given: x}).values()
    assert np.array_equal(outputs(tmp_path / "twice.tflite", None, x)["a"], expected)
    cut = once[: len(once) - 64 * 20]
    with pytest.raises(LoweringError, match="outside its file"):
        merge({"a": cut})
