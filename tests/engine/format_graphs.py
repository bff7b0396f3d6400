"""The graphs of an engine, read and checked by docs/engine-format.md alone: nothing of tipsc.

The fields that a graph may hold are taken from the page's own table.
"""

from __future__ import annotations

import math
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


def in_batch(tensor: dict[str, Any], batch: int) -> list[int]:
    """Its shape for so many examples."""
    pairs = zip(tensor["shape"], tensor["layout"], strict=True)
    return [batch if letter == "N" and batch != 1 else size for size, letter in pairs]


def checked_graph(graph: bytes, signature: dict[str, Any], batch: int, weights: int) -> Message:
    """The fields of a path's graph, if it is what the page allows."""
    model = message(graph, "ModelProto", weights)
    need(len(model["graph"]) == 1, "one graph")
    check_constants(model["graph"][0])
    for name in ("input", "output"):
        wanted = [(t["name"], t["dtype"], in_batch(t, batch)) for t in signature[f"{name}s"]]
        need(fits(model["graph"][0][name], wanted), f"{name}s are not the manifest's")
    return model


#: messages and fields that may be there several times
REPEATED: set[tuple[str, str]] = set()


def fields() -> dict[str, dict[int, tuple[str, str, str]]]:
    """Of each message by number: name, wire types, and the message that it holds."""
    found: dict[str, dict[int, tuple[str, str, str]]] = {}
    block = TEXT.split("<!-- onnx fields -->\n```text\n")[1].split("```")[0]
    for entry in re.sub(r",?\n +", ", ", block).splitlines():
        name, listed = entry.split(maxsplit=1)
        found[name] = {}
        for words in listed.split(", "):
            at, field, wires = words.rstrip(",").split()
            if field.endswith("*"):
                REPEATED.add((name, field.rstrip("*")))
            found[name][int(at)] = (field.rstrip("*"), *wires.partition(":")[::2])
    return found


FIELDS = fields()
#: bytes without a message that are no text
NO_TEXTS = ("s", "strings", "raw_data")
WIRES = {0: "v", 1: "d", 2: "b", 5: "f"}


def varint(data: bytes, at: int, shortest: bool = False) -> tuple[int, int]:
    value, start = 0, at
    while True:
        need(at < len(data) and at - start < 10, "a varint runs over")
        value |= (data[at] & 127) << 7 * (at - start)
        at += 1
        if data[at - 1] < 128:
            need(not shortest or at - start == 1 or data[at - 1] > 0, "not the shortest way")
            need(value < 1 << 64, "more than 64 bits")
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
        need(name not in found or (kind, name) in REPEATED, f"{name} is there twice")
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
        elif wires == "b" and name not in NO_TEXTS:
            value = decoded(value)
        need(name != "domain" or kind != "NodeProto" or not value, "domain of a node")
        found[name].append(value)
    if found["external_data"]:
        check_reference(found["external_data"], weights)
    return found


def check_reference(pairs: list[Message], weights: int) -> None:
    said = {last(pair, "key", ""): last(pair, "value", "") for pair in pairs}
    need(said.get("location") == "weights", "another location")
    numbers = [said.get("offset", "0"), said.get("length", "")]
    need(all(re.fullmatch("[0-9]{1,18}", n) for n in numbers), "offset and length")
    need(sum(map(int, numbers)) <= weights, "outside the weights")


def fits(values: list[Message], wanted: list[tuple[str, str, list[int]]]) -> bool:
    """Whether these inputs or outputs are those of the manifest, in any order."""
    found = []
    for value in values:
        name = last(value, "name", "")
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


NO_LARGER = set(re.findall(r"`(\w+)`", TEXT.split("| `Cast`")[1].split("|")[0])) | {"Cast"}
SIZED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
PAIRED = ("Add", "Sub", "Mul", "Div", "MatMul", "Gather")
MOST = 1 << 24


def check_constants(graph: Message) -> None:
    """That operations on constants alone give a bounded number of values."""
    for tensor in graph["initializer"]:
        check_dims(tensor)
    known = {last(t, "name", "") for t in graph["initializer"]}
    known |= {last(value, "name", "") for value in graph["input"]}
    shapes = {last(t, "name", ""): numbers(t["dims"]) for t in graph["initializer"]}
    contents = {last(t, "name", ""): content(t) for t in graph["initializer"]}
    values = {name: math.prod(shape) for name, shape in shapes.items()}
    made, most = 0, MOST + 16 * sum(values.values())
    for node in graph["node"]:
        operator, inputs = last(node, "op_type", ""), [name for name in node["input"] if name]
        need(known.issuperset(inputs), "order of the nodes")
        need(known.isdisjoint(name for name in node["output"] if name), "given twice")
        known |= set(node["output"])
        if operator == "Shape":
            values |= dict.fromkeys(node["output"], 32)
            continue
        if not all(name in values for name in inputs):
            continue
        if operator in SIZED:
            place = SIZED[operator]
            need(len(inputs) == place + 1 == len(node["input"]), "constants without a size")
            size = contents.get(inputs[place])
            need(size is not None and min(size, default=0) >= 0, "constants of no known size")
            result = math.prod(size or []) * (values[inputs[0]] if place else 1)
            need(result <= MOST, "constants too large")
        elif operator in PAIRED:
            sides = [shapes[name] for name in inputs if name in shapes]
            two = len(sides) == len(inputs) == 2 and operator != "Gather"
            result = paired(operator, *sides) if two else math.prod(values[n] for n in inputs)
            need(result <= MOST, "constants too large")
        elif operator == "Constant":
            shape, said = constant(node["attribute"])
            result = math.prod(shape)
            shapes |= dict.fromkeys(node["output"], shape)
            contents |= dict.fromkeys(node["output"], said)
        else:
            need(operator in NO_LARGER, f"{operator} of constants")
            result = sum(values[name] for name in inputs)
        values |= dict.fromkeys(node["output"], result)
        made += result
        need(made <= most, "constants that grow")


def paired(operator: str, first: list[int], second: list[int]) -> int:
    if operator == "MatMul":
        if min(len(first), len(second)) < 2:
            return math.prod(first) * math.prod(second)
        return paired("Add", first[:-2], second[:-2]) * first[-2] * second[-1]
    rank = max(len(first), len(second))
    filled = [[1] * (rank - len(shape)) + shape for shape in (first, second)]
    return math.prod(map(max, *filled)) if rank else 1


def constant(attributes: list[Message]) -> tuple[list[int], list[int] | None]:
    """Shape of what a Constant gives, and its values if they are few and of int64."""
    shape: list[int] = []
    said: list[int] | None = None
    for attribute in attributes:
        if attribute["t"]:
            (tensor,) = attribute["t"]
            check_dims(tensor)
            shape, said = numbers(tensor["dims"]), content(tensor)
        if attribute["i"]:
            said = [signed(last(attribute, "i", 0))]
        floats = sum(len(value) // 4 for value in attribute["floats"])
        listed = floats + len(attribute["strings"])
        integers = numbers(attribute["ints"])
        if listed or attribute["ints"]:
            shape = [listed + len(integers)]
            few = attribute["ints"] and len(integers) <= 64
            said = [signed(value) for value in integers] if few else None
    return shape, said


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def check_dims(tensor: Message) -> None:
    dims = numbers(tensor["dims"])
    need(len(dims) <= 32 and max(dims, default=0) <= 1 << 40, "absurd dims")


def content(tensor: Message) -> list[int] | None:
    """The values of a short one of int64 that lies in the graph."""
    count, raw = math.prod(numbers(tensor["dims"])), last(tensor, "raw_data", None)
    if last(tensor, "data_type", 0) != 7 or count > 64:
        return None
    found = [signed(value) for value in numbers(tensor["int64_data"])]
    if raw is not None:
        found = [
            int.from_bytes(raw[i : i + 8], "little", signed=True) for i in range(0, len(raw), 8)
        ]
    return found if len(found) == count else None


def numbers(values: list[Any]) -> list[int]:
    """Of a field of varints, packed or not."""
    found = []
    for value in values:
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            one, at = varint(value, at)
            found.append(one)
    return found


def last(values: Message, name: str, default: Any) -> Any:
    return values[name][-1] if values.get(name) else default


def decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Refused("UTF-8") from error
