"""Each way in which LiteRT has been seen to compute something else, or slowly, without a word."""

from __future__ import annotations

import gc
import os
from collections import defaultdict
from itertools import cycle, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from conftest import Case
from plain_tflite import (
    SHAPE,
    biased,
    engine_of,
    flatbuffer,
    two_widths,
    with_shared_biases,
)
from tiny_paths import candidates_of, compiled, inputs_of, write_engine_of
from torch import nn

from tipsc.backends import check_caches
from tipsc.backends.isa import cpu_features, has_atomics
from tipsc.backends.litert import IN_MEMORY, in_order, open_model
from tipsc.backends.litert_compiled import CompiledProgram
from tipsc.backends.litert_interpreter import InterpreterProgram
from tipsc.compile.tflite.merge import merge
from tipsc.convert import convert
from tipsc.engine import read_engine
from tipsc.errors import EngineDeviceError, LoweringError, VerificationError
from tipsc.runtime import Engine

X = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)


def outputs(file: Path, cache: str | None, x: np.ndarray) -> dict[str, np.ndarray]:
    program = open_model(file, weight_cache=cache)
    return {name: program.runner(name)([x])[0] for name in program.signatures()}


def caches(folder: Path) -> tuple[str, ...]:
    """In memory; a file that is written; the same file when it is read."""
    return (IN_MEMORY, str(folder / "packed"), str(folder / "packed"))


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in b)


@pytest.mark.parametrize("which", ["images_case", "int8"])
def test_every_operation_has_a_bias_of_its_own(
    which: str, images_case: Case, int8_engine: Path
) -> None:
    """XNNPACK's cache mixes up prefixes of weights, and int8 scales, that share a bias."""
    file = int8_engine if which == "int8" else images_case.engine
    model = schema.ModelT.InitFromPackedBuf(bytes(read_engine(file).weights), 0)
    pairs = [(weights.buffer, bias.buffer) for weights, bias in biased(model)]
    biases = [bias for _, bias in pairs]
    assert len(set(biases)) == len(biases)
    places = sorted((model.buffers[b].offset, model.buffers[b].size) for b in biases)
    assert all(a + size <= b for (a, size), (b, _) in pairwise(places))
    # And the trap is there: weights of different lengths begin at the same place.
    lengths = defaultdict(set)
    for weights, _ in pairs:
        lengths[model.buffers[weights].offset].add(model.buffers[weights].size)
    assert any(len(sizes) > 1 for sizes in lengths.values())


def test_a_prefix_of_weights_with_the_same_bias(tmp_path: Path) -> None:
    right, wrong = tmp_path / "right.tflite", tmp_path / "wrong.tflite"
    right.write_bytes(merge(two_widths()).model)
    expected = outputs(right, None, X)
    for cache in caches(tmp_path):
        assert same(outputs(right, cache, X), expected)
    # The trap itself: what is right without a cache is wrong with one.
    wrong.write_bytes(with_shared_biases(right.read_bytes()))
    assert same(outputs(wrong, None, X), expected)
    assert not same(outputs(wrong, IN_MEMORY, X), expected)


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
    factors = cycle((np.float32(1.5), np.float32(1)))  # one for all would change no operation
    for tensor in model.subgraphs[0].tensors:
        quantised = tensor.quantization is not None and tensor.quantization.scale is not None
        if quantised and tensor.buffer not in constant:
            tensor.quantization.scale = tensor.quantization.scale * next(factors)
    right, wrong = tmp_path / "right.tflite", tmp_path / "wrong.tflite"
    right.write_bytes(merge({"a": content, "b": flatbuffer(model)}).model)
    x = in_order(inputs_of(images_case.supernet, 1).numpy(), (0, 2, 3, 1))
    expected = outputs(right, None, x)
    assert not np.array_equal(expected["a"], expected["b"])
    for cache in caches(tmp_path):
        assert same(outputs(right, cache, x), expected)
    wrong.write_bytes(with_shared_biases(right.read_bytes()))
    assert same(outputs(wrong, None, x), expected)
    assert not same(outputs(wrong, IN_MEMORY, x), expected)


def test_the_check_of_caches_finds_each_of_them(tmp_path: Path) -> None:
    inputs = np.moveaxis(X, -1, 1)
    model = merge(two_widths()).model
    engine = engine_of(tmp_path / "right.tipsc", model, ["narrow", "wide"])
    check_caches(read_engine(engine), [inputs])
    aliased = engine_of(tmp_path / "wrong.tipsc", with_shared_biases(model), ["narrow", "wide"])
    with pytest.raises(VerificationError, match="path wide, cache in memory"):
        check_caches(read_engine(aliased), [inputs])


def test_a_cache_of_another_model_is_never_used(tmp_path: Path) -> None:
    """The same file name, the same shapes, other weights: what a second build gives."""
    model = merge(two_widths()).model
    other = bytearray(model)
    (weights, _), *_ = biased(schema.ModelT.InitFromPackedBuf(model, 0))
    buffer = schema.ModelT.InitFromPackedBuf(model, 0).buffers[weights.buffer]
    part = np.frombuffer(other, np.float32, buffer.size // 4, buffer.offset)
    part *= -1
    x, place, paths = np.moveaxis(X, -1, 1), tmp_path / "engine.tipsc", ["narrow", "wide"]
    engine_of(place, model, paths)
    with Engine.open(place) as opened:
        first = opened.run(x, path="wide")
    with Engine.open(place, cache_dir=tmp_path / "mine"):
        pass
    engine_of(place, bytes(other), paths)
    with Engine.open(place) as opened:
        second = opened.run(x, path="wide")
    original, model_file = tmp_path / "original.tflite", tmp_path / "model.tflite"
    original.write_bytes(model)
    model_file.write_bytes(other)
    right = outputs(model_file, None, X)["wide"]
    assert np.array_equal(second, right)
    assert not np.array_equal(first, right)
    with pytest.raises(EngineDeviceError, match="another"):
        Engine.open(place, cache_dir=tmp_path / "mine")
    # The trap itself: LiteRT takes the other model's weights from the file without a word.
    stale = str(tmp_path / "stale")
    outputs(original, stale, X)
    assert not np.array_equal(outputs(model_file, stale, X)["wide"], right)


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    x, folder = np.moveaxis(X, -1, 1), tmp_path / "c"
    engine_file = engine_of(tmp_path / "e.tipsc", merge(two_widths()).model, ["narrow", "wide"])
    with Engine.open(engine_file, cache_dir=folder) as engine:
        right = engine.run(x, path="wide")
    packed = folder / "packed.xnnpack"
    content = bytearray(packed.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    packed.write_bytes(content)
    with Engine.open(engine_file, cache_dir=folder) as engine:
        assert np.array_equal(engine.run(x, path="wide"), right)


def test_the_interpreter_runs_signatures_through_xnnpack(tmp_path: Path) -> None:
    """Without it, tflite-runtime runs signatures nine times slower."""
    file = tmp_path / "model.tflite"
    file.write_bytes(merge(two_widths()).model)
    program = InterpreterProgram(file, threads=1)
    # An operator each for the graph that XNNPACK took over; before that, there is none.
    assert "DELEGATE" in [op["op_name"] for op in program._interpreter._get_ops_details()]
    expected = outputs(file, None, X)
    for name in program.signatures():
        assert np.allclose(program.runner(name)([X])[0], expected[name], rtol=1e-5, atol=1e-6)


def test_compiled_models_are_left_alone_without_atomics() -> None:
    """LiteRT opens a library with each that ends the process on arm64 before ARMv8.1.

    Shown by ``benchmarks/litert_arm64.py --cpu cortex-a72``.
    """
    assert not has_atomics("aarch64", 0x8FB)  # Cortex-A72, as qemu has it
    assert has_atomics("aarch64", 0x119FFB)  # Cortex-A76
    assert has_atomics("x86_64", 0)
    assert cpu_features() != 0


def test_external_buffers_are_read(images_case: Case, tmp_path: Path) -> None:
    """Constants may lie behind the flatbuffer, where the object API looks past them."""
    (file, *_) = images_case.cache.glob("*[0-9a-f].tflite")
    once = merge({"a": file.read_bytes()}).model
    assert any(b.offset > 1 for b in schema.ModelT.InitFromPackedBuf(once, 0).buffers)
    (tmp_path / "twice.tflite").write_bytes(merge({"a": once}).model)
    x = in_order(inputs_of(images_case.supernet, 1).numpy(), (0, 2, 3, 1))
    alone = Interpreter(str(file)).get_signature_runner()
    (given,) = alone.get_input_details()
    (expected,) = alone(**{given: x}).values()
    assert np.array_equal(outputs(tmp_path / "twice.tflite", None, x)["a"], expected)
    cut = once[: len(once) - 64 * 20]
    with pytest.raises(LoweringError, match="outside its file"):
        merge({"a": cut})


def test_opening_and_running_writes_none_of_its_remarks(
    images_case: Case, capfd: pytest.CaptureFixture[str]
) -> None:
    with Engine.open(images_case.engine) as engine:
        for candidate in images_case.candidates:
            engine.run(inputs_of(images_case.supernet, 1).numpy(), path=candidate.path.id)
        os.write(2, b"someone else's line\n")
    del engine
    gc.collect()
    assert capfd.readouterr().err == "someone else's line\n"


def test_its_errors_come_through(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.tflite").write_bytes(b"this is no model at all, but long enough")
    with pytest.raises(RuntimeError):
        CompiledProgram(tmp_path / "no.tflite", 1, None)
    assert "ERROR" in capfd.readouterr().err


def test_maps_at_less_resolution_come_in_full_size(tmp_path: Path) -> None:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Upsample(scale_factor=2, mode="bilinear")]
    plain = nn.Sequential(*body, nn.Conv2d(8, 4, 1)).eval()
    supernet = convert(plain, torch.randn(2, 3, 16, 16), widths=(0.5, 1.0), resolutions=(8, 12))
    space = supernet.space
    paths = [space.largest, space.smallest, space.path({**space.largest.options, "resolution": 12})]
    candidates = candidates_of(supernet, paths)
    result = compiled(supernet, candidates, tmp_path / "cache")
    file = write_engine_of(tmp_path / "engine.tipsc", supernet, candidates, result)
    x = torch.randn(1, 3, 16, 16)
    with Engine.open(file) as engine:
        for path in paths:
            expected = supernet(x, path).detach().numpy()
            got = engine.run(x.numpy(), path=path.id)
            assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()
