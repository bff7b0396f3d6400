"""Engines with one thing wrong, and what the reader of docs/engine-format.md says of it.

A fault in a header, a manifest or a graph has right hashes: only the check behind them finds it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from test_engine_file import forged, unpacked

#: makes a broken engine of a sound one
Fault = Callable[[bytes], bytes]


def in_bytes(at: int, value: bytes) -> Fault:
    return lambda data: data[:at] + value + data[at + len(value) :]


def flipped(section: str) -> Fault:
    """The first bit of a section."""

    def fault(data: bytes) -> bytes:
        found = {s["name"]: s["offset"] for s in unpacked(data)[0]["sections"]}
        at = found[section]
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return fault


def in_header(edit: Callable[[Any], object]) -> Fault:
    def fault(data: bytes) -> bytes:
        header, bodies = unpacked(data)
        edit(header)
        return forged(header, bodies, lay_out=False)

    return fault


def in_manifest(edit: Callable[[Any], object]) -> Fault:
    """`edit` changes the parsed manifest, or gives other bytes for it."""

    def fault(data: bytes) -> bytes:
        header, bodies = unpacked(data)
        manifest = json.loads(bodies["manifest"])
        edited = edit(manifest)
        text = edited if isinstance(edited, bytes) else json.dumps(manifest).encode()
        return forged(header, bodies | {"manifest": text})

    return fault


def in_graph(edit: Callable[[onnx.ModelProto], object]) -> Fault:
    """`edit` changes the first graph, or gives other bytes for it."""

    def fault(data: bytes) -> bytes:
        header, bodies = unpacked(data)
        length = header["graphs"][0]["length"]
        content = zlib.decompress(bodies["graphs"])
        model = onnx.load_from_string(content[:length])
        edited = edit(model)
        graph = edited if isinstance(edited, bytes) else model.SerializeToString()
        header["graphs"][0]["length"] = len(graph)
        return forged(header, bodies | {"graphs": zlib.compress(graph + content[length:])})

    return fault


def as_tflite(model: bytes, **tables: object) -> Fault:
    """The same manifest before a model of the form tflite."""

    def fault(data: bytes) -> bytes:
        header, bodies = unpacked(data)
        header["sections"][1:] = [header["sections"][1] | {"name": "model"}]
        header |= {"graphs": [], **tables}
        return forged(header, bodies | {"model": model})

    return fault


def repacked(change: Fault) -> Fault:
    def fault(data: bytes) -> bytes:
        header, bodies = unpacked(data)
        return forged(header, bodies | {"graphs": change(bodies["graphs"])})

    return fault


def refer(key: str, value: str) -> Callable[[onnx.ModelProto], object]:
    def edit(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.external_data)
        next(entry for entry in tensor.external_data if entry.key == key).value = value

    return edit


SHARE = {"name": "accuracy", "value": 0.5, "unit": "share", "better": "higher"}


def path(**values: object) -> Callable[[Any], object]:
    return lambda manifest: manifest["paths"][0].update(values)


def batch_of_two(manifest: Any) -> None:
    manifest["signature"]["inputs"][0]["shape"][0] = 2
    manifest["paths"][0]["batch"] = 2


LEAF = {"kind": "tensor"}


def tensor(**values: object) -> Callable[[Any], object]:
    return lambda manifest: manifest["signature"]["inputs"][0].update(values)


def taken(**values: object) -> Callable[[Any], object]:
    return lambda manifest: manifest["signature"].update(takes=LEAF | values)


def nested(levels: int) -> object:
    return {"kind": "list", "parts": [nested(levels - 1)] if levels > 1 else []}


def negative_plan(header: Any) -> None:
    header["plans"][0]["length"], header["plans"][1]["length"] = -1, 18


def a_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="own")


def dynamic(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"


def growing(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 30]), "many"))
    some = next(t.name for t in model.graph.initializer if t.data_type == 1)
    model.graph.node.insert(0, helper.make_node("Expand", [some, "many"], ["huge"]))


def of_computed_size(model: onnx.ModelProto) -> None:
    growing(model)
    model.graph.node[0].input[1] = "few"
    model.graph.node.insert(0, helper.make_node("Neg", ["many"], ["few"]))


def square(model: onnx.ModelProto) -> None:
    for name, shape in (("column", (5000, 1)), ("row", (1, 5000))):
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.int8), name))
    model.graph.node.insert(0, helper.make_node("MatMul", ["column", "row"], ["square"]))


def doubling(model: onnx.ModelProto) -> None:
    name = next(t.name for t in model.graph.initializer if t.data_type == 1)
    for step in range(6):
        node = helper.make_node("Concat", [name] * 64, [f"step{step}"], axis=0)
        model.graph.node.insert(step, node)
        name = f"step{step}"


def computed(model: onnx.ModelProto) -> None:
    some = next(t.name for t in model.graph.initializer if t.data_type == 1)
    model.graph.node.insert(0, helper.make_node("EyeLike", [some], ["square"]))


def by_a_constant(model: onnx.ModelProto) -> None:
    growing(model)
    many = numpy_helper.from_array(np.array([1 << 30]), "many")
    del model.graph.initializer[-1]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["many"], value=many))


def large_constant(model: onnx.ModelProto) -> None:
    value = numpy_helper.from_array(np.ones(5000, np.int8), "value")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["column"], value=value))
    model.graph.node.insert(1, helper.make_node("MatMul", ["column", "column"], ["square"]))


def without_inputs(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", [], ["huge"]))


def of_nothing(model: onnx.ModelProto) -> None:
    growing(model)
    model.graph.node[0].input[0] = ""


def backwards(model: onnx.ModelProto) -> None:
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def two_graphs(model: onnx.ModelProto) -> bytes:
    return model.SerializeToString() + b"\x3a\x00"  # an empty field `graph` more


def many_axes(model: onnx.ModelProto) -> None:
    model.graph.initializer.add(name="odd", data_type=1, dims=[1 << 39] * 20_000)


def overlong(model: onnx.ModelProto) -> bytes:
    return b"\x88\x00" + model.SerializeToString()[1:]  # the tag of ir_version


def repeated_key(manifest: Any) -> bytes:
    return b'{"name": "a", ' + json.dumps(manifest).encode()[1:]


def infinite(manifest: Any) -> bytes:
    return json.dumps(manifest).encode().replace(b'"p50_ms": 1.0', b'"p50_ms": 1e999')


#: the fault, and a word of the reader's own reason
FAULTS: dict[str, tuple[Fault, str]] = {
    "magic": (in_bytes(0, b"X"), "magic"),
    "version": (in_bytes(8, struct.pack("<I", 1)), "version"),
    "header too long": (in_bytes(12, struct.pack("<I", 1 << 21)), "too long"),
    "byte of the header": (in_bytes(60, b"\0"), "hash of header"),
    "cut short": (lambda data: data[:-1], "cut short"),
    "cut within the header": (lambda data: data[:60], "header cut short"),
    "tail": (lambda data: data + b"\0", "more behind"),
    "byte of the weights": (flipped("weights"), "hash of weights"),
    "byte of the manifest": (flipped("manifest"), "hash of manifest"),
    "padding": (lambda data: forged(*unpacked(data), pad=b"x"), "zeros"),
    "order of sections": (in_header(lambda h: h["sections"].reverse()), "no form"),
    "place of a section": (in_header(lambda h: h["sections"][1].update(offset=0)), "of place"),
    "encoding": (in_header(lambda h: h["sections"][1].update(encoding="zlib")), "no form"),
    "key of the header": (in_header(lambda h: h.update(more=1)), "known keys"),
    "table of graphs": (in_header(lambda h: h["graphs"][0].update(path="other")), "other paths"),
    "negative length": (in_header(lambda h: h["graphs"][0].update(length=-1)), "length of a gr"),
    "huge graph": (in_header(lambda h: h["graphs"][0].update(length=1 << 40)), "graphs too long"),
    "graph beyond the weights": (
        in_header(lambda h: h["graphs"][0].update(length=h["sections"][1]["length"] + (1 << 21))),
        "a graph too long",
    ),
    "a graph twice": (
        in_header(lambda h: h["graphs"].append(h["graphs"][0] | {"length": 0})),
        "a graph twice",
    ),
    "packed graphs": (repacked(lambda packed: packed + bytes(2 << 20)), "packed graphs too long"),
    "plans without built": (
        in_header(lambda h: h.update(plans=[{"paths": [h["graphs"][0]["path"]], "length": 0}])),
        "plans without a section",
    ),
    "no .tflite": (as_tflite(b"1234TFL2"), "identifier"),
    "a .tflite with graphs": (
        as_tflite(b"1234TFL3", graphs=[{"path": "a", "length": 0}]),
        "tables of another form",
    ),
    "manifest too long": (
        in_manifest(lambda m: json.dumps(m).encode() + bytes(1) * (4 << 20)),
        "manifest too long",
    ),
    "unknown key": (in_manifest(lambda m: m.update(colour="red")), "known keys"),
    "repeated key": (in_manifest(repeated_key), "repeated"),
    "missing key": (in_manifest(lambda m: m.pop("target")), "missing"),
    "float for an integer": (in_manifest(path(macs=1.0)), "an integer"),
    "true for an integer": (in_manifest(path(macs=True)), "an integer"),
    "not finite": (in_manifest(infinite), "a number"),
    "share": (in_manifest(path(quality=SHARE | {"value": 1.5})), "a share from 0 to 1"),
    "which way": (in_manifest(path(quality=SHARE | {"better": "up"})), "higher or lower"),
    "measures": (in_manifest(path(quality=SHARE | {"name": "error"})), "one measure"),
    "id": (in_manifest(path(id="../x")), "path id"),
    "batch": (in_manifest(path(batch=0)), "a batch"),
    "energy of nothing": (in_manifest(path(energy_mj=0)), "above 0"),
    "energy in words": (in_manifest(path(energy_mj="2")), "a number"),
    "batch of a signature": (in_manifest(batch_of_two), "not of one"),
    "a path twice": (in_manifest(lambda m: m["paths"].append(m["paths"][0])), "a path twice"),
    "no name": (
        in_manifest(tensor(name="")),
        "name and dtype",
    ),
    "dtype": (
        in_manifest(tensor(dtype="complex64")),
        "name and dtype",
    ),
    "two inputs of a name": (
        in_manifest(lambda m: m["signature"]["inputs"].append(m["signature"]["inputs"][0])),
        "a name twice",
    ),
    "no inputs": (in_manifest(lambda m: m["signature"].update(inputs=[])), "a list"),
    "shape": (in_manifest(tensor(shape=[1, 0], layout="--")), "a shape"),
    "too large": (
        in_manifest(tensor(shape=[1 << 29], layout="-")),
        "too large",
    ),
    "another letter": (in_manifest(tensor(layout="NXHW")), "a layout"),
    "a letter twice": (in_manifest(tensor(layout="NCHH")), "a layout"),
    "letters": (in_manifest(tensor(layout="NCH")), "a layout"),
    "kind of a tree": (in_manifest(taken(kind="set")), "kind of a tree"),
    "parts of a tensor": (in_manifest(taken(parts=[LEAF])), "parts of a leaf"),
    "keys of a tuple": (in_manifest(taken(kind="tuple", keys=["a"], parts=[LEAF])), "keys"),
    "key twice": (in_manifest(taken(kind="dict", keys=["a"] * 2, parts=[LEAF] * 2)), "keys"),
    "keys": (in_manifest(taken(kind="dict", keys=["a"], parts=[])), "keys"),
    "field": (in_manifest(taken(kind="record", keys=["a b"], parts=[LEAF])), "name of a field"),
    "tensors of a tree": (in_manifest(taken(kind="list", parts=[LEAF] * 2)), "tensors of a tree"),
    "a deep tree": (in_manifest(taken(kind="list", parts=[nested(6)])), "too deep"),
    "a deeper tree": (in_manifest(taken(kind="list", parts=[nested(9)])), "levels"),
    "gate": (in_manifest(lambda m: m["space"][0].update(gate="none")), "a gate"),
    "options of a text": (in_manifest(lambda m: m["space"][0].update(options="12")), "a list"),
    "gate from a text": (in_manifest(lambda m: m["space"][0].update(gate_from="0")), "an integer"),
    "half a character": (in_manifest(lambda m: m.update(name="\ud800")), "half a character"),
    "options": (in_manifest(lambda m: m["space"][0].update(options=[2, 1])), "increase"),
    "tail of the stream": (repacked(lambda packed: packed + b"x"), "behind the stream"),
    "stream cut short": (repacked(lambda packed: packed[:-4]), "length of graphs"),
    "too much in the stream": (
        repacked(lambda packed: zlib.compress(zlib.decompress(packed) + b"x")),
        "length of graphs",
    ),
    "checksum": (repacked(lambda packed: packed[:-1] + bytes([packed[-1] ^ 1])), "zlib"),
    "no graph": (in_graph(lambda m: m.ClearField("graph")), "one graph"),
    "location": (in_graph(refer("location", "/etc/passwd")), "another location"),
    "outside": (in_graph(refer("offset", "999999999")), "outside the weights"),
    "offset": (in_graph(refer("offset", "-1")), "offset and length"),
    "domain": (in_graph(lambda m: m.graph.node[0].MergeFrom(onnx.NodeProto(domain="x"))), "domain"),
    "function": (in_graph(a_function), "field 25 of ModelProto"),
    "a constant too large": (in_graph(growing), "too large"),
    "a constant of a computed size": (in_graph(of_computed_size), "no known size"),
    "a product too large": (in_graph(square), "too large"),
    "constants that double": (in_graph(doubling), "that grow"),
    "a size from a Constant": (in_graph(by_a_constant), "too large"),
    "a large Constant": (in_graph(large_constant), "too large"),
    "a size without inputs": (in_graph(without_inputs), "without a size"),
    "a size of nothing": (in_graph(of_nothing), "without a size"),
    "nodes out of order": (in_graph(backwards), "order of the nodes"),
    "two graphs": (in_graph(two_graphs), "graph is there twice"),
    "many axes": (in_graph(many_axes), "absurd dims"),
    "cut short within a graph": (in_graph(lambda m: m.SerializeToString()[:-1]), "runs over"),
    "a constant of any size": (in_graph(computed), "EyeLike of constants"),
    "overlong tag": (in_graph(overlong), "shortest"),
    "name of an input": (
        in_graph(lambda m: setattr(m.graph.input[0], "name", "z")),
        "order of the nodes",
    ),
    "dynamic shape": (in_graph(dynamic), "inputs"),
    "one output more": (in_graph(lambda m: m.graph.output.append(m.graph.output[0])), "outputs"),
}

#: the same, of an engine with plans
FAULTS_OF_PLANS: dict[str, tuple[Fault, str]] = {
    "too short": (in_header(lambda h: h["plans"][0].update(length=1)), "lengths of plans"),
    "negative": (in_header(negative_plan), "length of a plan"),
    "a path twice": (
        in_header(lambda h: h["plans"][1]["paths"].append(h["plans"][0]["paths"][0])),
        "plans of other paths",
    ),
    "of no path": (
        in_header(lambda h: h["plans"].append({"paths": [], "length": 0})),
        "a plan of no path",
    ),
    "not built": (in_manifest(lambda m: m.update(built={})), "plans of other paths"),
}
