"""References from an ONNX model to external data: list them, or point them elsewhere.

A reader and rewriter of the protobuf wire format (https://protobuf.dev/programming-guides/encoding)
that knows only the fields on the way from a ModelProto to its tensors' ``external_data``, so the
runtime needs no onnx package. Everything else is copied untouched. Every length is checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tipsc.engine.format import WEIGHTS_LOCATION
from tipsc.errors import EngineDamagedError

_EXTERNAL_DATA = 13  # of TensorProto: repeated StringStringEntryProto
_TENSOR: dict[int, Any] = {}
_GRAPH: dict[int, Any] = {5: _TENSOR}  # initializer
_ATTRIBUTE = {5: _TENSOR, 6: _GRAPH, 10: _TENSOR, 11: _GRAPH}  # t, g, tensors, graphs
_GRAPH[1] = {5: _ATTRIBUTE}  # node, its attribute
_MODEL = {7: _GRAPH}
_MAX_DEPTH = 64


@dataclass(frozen=True)
class External:
    """Bytes `offset` to `offset + length` of the file `location`."""

    location: str
    offset: int
    length: int


@dataclass(frozen=True)
class Initializer:
    """A constant of the outermost graph whose bytes are external.

    Attributes:
        name: of the value in the graph.
        element_type: a number of ``TensorProto.DataType``; 1 is float32.
        shape: its dimensions.
        data: where its bytes are.
    """

    name: str
    element_type: int
    shape: tuple[int, ...]
    data: External


def external_initializers(model: bytes, where: str = "model") -> list[Initializer]:
    """The external constants of the outermost graph of a serialised ModelProto.

    Raises:
        EngineDamagedError: `model` is not well-formed.
    """
    found = []
    for field, _, graph, _ in fields_of(memoryview(model), where):
        if field == 7 and graph is not None:
            for inner, _, tensor, _ in fields_of(graph, where):
                if inner == 5 and tensor is not None:
                    found.append(_initializer(tensor, where))
    return [initializer for initializer in found if initializer is not None]


def opset_of(model: bytes, where: str = "model") -> int:
    """The version of ONNX's own operators that a serialised ModelProto is written in; 0 if none.

    Raises:
        EngineDamagedError: `model` is not well-formed.
    """
    for field, _, message, _ in fields_of(memoryview(model), where):
        if field == 8 and message is not None:  # opset_import
            domain, version = "", 0
            for inner, start, text, end in fields_of(message, where):
                if inner == 1 and text is not None:
                    domain = text_of(text, where)
                elif inner == 2:
                    version = number_at(message, start, end, where)
            if not domain:
                return version
    return 0


def external_data(model: bytes, where: str = "model") -> list[External]:
    """All references of a serialised ModelProto, in file order.

    Raises:
        EngineDamagedError: `model` is not well-formed.
    """
    found: list[External] = []

    def note(reference: External) -> External:
        found.append(reference)
        return reference

    rewrite_external(model, note, where)
    return found


def rewrite_external(
    model: bytes, replace: Callable[[External], External], where: str = "model"
) -> bytes:
    """The same model with each reference replaced by what `replace` gives for it.

    Raises:
        EngineDamagedError: `model` is not well-formed.
    """
    return _rewrite(memoryview(model), _MODEL, replace, where, 0)


def check_external(model: bytes, weights_length: int, where: str) -> None:
    """Make sure that a path graph refers to nothing but bytes of the weight store.

    Raises:
        EngineDamagedError: it does, or `model` is not well-formed.
    """
    for reference in external_data(model, where):
        if reference.location != WEIGHTS_LOCATION:
            raise EngineDamagedError(
                "refers to another file than the weights", where=where, got=reference.location
            )
        if reference.offset + reference.length > weights_length:
            raise EngineDamagedError(
                "refers to bytes outside the weights",
                where=where,
                expected=f"end <= {weights_length}",
                got=reference.offset + reference.length,
            )


def _rewrite(
    message: memoryview,
    schema: dict[int, Any],
    replace: Callable[[External], External],
    where: str,
    depth: int,
) -> bytes:
    if depth > _MAX_DEPTH:
        raise EngineDamagedError("graphs are nested too deeply", where=where)
    out = bytearray()
    entries: dict[str, str] = {}
    for number, start, payload, end in fields_of(message, where):
        inner = schema.get(number)
        if schema is _TENSOR and number == _EXTERNAL_DATA and payload is not None:
            key, value = _entry(payload, where)
            entries[key] = value
        elif inner is not None and payload is not None:
            body = _rewrite(payload, inner, replace, where, depth + 1)
            out += _varint(number << 3 | 2) + _varint(len(body)) + body
        else:
            out += message[start:end]
    if entries:
        reference = replace(_reference(entries, where))
        for key, value in vars(reference).items():
            body = _field(1, key.encode()) + _field(2, str(value).encode())
            out += _field(_EXTERNAL_DATA, body)
    return bytes(out)


def _initializer(tensor: memoryview, where: str) -> Initializer | None:
    name, element_type = "", 0
    shape: list[int] = []
    entries: dict[str, str] = {}
    for number, start, payload, end in fields_of(tensor, where):
        if number == _EXTERNAL_DATA and payload is not None:
            key, value = _entry(payload, where)
            entries[key] = value
        elif number == 8 and payload is not None:
            name = text_of(payload, where)
        elif number == 1 and payload is not None:  # dims, packed
            shape += varints_of(payload, where)
        elif number in (1, 2):  # one of the dims, data_type
            value_of = number_at(tensor, start, end, where)
            if number == 1:
                shape.append(value_of)
            else:
                element_type = value_of
    if not entries:
        return None
    return Initializer(name, element_type, tuple(shape), _reference(entries, where))


def _reference(entries: dict[str, str], where: str) -> External:
    numbers = {}
    for key in ("offset", "length"):
        text = entries.get(key, "0" if key == "offset" else "")
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise EngineDamagedError(f"external data without a usable {key}", where=where, got=text)
        numbers[key] = int(text)
    return External(entries.get("location", ""), **numbers)


def _entry(message: memoryview, where: str) -> tuple[str, str]:
    texts = {1: "", 2: ""}
    for number, _, payload, _ in fields_of(message, where):
        if number in texts and payload is not None:
            texts[number] = text_of(payload, where)
    return texts[1], texts[2]


def text_of(payload: memoryview, where: str) -> str:
    try:
        return bytes(payload).decode()
    except UnicodeDecodeError as error:
        raise EngineDamagedError("text is not UTF-8", where=where) from error


def fields_of(
    message: memoryview, where: str, *, shortest: bool = False
) -> Iterator[tuple[int, int, memoryview | None, int]]:
    """(field number, start, payload if length-delimited, end) of each field.

    Args:
        shortest: refuse tags and lengths that are written in more bytes than they need.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _read_varint(message, position, where)
        if shortest and position - start > 1 and message[position - 1] == 0:
            raise _overlong(where)
        number, wire = tag >> 3, tag & 7
        payload = None
        if wire == 0:
            _, position = _read_varint(message, position, where)
        elif wire == 1:
            position += 8
        elif wire == 2:
            begin = position
            length, position = _read_varint(message, position, where)
            if shortest and position - begin > 1 and message[position - 1] == 0:
                raise _overlong(where)
            payload = message[position : position + length]
            position += length
        elif wire == 5:
            position += 4
        else:
            raise EngineDamagedError("not an ONNX model: wire type", where=where, got=wire)
        if number == 0 or position > len(message):
            raise EngineDamagedError("not an ONNX model: a field runs over", where=where)
        yield number, start, payload, position


def varints_of(payload: memoryview, where: str) -> list[int]:
    """The numbers of a packed field."""
    values, position = [], 0
    while position < len(payload):
        value, position = _read_varint(payload, position, where)
        values.append(value)
    return values


def _overlong(where: str) -> EngineDamagedError:
    return EngineDamagedError("not an ONNX model: a number is written too long", where=where)


def number_at(message: memoryview, start: int, end: int, where: str) -> int:
    """The value of the varint field from `start` to `end`."""
    _, position = _read_varint(message, start, where)
    return _read_varint(message[:end], position, where)[0]


def _read_varint(message: memoryview, position: int, where: str) -> tuple[int, int]:
    value = shift = 0
    while position < len(message) and shift < 70:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, position
        shift += 7
    raise EngineDamagedError("not an ONNX model: a number runs over", where=where)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body
