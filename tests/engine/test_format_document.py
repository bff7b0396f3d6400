"""docs/engine-format.md is enough to read engines by, and to refuse what tipsc refuses."""

from __future__ import annotations

import json
import random
import re
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import format_reader
import numpy as np
import onnx
import pytest
from format_graphs import Refused
from onnx import helper, numpy_helper
from synthetic_engine import Net
from test_engine_file import forged, unpacked

from tipsc.engine import Plan, parse_engine, write_engine
from tipsc.errors import EngineDamagedError, EngineVersionError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzzing"))

import fuzz_engine


def same(data: bytes) -> format_reader.Read:
    """What the reader of the page makes of it, found to be what tipsc makes of it."""
    found, known = format_reader.read(data), parse_engine(data)
    assert found.manifest == known.manifest.to_json()
    assert [path["id"] for path in found.manifest["paths"]] == [p.id for p in known.manifest.paths]
    assert found.content_hash == known.content_hash
    assert found.weights == known.weights
    assert [(tuple(paths), content) for paths, content in found.plans] == [
        (plan.paths, bytes(plan.content)) for plan in known.plans
    ]
    if known.form == "onnx":
        ids = {path.id for path in known.manifest.paths}
        assert found.graphs == {name: known.graph(name) for name in ids}
    return found


@pytest.fixture
def data(engine_file: Path) -> bytes:
    return engine_file.read_bytes()


def test_an_engine_of_graphs_is_read_as_tipsc_reads_it(data: bytes) -> None:
    found = same(data)
    assert found.form == "onnx"
    for name, graph in found.graphs.items():
        model = onnx.load_from_string(graph)
        inner = found.graph(name)["graph"][0]
        assert [node["op_type"][0] for node in inner["node"]] == [
            node.op_type for node in model.graph.node
        ]


def test_an_engine_without_latencies_and_with_a_silent_graph(net: Net, tmp_path: Path) -> None:
    graphs = net.paths(3)
    manifest = net.manifest(list(graphs))
    paths = tuple(replace(p, latency=None, accuracy=None) for p in reversed(manifest.paths))
    first = next(iter(graphs))
    silent = onnx.load_from_string(graphs[first])
    silent.graph.output[0].type.tensor_type.ClearField("shape")
    graphs[first] = silent.SerializeToString()
    file = tmp_path / "e.tipsc"
    write_engine(file, replace(manifest, paths=paths, noise="a fan"), net.store.blob, graphs)
    found = same(file.read_bytes())
    assert all(found.graph(name) for name in graphs)


def test_an_engine_with_plans(net: Net, graphs: dict[str, bytes], tmp_path: Path) -> None:
    a, b, c, d = graphs
    manifest = replace(net.manifest(list(graphs)), recipe={"plans": "x"}, built={"state": "x"})
    plans = [Plan((a,), b"alone"), Plan((d, b, c), b"three in one")]
    write_engine(tmp_path / "e.tipsc", manifest, net.store.blob, graphs, plans)
    found = same((tmp_path / "e.tipsc").read_bytes())
    assert found.form == "plans" and len(found.plans) == 2


def test_an_engine_of_a_tflite(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.schema_py_generated")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compile"))
    from plain_tflite import engine_of, two_widths

    from tipsc.compile.tflite.merge import merge

    model = merge(two_widths()).model
    found = same(engine_of(tmp_path / "e.tipsc", model, ["narrow", "wide"]).read_bytes())
    assert found.form == "tflite" and found.weights == model


# Faults: of the bytes, then of a header, a manifest and a graph whose hashes are right again.


def in_bytes(at: int, value: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + value + data[at + len(value) :]


def flipped(section: str) -> Callable[[bytes], bytes]:
    """The first bit of a section."""

    def fault(data: bytes) -> bytes:
        found = {s["name"]: s["offset"] for s in unpacked(data)[0]["sections"]}
        at = found[section]
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return fault


def in_header(edit: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    def fault(data: bytes) -> bytes:
        header, bodies = unpacked(data)
        edit(header)
        return forged(header, bodies, lay_out=False)

    return fault


def in_manifest(edit: Callable[[Any], object]) -> Callable[[bytes], bytes]:
    """`edit` changes the parsed manifest, or gives other bytes for it."""

    def fault(data: bytes) -> bytes:
        header, bodies = unpacked(data)
        manifest = json.loads(bodies["manifest"])
        edited = edit(manifest)
        text = edited if isinstance(edited, bytes) else json.dumps(manifest).encode()
        return forged(header, bodies | {"manifest": text})

    return fault


def in_graph(edit: Callable[[onnx.ModelProto], object]) -> Callable[[bytes], bytes]:
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


def as_tflite(model: bytes, **tables: object) -> Callable[[bytes], bytes]:
    """The same manifest before a model of the form tflite."""

    def fault(data: bytes) -> bytes:
        header, bodies = unpacked(data)
        header["sections"][1:] = [header["sections"][1] | {"name": "model"}]
        header |= {"graphs": [], **tables}
        return forged(header, bodies | {"model": model})

    return fault


def repacked(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def fault(data: bytes) -> bytes:
        header, bodies = unpacked(data)
        return forged(header, bodies | {"graphs": change(bodies["graphs"])})

    return fault


def refer(key: str, value: str) -> Callable[[onnx.ModelProto], object]:
    def edit(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.external_data)
        next(entry for entry in tensor.external_data if entry.key == key).value = value

    return edit


def path(**values: object) -> Callable[[Any], object]:
    return lambda manifest: manifest["paths"][0].update(values)


def a_function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="own")


def dynamic(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"


def growing(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 30]), "many"))
    some = next(t.name for t in model.graph.initializer if t.data_type == 1)
    model.graph.node.insert(0, helper.make_node("Expand", [some, "many"], ["huge"]))


def computed(model: onnx.ModelProto) -> None:
    some = next(t.name for t in model.graph.initializer if t.data_type == 1)
    model.graph.node.insert(0, helper.make_node("EyeLike", [some], ["square"]))


def overlong(model: onnx.ModelProto) -> bytes:
    return b"\x88\x00" + model.SerializeToString()[1:]  # the tag of ir_version


def repeated_key(manifest: Any) -> bytes:
    return b'{"name": "a", ' + json.dumps(manifest).encode()[1:]


def infinite(manifest: Any) -> bytes:
    return json.dumps(manifest).encode().replace(b'"p50_ms": 1.0', b'"p50_ms": 1e999')


#: the fault, and a word of the reader's own reason
FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "magic": (in_bytes(0, b"X"), "magic"),
    "version": (in_bytes(8, struct.pack("<I", 2)), "version"),
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
    "huge graph": (in_header(lambda h: h["graphs"][0].update(length=1 << 40)), "too long"),
    "plans without built": (
        in_header(lambda h: h.update(plans=[{"paths": [h["graphs"][0]["path"]], "length": 0}])),
        "plans of other paths",
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
    "accuracy": (in_manifest(path(accuracy=1.5)), "from 0 to 1"),
    "id": (in_manifest(path(id="../x")), "path id"),
    "no inputs": (in_manifest(lambda m: m.update(inputs=[])), "a list"),
    "shape": (in_manifest(lambda m: m["inputs"][0].update(shape=[1, 0])), "a shape"),
    "too large": (in_manifest(lambda m: m["inputs"][0].update(shape=[1 << 29])), "too large"),
    "gate": (in_manifest(lambda m: m["space"][0].update(gate="none")), "a gate"),
    "options": (in_manifest(lambda m: m["space"][0].update(options=[2, 1])), "increase"),
    "tail of the stream": (repacked(lambda packed: packed + b"x"), "behind the stream"),
    "stream cut short": (repacked(lambda packed: packed[:-4]), "length of graphs"),
    "too much in the stream": (
        repacked(lambda packed: zlib.compress(zlib.decompress(packed) + b"x")),
        "length of graphs",
    ),
    "checksum": (repacked(lambda packed: packed[:-1] + bytes([packed[-1] ^ 1])), "zlib"),
    "location": (in_graph(refer("location", "/etc/passwd")), "another location"),
    "outside": (in_graph(refer("offset", "999999999")), "outside the weights"),
    "offset": (in_graph(refer("offset", "-1")), "offset and length"),
    "domain": (in_graph(lambda m: m.graph.node[0].MergeFrom(onnx.NodeProto(domain="x"))), "domain"),
    "function": (in_graph(a_function), "field 25 of ModelProto"),
    "a constant too large": (in_graph(growing), "too large"),
    "a constant of any size": (in_graph(computed), "EyeLike of constants"),
    "overlong tag": (in_graph(overlong), "shortest"),
    "name of an input": (in_graph(lambda m: setattr(m.graph.input[0], "name", "z")), "inputs"),
    "dynamic shape": (in_graph(dynamic), "inputs"),
    "one output more": (in_graph(lambda m: m.graph.output.append(m.graph.output[0])), "outputs"),
}


def read_all(data: bytes) -> None:
    found = format_reader.read(data)
    for name in found.graphs:
        found.graph(name)


def tipsc_reads_all(data: bytes) -> None:
    engine = parse_engine(data)
    for entry in engine.manifest.paths:
        engine.graph(entry.id)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_tipsc_refuses_is_refused_by_the_page(data: bytes, fault: str) -> None:
    make, reason = FAULTS[fault]
    broken = make(data)
    with pytest.raises((EngineDamagedError, EngineVersionError)):
        tipsc_reads_all(broken)
    with pytest.raises(Refused, match=re.escape(reason)):
        read_all(broken)


def test_of_mutated_files_none_is_taken_that_tipsc_refuses(data: bytes) -> None:
    taken = 0
    for seed in range(500):
        broken = fuzz_engine.mutated(random.Random(seed), data)
        try:
            read_all(broken)
        except Refused:
            continue
        same(broken)  # which raises if tipsc refuses it, or reads anything else
        taken += 1
    assert taken > 20  # bytes that mean nothing: names, other weights


@pytest.mark.parametrize(
    "make",
    [in_header, in_manifest, in_graph],
)
def test_what_faults_are_made_with_breaks_nothing(
    data: bytes, make: Callable[..., Callable[[bytes], bytes]]
) -> None:
    untouched = make(lambda content: None)(forged(*unpacked(data)))
    read_all(untouched)
    same(untouched)
    same(as_tflite(b"1234TFL3")(data))
