"""What a .tflite has to be before LiteRT sees it."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest

pytest.importorskip("ai_edge_litert.schema_py_generated")
from ai_edge_litert import schema_py_generated as schema

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzzing"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compile"))

import fuzz_tflite
from plain_tflite import engine_of, two_widths

from tipsc.backends.litert_dense import densified
from tipsc.compile.tflite.merge import merge
from tipsc.engine import Manifest
from tipsc.engine.blob import ALIGNMENT
from tipsc.engine.flatbuffer import Schema, parse, table
from tipsc.engine.tflite import flatbuffer
from tipsc.engine.tflite_check import check_tflite
from tipsc.engine.tflite_schema import OPERATORS, SCHEMA
from tipsc.errors import EngineDamagedError
from tipsc.runtime import Engine

SEEDS = sorted(fuzz_tflite.FILES.glob("*.tflite"))
Change = Callable[[Any], object]


@pytest.fixture(scope="module")
def sound() -> bytes:
    return merge(two_widths()).model


@pytest.fixture(scope="module")
def manifest(sound: bytes) -> Manifest:
    return fuzz_tflite.manifest_of(sound)


def changed(model: bytes, change: Change) -> bytes:
    """The .tflite with something else in its flatbuffer, its constants where they were."""
    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    start = min(buffer.offset for buffer in parsed.buffers if buffer.offset > 1)
    change(parsed)
    head = flatbuffer(parsed)
    assert len(head) <= start + 4096
    room = max(0, -(-(len(head) - start) // ALIGNMENT) * ALIGNMENT)
    for buffer in parsed.buffers:
        if 1 < buffer.offset < 1 << 30 and buffer.offset % ALIGNMENT == 0:
            buffer.offset += room
    head = flatbuffer(parsed)
    return head + bytes(start + room - len(head)) + model[start:]


@pytest.mark.parametrize("file", SEEDS, ids=lambda file: file.stem)
def test_what_the_converter_writes_is_taken(file: Path) -> None:
    model = file.read_bytes()
    manifest = fuzz_tflite.manifest_of(model)
    check_tflite(memoryview(model), manifest, "sound")
    check_tflite(memoryview(densified(model)), manifest, "dense")


def test_the_seeds_have_most_operators() -> None:
    found = set()
    for file in SEEDS:
        parsed = parse(memoryview(file.read_bytes()), SCHEMA, "Model", b"TFL3", file.name)
        found |= {code["builtin_code"] for code in parsed["operator_codes"]}
    assert found <= set(OPERATORS)
    assert len(found) > 40


def graph(model: Any) -> Any:
    return model.subgraphs[0]


def first(model: Any) -> Any:
    return graph(model).operators[0]


def tensor(model: Any, place: int) -> Any:
    return graph(model).tensors[place]


def weights(model: Any) -> Any:
    return tensor(model, first(model).inputs[1])


def assign(of: Callable[[Any], Any], **values: object) -> Change:
    def change(model: Any) -> None:
        for name, value in values.items():
            assert hasattr(of(model), name)
            setattr(of(model), name, value)

    return change


def quantised(**values: object) -> Change:
    def change(model: Any) -> None:
        weights(model).quantization = schema.QuantizationParametersT(**values)

    return change


def later_input(model: Any) -> None:
    first(model).inputs = [graph(model).operators[-1].outputs[0], *first(model).inputs[1:]]


def twice(model: Any) -> None:
    graph(model).operators.append(first(model))


def another_number(model: Any) -> None:
    first(model).inputs = list(first(model).inputs) * 2


def no_bias(model: Any) -> None:
    first(model).inputs = list(first(model).inputs)[:2]


def left_out_bias(model: Any) -> None:
    first(model).inputs = [*list(first(model).inputs)[:2], -1]


def no_options(model: Any) -> None:
    first(model).builtinOptionsType, first(model).builtinOptions = 0, None


def other_options(model: Any) -> None:
    first(model).builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
    first(model).builtinOptions = schema.Pool2DOptionsT(strideH=1, strideW=1)


def beyond(model: Any) -> None:
    model.buffers[weights(model).buffer].offset = 1 << 40


def unaligned(model: Any) -> None:
    model.buffers[weights(model).buffer].offset += 4


def too_long(model: Any) -> None:
    model.buffers[weights(model).buffer].size += 64


def custom(model: Any) -> None:
    model.operatorCodes[0].customCode = "Code"
    model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM


def metadata(model: Any) -> None:
    model.metadata = [schema.MetadataT(name="x", buffer=0)]


def no_signature(model: Any) -> None:
    del model.signatureDefs[0]


def swapped_signature(model: Any) -> None:
    model.signatureDefs[0].subgraphIndex = 9


def other_output(model: Any) -> None:
    model.signatureDefs[0].outputs[0].tensorIndex = first(model).outputs[0]


HOSTILE: dict[str, tuple[Change, str]] = {
    "version": (assign(lambda m: m, version=2), "another version"),
    "metadata": (metadata, "field 6 of Model"),
    "custom code": (custom, "field 1 of OperatorCode"),
    "unknown operator": (assign(lambda m: m.operatorCodes[0], builtinCode=32), "not an operator"),
    "opcode": (assign(first, opcodeIndex=7), "no such operator code"),
    "tensor": (assign(first, outputs=[999]), "no such tensor"),
    "negative tensor": (assign(first, outputs=[-2]), "no such tensor"),
    "input that nothing wrote": (later_input, "reads a tensor that nothing wrote"),
    "written twice": (twice, "known already"),
    "number of inputs": (another_number, "another number of inputs"),
    "no bias": (no_bias, "another number of inputs"),
    "bias left out": (left_out_bias, "input 2 is missing"),
    "no options": (no_options, "options of another operator"),
    "options of another": (other_options, "options of another operator"),
    "stride": (assign(lambda m: first(m).builtinOptions, strideW=0), "stride_w is 0"),
    "dilation": (assign(lambda m: first(m).builtinOptions, dilationHFactor=-1), "dilation_h is -1"),
    "padding": (assign(lambda m: first(m).builtinOptions, padding=3), "not a padding"),
    "activation": (
        assign(lambda m: first(m).builtinOptions, fusedActivationFunction=9), "not an activation"
    ),
    "offset": (beyond, "outside the file"),
    "alignment": (unaligned, "outside the file"),
    "size": (too_long, "another length"),
    "buffer": (assign(weights, buffer=4000), "no such buffer"),
    "type": (assign(weights, type=schema.TensorType.STRING), "not a type"),
    "shape": (assign(weights, shape=[1 << 30, 1, 1, 1]), "another length"),
    "values": (assign(weights, shape=[1 << 30, 2, 1, 1]), "more values than any tensor has"),
    "empty shape": (assign(weights, shape=[0, 1, 1, 8]), "not a static shape"),
    "axes": (assign(weights, shape=[1] * 9), "not a static shape"),
    "output shape": (
        assign(lambda m: tensor(m, first(m).outputs[0]), shape=[1, 4, 4, 99]), "another shape"
    ),
    "graph input": (assign(graph, inputs=[-1]), "no such tensor"),
    "graph output": (assign(graph, outputs=[0, 5000]), "no such tensor"),
    "scales": (quantised(scale=[0.1] * 5), "number of scales"),
    "scale": (quantised(scale=[float("nan")]), "not positive"),
    "quantised float": (quantised(scale=[0.5]), "not quantized"),
    "axis of scales": (quantised(quantizedDimension=8), "quantized dimension"),
    "signature": (no_signature, "has no signature narrow"),
    "subgraph": (swapped_signature, "of no subgraph"),
    "signature's output": (other_output, "other outputs than its subgraph"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_tipsc_does_not_write_is_refused(name: str, sound: bytes, manifest: Manifest) -> None:
    change, says = HOSTILE[name]
    check_tflite(memoryview(changed(sound, lambda model: None)), manifest, "unchanged")
    with pytest.raises(EngineDamagedError, match=says):
        check_tflite(memoryview(changed(sound, change)), manifest, "hostile")


@pytest.mark.parametrize(
    "wrong", [{"dtype": "float64"}, {"shape": (1, 4, 8, 4)}, {"dtype": "int32"}]
)
@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_a_manifest_that_says_otherwise(
    part: str, wrong: dict[str, Any], sound: bytes, manifest: Manifest
) -> None:
    (spec,) = getattr(manifest.signature, part)
    signature = replace(manifest.signature, **{part: (replace(spec, **wrong),)})
    other = replace(manifest, signature=signature)
    with pytest.raises(EngineDamagedError, match=f"the manifest says otherwise of {spec.name}"):
        check_tflite(memoryview(sound), other, "model")


def int8() -> bytes:
    return (fuzz_tflite.FILES / "images-int8.tflite").read_bytes()


def scaled(place: int, scale: float) -> Change:
    """The output of the last operator of its kind gets another scale."""

    def change(model: Any) -> None:
        for operator in graph(model).operators[::-1]:
            code = model.operatorCodes[operator.opcodeIndex]
            if max(code.builtinCode, code.deprecatedBuiltinCode) == place:
                tensor(model, operator.outputs[0]).quantization.scale = [scale]
                return
        raise LookupError(place)

    return change


@pytest.mark.parametrize("scale", [1e38, 1e-9, 1e5])
def test_scales_that_end_the_process_are_refused(scale: float) -> None:
    change = scaled(schema.BuiltinOperator.ADD, scale)
    with pytest.raises(EngineDamagedError, match="scales beyond those of numbers"):
        check_tflite(
            memoryview(changed(int8(), change)), fuzz_tflite.manifest_of(int8()), "hostile"
        )


def rows(count: int, length: int, apart: int) -> bytes:
    """A flatbuffer of `count` tables, each with a vector of `length` numbers, `apart` words apart.

    All words of the vectors are `length`, so that one may begin anywhere in another.
    """
    vtables = struct.pack("<8H", 6, 8, 4, 0, 6, 8, 4, 0)  # of the root and of the rows, padded
    root = 8 + len(vtables)
    vector = root + 8
    first = vector + 4 + 4 * count
    numbers = first + 8 * count
    data = bytearray(struct.pack("<I4s", root, b"TEST") + vtables)
    data += struct.pack("<iI", root - 8, 4)  # the root, and where its vector is from there
    data += struct.pack("<I", count)
    data += b"".join(struct.pack("<I", first + 8 * i - (vector + 4 + 4 * i)) for i in range(count))
    for i in range(count):
        row = first + 8 * i
        data += struct.pack("<iI", row - 16, numbers + 4 * apart * i - (row + 4))
    return bytes(data + struct.pack("<I", length) * (apart * (count - 1) + length + 1))


def test_few_bytes_cannot_stand_for_much_work() -> None:
    """Vectors that begin within others: a file of some kilobytes with millions of numbers."""
    small = Schema({"Root": table("rows:[Row]"), "Row": table("numbers:[i32]")}, {})
    side_by_side = parse(memoryview(rows(50, 20, 21)), small, "Root", b"TEST", "sound")
    assert [len(row["numbers"]) for row in side_by_side["rows"]] == [20] * 50
    with pytest.raises(EngineDamagedError, match="parts that overlap"):
        parse(memoryview(rows(2000, 2000, 1)), small, "Root", b"TEST", "bomb")


def shared(tensors: int, graphs: int) -> bytes:
    """A .tflite of so many subgraphs with so many tensors, all of them one: four bytes for each."""
    builder = flatbuffers.Builder(1 << 12)

    def several(table: int, count: int) -> int:
        builder.StartVector(4, count, 4)
        for _ in range(count):
            builder.PrependUOffsetTRelative(table)
        return int(builder.EndVector())

    schema.BufferStart(builder)
    buffers = several(schema.BufferEnd(builder), 1)
    schema.TensorStart(builder)
    of_graph = several(schema.TensorEnd(builder), tensors)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, of_graph)
    subgraphs = several(schema.SubGraphEnd(builder), graphs)
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddBuffers(builder, buffers)
    schema.ModelAddSubgraphs(builder, subgraphs)
    builder.Finish(schema.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def test_tables_that_are_shared_cannot_stand_for_much_work(manifest: Manifest) -> None:
    with pytest.raises(EngineDamagedError, match="has no signature narrow"):
        check_tflite(memoryview(shared(10, 10)), manifest, "sound but for that")
    with pytest.raises(EngineDamagedError, match="more parts than any model has"):
        check_tflite(memoryview(shared(1 << 11, 1 << 11)), manifest, "bomb")


def test_an_engine_is_checked_before_the_library_sees_it(sound: bytes, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.compiled_model")
    paths = list(two_widths())
    good = engine_of(tmp_path / "good.tipsc", sound, paths)
    with Engine.open(good) as engine:
        x = np.zeros(engine.manifest.signature.inputs[0].shape, np.float32)
        assert np.isfinite(engine.run(x, path="wide")).all()
    bad = engine_of(tmp_path / "bad.tipsc", changed(sound, later_input), paths)
    with pytest.raises(EngineDamagedError, match=r"bad.tipsc: model: subgraph 0.*nothing wrote"):
        Engine.open(bad)
