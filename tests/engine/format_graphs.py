"""The graphs of an engine, read and checked by docs/engine-format.md alone: nothing of tipsc.

The fields that a graph may hold are taken from the page's own table.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

TEXT = (Path(__file__).parents[2] / "docs" / "engine-format.md").read_text(encoding="utf-8")
ELEMENTS = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
            10: "float16", 11: "float64"}  # fmt: skip
Message = dict[str, list[Any]]


class Refused(Exception):
    """A file that breaks a rule of the page; says which."""


def need(ok: bool, what: str) -> None:
    if not ok:
        raise Refused(what)


def checked_graph(graph: bytes, manifest: dict[str, Any], weights: int) -> Message:
    """The fields of a path's graph, if it is what the page allows."""
    model = message(graph, "ModelProto", weights)
    need(len(model["graph"]) == 1, "one graph")
    for name in ("input", "output"):
        wanted = [(t["name"], t["dtype"], t["shape"]) for t in manifest[f"{name}s"]]
        need(fits(model["graph"][0][name], wanted), f"{name}s are not the manifest's")
    return model


def fields() -> dict[str, dict[int, tuple[str, str, str]]]:
    """Of each message by number: name, wire types, and the message that it holds."""
    found: dict[str, dict[int, tuple[str, str, str]]] = {}
    block = TEXT.split("<!-- onnx fields -->\n```text\n")[1].split("```")[0]
    for entry in re.sub(r",?\n +", ", ", block).splitlines():
        name, listed = entry.split(maxsplit=1)
        found[name] = {}
        for words in listed.split(", "):
            at, field, wires = words.rstrip(",").split()
            found[name][int(at)] = (field, *wires.partition(":")[::2])
    return found


FIELDS = fields()
WIRES = {0: "v", 1: "d", 2: "b", 5: "f"}


def varint(data: bytes, at: int, shortest: bool = False) -> tuple[int, int]:
    value, start = 0, at
    while True:
        need(at < len(data) and at - start < 10, "a varint runs over")
        value |= (data[at] & 127) << 7 * (at - start)
        at += 1
        if data[at - 1] < 128:
            need(not shortest or at - start == 1 or data[at - 1] > 0, "not the shortest way")
            return value, at


def message(data: bytes, kind: str, weights: int) -> Message:
    """Values by name of field; those of inner messages too."""
    found: Message = defaultdict(list)
    at = 0
    while at < len(data):
        tag, at = varint(data, at, shortest=True)
        name, wires, inner = FIELDS[kind].get(tag >> 3, ("", "", ""))
        wire = WIRES.get(tag & 7, "none")
        need(wire in wires, f"field {tag >> 3} of {kind}, which is not in the table")
        value: Any = None
        if wire == "v":
            value, at = varint(data, at)
        else:
            length = {"d": 8, "f": 4}.get(wire)
            if length is None:
                length, at = varint(data, at, shortest=True)
            need(at + length <= len(data), "a field runs over")
            value, at = data[at : at + length], at + length
        if inner:
            value = message(value, inner, weights)
        need(name != "domain" or kind != "NodeProto" or not value, "domain of a node")
        found[name].append(value)
    if found["external_data"]:
        check_reference(found["external_data"], weights)
    return found


def check_reference(pairs: list[Message], weights: int) -> None:
    said = {decoded(last(p, "key", b"")): decoded(last(p, "value", b"")) for p in pairs}
    need(said.get("location") == "weights", "another location")
    numbers = [said.get("offset", "0"), said.get("length", "")]
    need(all(re.fullmatch("[0-9]{1,18}", n) for n in numbers), "offset and length")
    need(sum(map(int, numbers)) <= weights, "outside the weights")


def fits(values: list[Message], wanted: list[tuple[str, str, list[int]]]) -> bool:
    """Whether these inputs or outputs are those of the manifest, in any order."""
    found = []
    for value in values:
        name = decoded(last(value, "name", b""))
        kind = last(last(value, "type", {}), "tensor_type", {})
        shape = last(kind, "shape", None)
        sizes = None if shape is None else [last(d, "dim_value", 0) for d in shape["dim"]]
        same = [spec for spec in wanted if spec[0] == name]
        found.append(name)
        if not same or ELEMENTS.get(last(kind, "elem_type", 0)) != same[0][1]:
            return False
        if sizes is not None and sizes != same[0][2]:
            return False
    return sorted(found) == sorted(name for name, _, _ in wanted)


def last(values: Message, name: str, default: Any) -> Any:
    return values[name][-1] if values.get(name) else default


def decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Refused("UTF-8") from error
