"""A reader of engine files that is written from docs/engine-format.md alone: nothing of tipsc."""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from format_graphs import Message, Refused, checked_graph, in_batch, need

FORMS = {
    "onnx": [("manifest", "json"), ("weights", "raw"), ("graphs", "zlib")],
    "tflite": [("manifest", "json"), ("model", "raw")],
    "plans": [("manifest", "json"), ("weights", "raw"), ("graphs", "zlib"), ("plans", "raw")],
}
SIZES = {"float32": 4, "float16": 2, "float64": 8, "int8": 1, "uint8": 1, "int16": 2, "int32": 4,
         "int64": 8, "bool": 1}  # fmt: skip
MIB = 1 << 20
REQUIRED = object()
Check = Callable[[Any], Any]


@dataclass(frozen=True)
class Read:
    form: str
    content_hash: str
    manifest: dict[str, Any]
    weights: bytes
    graphs: dict[str, bytes]
    plans: list[tuple[list[str], bytes]]

    def graph(self, path: str) -> Message:
        """The fields of the graph of a path."""
        (batch,) = (entry["batch"] for entry in self.manifest["paths"] if entry["id"] == path)
        return checked_graph(
            self.graphs[path], self.manifest["signature"], batch, len(self.weights)
        )


def read(data: bytes) -> Read:
    need(data[:8] == b"TIPSCENG" and len(data) >= 48, "magic")
    version, length = struct.unpack_from("<II", data, 8)
    need(version == 3, "version")
    need(length <= MIB, "header too long")
    raw = data[48 : 48 + length]
    need(len(raw) == length, "header cut short")
    need(hashlib.sha256(raw).digest() == data[16:48], "hash of header")
    header = HEADER(parse_json(raw))
    form, at = "", 48 + length
    for name, kinds in FORMS.items():
        if [(s["name"], s["encoding"]) for s in header["sections"]] == kinds:
            form = name
    need(form != "", "no form")
    bodies = {}
    for section in header["sections"]:
        start, end = section["offset"], section["offset"] + section["length"]
        need(start == (at + 4095) // 4096 * 4096 and section["length"] >= 0, "out of place")
        need(end <= len(data), "section cut short")
        need(not any(data[at:start]), "zeros between sections")
        bodies[section["name"]], at = data[start:end], end
    need(at == len(data), "more behind the sections")
    need(len(bodies["manifest"]) <= 4 * MIB, "manifest too long")
    for section in header["sections"]:
        digest = hashlib.sha256(bodies[section["name"]]).hexdigest()
        need(digest == section["sha256"], f"hash of {section['name']}")
    manifest = checked_manifest(parse_json(bodies["manifest"]))
    ids = sorted(path["id"] for path in manifest["paths"])
    graphs: dict[str, bytes] = {}
    plans = []
    if form == "tflite":
        need(bodies["model"][4:8] == b"TFL3", "identifier of the .tflite")
        need(not header["graphs"] and not header["plans"], "tables of another form")
        need(not manifest["built"], "built")
    else:
        graphs = unpacked_graphs(bodies["graphs"], header["graphs"], len(bodies["weights"]))
        need(sorted(graphs) == ids, "graphs of other paths")
        section, at = bodies.get("plans", b""), 0
        for plan in header["plans"]:
            need(plan["length"] >= 0, "length of a plan")
            plans.append((plan["paths"], section[at : at + plan["length"]]))
            at += plan["length"]
        need(at == len(section), "lengths of plans")
        need(bool(plans) == (form == "plans"), "plans without a section, or one without plans")
        need(all(paths for paths, _ in plans), "a plan of no path")
        planned = sorted(path for paths, _ in plans for path in paths)
        need(planned == (ids if manifest["built"] else []), "plans of other paths")
    weights = bodies["model" if form == "tflite" else "weights"]
    return Read(form, hashlib.sha256(raw).hexdigest(), manifest, weights, graphs, plans)


def unpacked_graphs(section: bytes, table: list[dict[str, Any]], weights: int) -> dict[str, bytes]:
    lengths = [entry["length"] for entry in table]
    need(len({entry["path"] for entry in table}) == len(table), "a graph twice")
    need(min(lengths, default=0) >= 0, "length of a graph")
    need(sum(lengths) <= 128 * MIB, "graphs too long")
    need(max(lengths, default=0) <= weights + MIB, "a graph too long")
    need(len(section) <= sum(lengths) + MIB, "packed graphs too long")
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(section, sum(lengths) + 1)
    except zlib.error as error:
        raise Refused(f"zlib: {error}") from error
    need(len(content) == sum(lengths) and stream.eof, "length of graphs")
    need(not stream.unused_data, "more behind the stream")
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return {
        entry["path"]: content[end - entry["length"] : end]
        for entry, end in zip(table, ends, strict=True)
    }


def parse_json(raw: bytes) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(pairs)) == len(pairs), "a key is repeated")
        return dict(pairs)

    def integer(digits: str) -> int:
        need(len(digits) <= 20, "digits")
        return int(digits)

    def constant(name: str) -> float:
        raise Refused(f"{name} is no number")

    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=unique, parse_int=integer, parse_constant=constant
        )
        need(levels(value) <= 16, "levels")
        return value
    except (ValueError, RecursionError) as error:
        raise Refused(f"no JSON: {error}") from error


def levels(value: Any) -> int:
    if not isinstance(value, (dict, list)):
        return 0
    parts = value.values() if isinstance(value, dict) else value
    return 1 + max(map(levels, parts), default=0)


def text(value: Any) -> str:
    need(type(value) is str, "a string")
    need(not re.search("[\ud800-\udfff]", value), "half a character")
    return str(value)


def integer(value: Any) -> int:
    need(type(value) is int, "an integer")
    return int(value)


def count(value: Any) -> int:
    need(integer(value) >= 0, "an integer that is not negative")
    return int(value)


def number(value: Any) -> float:
    need(type(value) in (int, float) and math.isfinite(value), "a number")
    return float(value)


def time(value: Any) -> float:
    need(number(value) > 0, "a time above 0")
    return float(value)


def or_null(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def list_of(check: Check, least: int = 0) -> Check:
    def checked(value: Any) -> list[Any]:
        need(type(value) is list and len(value) >= least, "a list")
        return [check(item) for item in value]

    return checked


def map_of(check: Check) -> Check:
    def checked(value: Any) -> dict[str, Any]:
        need(type(value) is dict, "an object")
        return {key: check(item) for key, item in value.items()}

    return checked


def keys(**known: Check | tuple[Check, Any]) -> Check:
    """An object of these keys: a check, or that and the default of a key that may be missing."""
    rules = {name: rule if isinstance(rule, tuple) else (rule, REQUIRED)
             for name, rule in known.items()}  # fmt: skip

    def checked(value: Any) -> dict[str, Any]:
        need(type(value) is dict and set(value) <= set(rules), "an object of known keys")
        missing = [n for n, (_, default) in rules.items() if n not in value and default is REQUIRED]
        need(not missing, f"{missing} missing")
        return {name: check(value[name]) if name in value else default
                for name, (check, default) in rules.items()}  # fmt: skip

    return checked


HEADER = keys(
    sections=list_of(keys(name=text, encoding=text, offset=integer, length=integer, sha256=text)),
    graphs=list_of(keys(path=text, length=integer)),
    plans=(list_of(keys(paths=list_of(text), length=integer)), []),
)
TENSOR = keys(name=text, dtype=text, shape=list_of(integer), layout=text)
LATENCY = keys(p10_ms=time, p50_ms=time, p95_ms=time, pause_ms=(or_null(number), None))
QUALITY = keys(name=text, value=number, unit=(text, ""), better=(text, "higher"))


def tree(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = TREE(value)
    kind, names, parts = found["kind"], found["keys"], found["parts"]
    need(kind in ("tensor", "none", "tuple", "list", "dict", "record"), "kind of a tree")
    need(not parts or kind not in ("tensor", "none"), "parts of a leaf")
    need(len(names) == (len(parts) if kind in ("dict", "record") else 0), "keys")
    need(len(set(names)) == len(names), "keys")
    need(kind != "record" or all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", n) for n in names),
         "name of a field")  # fmt: skip
    need(height(found) <= 6, "too deep")
    return found


TREE = keys(kind=text, keys=(list_of(text), []), parts=(list_of(tree), []))


def height(found: dict[str, Any]) -> int:
    if found["kind"] in ("tensor", "none"):
        return 0
    return 1 + max(map(height, found["parts"]), default=0)


def tensors_of(found: dict[str, Any]) -> int:
    return int(found["kind"] == "tensor") + sum(map(tensors_of, found["parts"]))


SIGNATURE = keys(
    inputs=list_of(TENSOR, 1), outputs=list_of(TENSOR, 1), takes=tree, gives=tree
)  # fmt: skip


def quality(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = QUALITY(value)
    need(found["better"] in ("higher", "lower"), "higher or lower")
    need(found["unit"] != "share" or 0 <= found["value"] <= 1, "a share from 0 to 1")
    return found


PATH = keys(
    id=text, options=map_of(integer), quality=or_null(quality), latency=or_null(LATENCY),
    macs=count, parameters=count, shared_bytes=count, private_bytes=count,
    batch=(count, 1), energy_mj=(or_null(time), None),
)  # fmt: skip
CHOICE = keys(name=text, options=list_of(integer, 1), gate=or_null(text), gate_from=integer)
MANIFEST = keys(
    name=text, target=text, backend=text, signature=SIGNATURE,
    paths=list_of(PATH, 1), space=list_of(CHOICE), provenance=(map_of(text), {}),
    recipe=(map_of(text), {}), built=(map_of(text), {}), noise=(text, ""),
    states=(map_of(text), {}),
)  # fmt: skip


def checked_manifest(value: Any) -> dict[str, Any]:
    manifest: dict[str, Any] = MANIFEST(value)
    signature = manifest["signature"]
    tensors = signature["inputs"] + signature["outputs"]
    for tensor in tensors:
        need(tensor["name"] != "" and tensor["dtype"] in SIZES, "a tensor's name and dtype")
        need(all(n >= 1 for n in tensor["shape"]), "a shape")
        known = tensor["layout"].replace("-", "")
        need(len(tensor["layout"]) == len(tensor["shape"]), "a layout")
        need(set(known) <= set("NCDHWL") and len(set(known)) == len(known), "a layout")
    batches = [path["batch"] for path in manifest["paths"]]
    need(all(1 <= batch <= 4096 for batch in batches), "a batch")
    axes = [n for t in tensors for n, a in zip(t["shape"], t["layout"], strict=True) if a == "N"]
    need(set(batches) == {1} or set(axes) == {1}, "batches of a signature that is not of one")
    sizes = [math.prod(in_batch(t, max(batches))) * SIZES[t["dtype"]] for t in tensors]
    need(sum(sizes) <= 1 << 30, "too large")
    for part, found in (("inputs", "takes"), ("outputs", "gives")):
        names = [tensor["name"] for tensor in signature[part]]
        need(len(set(names)) == len(names), "a name twice")
        need(tensors_of(signature[found]) == len(names), "tensors of a tree")
    states = manifest["states"]
    form = {t["name"]: (t["dtype"], t["shape"]) for t in signature["inputs"]}
    given = {t["name"]: (t["dtype"], t["shape"]) for t in signature["outputs"]}
    need(all(i in form and form[i] == given.get(o) for i, o in states.items()), "a state")
    need(len(set(states.values())) == len(states), "an output that is two states")
    need(not states or len(states) < len(form), "an input that is no state")
    ids = [path["id"] for path in manifest["paths"]]
    need(len(set(ids)) == len(ids), "a path twice")
    need(all(re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name) for name in ids), "a path id")
    measures = [(q["name"], q["unit"], q["better"])
                for path in manifest["paths"] if (q := path["quality"])]  # fmt: skip
    need(len(set(measures)) < 2, "qualities of one measure")
    last: dict[str, int] = {}
    for choice in manifest["space"]:
        name, options, gate = choice["name"], choice["options"], choice["gate"]
        need(name not in last and bool(re.fullmatch("[^=,; \t\n]+", name)), "name of a choice")
        need(sorted(set(options)) == options, "options that increase")
        need(gate is None or (gate in last and choice["gate_from"] <= last[gate]), "a gate")
        last[name] = options[-1]
    manifest["paths"].sort(
        key=lambda p: (p["latency"]["p50_ms"] if p["latency"] else math.inf, p["macs"], p["id"])
    )
    return manifest
