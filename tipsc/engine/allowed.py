"""What a path graph may hold: the fields of ONNX that tipsc writes, and nothing else.

A graph comes from a file that somebody else may have made, and goes to a library that follows what
it finds: files named by functions, sparse tensors or attributes have been read by one version and
refused by another. So everything that is not in the tables below is refused, whatever it means.
Tags and lengths must be written in the shortest way, and a field that is one thing must be there
once (readers merge what is there twice), so that no two readers take them for different things.

An operation on nothing but constants is computed when the graph is opened. A few bytes can ask for
gigabytes there, so only operations are let through whose result is no larger than what they read,
and those whose size is a constant that can be read here. For that, nodes come in the order in which
they can be computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tipsc.engine.external import fields_of, number_at, text_of, varints_of
from tipsc.errors import EngineDamagedError

_VARINT, _BYTES, _FLOAT = 0, 2, 5
_REBUILD = "build the engine again with tipsc"


@dataclass(frozen=True)
class Message:
    """A protobuf message: wire types by field number, and the messages that fields hold.

    Fields that are not `repeated` may be there once.
    """

    name: str
    wires: Mapping[int, tuple[int, ...]]
    inner: dict[int, Message] = field(default_factory=dict)
    repeated: frozenset[int] = frozenset()


def _message(name: str, varints: str = "", texts: str = "", repeated: str = "") -> Message:
    wires: dict[int, tuple[int, ...]] = {}
    for numbers, kinds in ((varints, (_VARINT,)), (texts, (_BYTES,))):
        wires |= {int(number): kinds for number in numbers.split()}
    return Message(name, wires, repeated=frozenset(map(int, repeated.split())))


_ENTRY = _message("StringStringEntryProto", texts="1 2")
_DIMENSION = _message("Dimension", "1", "2 3")
_SHAPE = _message("TensorShapeProto", texts="1", repeated="1")
_TENSOR_TYPE = _message("TypeProto.Tensor", "1", "2")
_TYPE = _message("TypeProto", texts="1 6")
_VALUE = _message("ValueInfoProto", texts="1 2 3 4", repeated="4")
_TENSOR = Message(
    "TensorProto",
    {
        1: (_VARINT, _BYTES), 2: (_VARINT,), 4: (_FLOAT, _BYTES), 5: (_VARINT, _BYTES),
        7: (_VARINT, _BYTES), 8: (_BYTES,), 9: (_BYTES,), 10: (1, _BYTES), 11: (_VARINT, _BYTES),
        12: (_BYTES,), 13: (_BYTES,), 14: (_VARINT,), 16: (_BYTES,),
    },
    {13: _ENTRY, 16: _ENTRY},
    frozenset((1, 4, 5, 6, 7, 10, 11, 13, 16)),
)  # fmt: skip
_ATTRIBUTE = Message(
    "AttributeProto",
    {
        1: (_BYTES,), 2: (_FLOAT,), 3: (_VARINT,), 4: (_BYTES,), 5: (_BYTES,),
        7: (_FLOAT, _BYTES), 8: (_VARINT, _BYTES), 9: (_BYTES,), 13: (_BYTES,), 20: (_VARINT,),
    },
    {5: _TENSOR},
    frozenset((7, 8, 9)),
)  # fmt: skip
_NODE = Message(
    "NodeProto",
    dict.fromkeys((1, 2, 3, 4, 5, 6, 7, 9), (_BYTES,)),
    {5: _ATTRIBUTE, 9: _ENTRY},
    frozenset((1, 2, 5, 9)),
)
_GRAPH = Message(
    "GraphProto",
    dict.fromkeys((1, 2, 5, 10, 11, 12, 13, 16), (_BYTES,)),
    {1: _NODE, 5: _TENSOR, 11: _VALUE, 12: _VALUE, 13: _VALUE, 16: _ENTRY},
    frozenset((1, 5, 11, 12, 13, 16)),
)
_OPSET = _message("OperatorSetIdProto", "2", "1")
_MODEL = Message(
    "ModelProto",
    {1: (_VARINT,), 5: (_VARINT,), **dict.fromkeys((2, 3, 4, 6, 7, 8, 14), (_BYTES,))},
    {7: _GRAPH, 8: _OPSET, 14: _ENTRY},
    frozenset((8, 14)),
)
_SHAPE.inner[1] = _DIMENSION
_TENSOR_TYPE.inner[2] = _SHAPE
_TYPE.inner[1] = _TENSOR_TYPE
_VALUE.inner.update({2: _TYPE, 4: _ENTRY})

_MAX_DEPTH = 64
#: operators of which the result of constants is no larger than these, to within its own type
NO_LARGER = frozenset(
    (
        "Cast", "Concat", "Constant", "DequantizeLinear", "Flatten", "Identity", "Neg",
        "QuantizeLinear", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
    )
)  # fmt: skip
#: operators whose result has the size that one of their inputs says, by its place
SIZED = {"ConstantOfShape": 0, "Expand": 1, "Tile": 1}
#: operators whose result has at most as many values as the product of their inputs' numbers of them
PAIRED = frozenset(("Add", "Div", "Gather", "MatMul", "Mul", "Sub"))
#: values that such an operator may give
MOST_VALUES = 1 << 24
#: axes of a tensor, and values that one of them may have
_MOST_AXES, _LONGEST_AXIS = 32, 1 << 40
#: times the values of all constants that all operations on them may give, beside that
GROWTH = 16


def check_allowed(model: bytes, where: str) -> None:
    """Raises EngineDamagedError for a serialised ModelProto that holds anything not allowed."""
    _check(memoryview(model), _MODEL, where, 0)
    for number, _, graph, _ in fields_of(memoryview(model), where):
        if number == 7 and graph is not None:
            _check_sizes(graph, where)


def _check(message: memoryview, kind: Message, where: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise EngineDamagedError("graphs are nested too deeply", where=where)
    seen: set[int] = set()
    for number, start, payload, _ in fields_of(message, where, shortest=True):
        if number in seen and number not in kind.repeated:
            raise EngineDamagedError(
                f"field {number} of {kind.name} is there twice", where=where, fix=_REBUILD
            )
        seen.add(number)
        wire = message[start] & 7
        if wire not in kind.wires.get(number, ()):
            raise EngineDamagedError(
                "a graph holds what tipsc does not write",
                where=where,
                got=f"field {number} of {kind.name}",
                fix=_REBUILD,
            )
        inner = kind.inner.get(number)
        if inner is not None and payload is not None:
            _check(payload, inner, where, depth + 1)
        elif kind is _NODE and number == 7 and payload is not None and len(payload):
            raise EngineDamagedError(
                "a graph uses operators of another domain than ONNX's own",
                where=where,
                got=text_of(payload, where)[:60],
                fix=_REBUILD,
            )


def _check_sizes(graph: memoryview, where: str) -> None:
    """Operations on nothing but constants: what they give must be of a known, sensible size."""
    known: dict[str, int] = {}  # values of a constant
    shapes: dict[str, tuple[int, ...]] = {}  # of those that are no results
    small: dict[str, tuple[int, ...]] = {}  # the content of one that says a size
    for number, _, tensor, _ in fields_of(graph, where):
        if number == 5 and tensor is not None:
            name, shape, content = _constant(tensor, where)
            known[name], shapes[name] = math.prod(shape), shape
            if content is not None:
                small[name] = content
    made, most = 0, GROWTH * sum(known.values())
    computed = known.keys() | _inputs(graph, where)
    for number, _, node, _ in fields_of(graph, where):
        if number != 1 or node is None:
            continue
        inputs, outputs, operator = _node(node, where)
        given = [name for name in inputs if name]
        late = [name for name in given if name not in computed]
        if late or not computed.isdisjoint(filter(None, outputs)):
            raise EngineDamagedError(
                f"nodes are not in the order in which they are computed, at {operator}",
                where=where,
                fix=_REBUILD,
            )
        computed |= set(outputs)
        if operator == "Shape":  # of a shape that is known, so it is computed on opening
            known |= dict.fromkeys(outputs, _MOST_AXES)
            continue
        if not all(name in known for name in given):
            continue
        values = sum(known[name] for name in given)
        if operator == "Constant":
            shape, content = _value_of(node, where)
            values = math.prod(shape)
            shapes |= dict.fromkeys(outputs, shape)
            if content is not None:
                small |= dict.fromkeys(outputs, content)
        elif operator in SIZED:
            place = SIZED[operator]
            size = small.get(inputs[place]) if place < len(inputs) else None
            values = _size(operator, known.get(inputs[0]) if inputs else None, size)
        elif operator in PAIRED:
            paired = _paired(operator, [shapes.get(name) for name in given])
            values = math.prod(known[name] for name in given) if paired is None else paired
        if (
            values > MOST_VALUES
            if operator in SIZED or operator in PAIRED
            else (operator not in NO_LARGER)
        ):
            raise EngineDamagedError(
                f"a graph computes {operator} of constants, which may take any memory",
                where=where,
                fix=_REBUILD,
            )
        known |= dict.fromkeys(outputs, values)
        made += values
        if made > MOST_VALUES + most:
            raise EngineDamagedError(
                f"a graph computes more and more of constants, up to {operator}",
                where=where,
                expected=f"at most {MOST_VALUES + most} values",
                got=made,
                fix=_REBUILD,
            )


def _paired(operator: str, shapes: list[tuple[int, ...] | None]) -> int | None:
    """How many values a sum or product of two tensors of known shapes has; None: not known."""
    if len(shapes) != 2 or shapes[0] is None or shapes[1] is None or operator == "Gather":
        return None
    first, second = shapes[0], shapes[1]
    if operator == "MatMul":
        if len(first) < 2 or len(second) < 2:
            return None
        outer = _paired("Add", [first[:-2], second[:-2]])
        return None if outer is None else outer * first[-2] * second[-1]
    rank = max(len(first), len(second))
    pairs = zip(
        (1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second, strict=True
    )
    return math.prod(max(pair) for pair in pairs)


def _size(operator: str, values: int | None, size: tuple[int, ...] | None) -> int:
    if values is None or size is None or any(n < 0 for n in size):
        return MOST_VALUES + 1
    return math.prod(size) * (values if operator != "ConstantOfShape" else 1)


def _node(node: memoryview, where: str) -> tuple[list[str], list[str], str]:
    inputs, outputs, operator = [], [], ""
    for number, _, payload, _ in fields_of(node, where):
        if payload is not None and number in (1, 2, 4):
            text = text_of(payload, where)
            if number == 1:
                inputs.append(text)
            elif number == 2:
                outputs.append(text)
            else:
                operator = text
    return inputs, outputs, operator


def _inputs(graph: memoryview, where: str) -> set[str]:
    return {
        text_of(text, where)
        for number, _, value, _ in fields_of(graph, where)
        if number == 11 and value is not None
        for field_number, _, text, _ in fields_of(value, where)
        if field_number == 1 and text is not None
    }


def _value_of(node: memoryview, where: str) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Shape of what a Constant gives, and the values of a short one of int64."""
    shape: tuple[int, ...] = ()
    content: tuple[int, ...] | None = None
    for number, _, attribute, _ in fields_of(node, where):
        if number != 5 or attribute is None:
            continue
        listed, numbers, integers = 0, [], False
        for inner, start, payload, end in fields_of(attribute, where):
            if inner == 5 and payload is not None:
                _, shape, content = _constant(payload, where)
            elif inner == 3:
                content = (_signed(number_at(attribute, start, end, where)),)
            elif inner == 7:
                listed += 1 if payload is None else len(payload) // 4
            elif inner == 8:
                integers = True
                numbers += (
                    [number_at(attribute, start, end, where)]
                    if payload is None
                    else varints_of(payload, where)
                )
            elif inner == 9:
                listed += 1
        if listed or integers:
            shape = (listed + len(numbers),)
            content = tuple(map(_signed, numbers)) if integers and len(numbers) <= 64 else None
    return shape, content


def _signed(number: int) -> int:
    """What a varint of 64 bits stands for."""
    return number - (1 << 64) if number >> 63 else number


def _constant(
    tensor: memoryview, where: str
) -> tuple[str, tuple[int, ...], tuple[int, ...] | None]:
    """Name, shape, and the values of a short one of int64 that lies in the graph."""
    name = ""
    dims: list[int] = []
    numbers: list[int] = []
    raw: memoryview | None = None
    element = 0
    for number, start, payload, end in fields_of(tensor, where):
        if number == 8 and payload is not None:
            name = text_of(payload, where)
        elif number in (1, 7):
            if payload is None:
                values = [number_at(tensor, start, end, where)]
            else:
                values = varints_of(payload, where)
            (dims if number == 1 else numbers).extend(values)
        elif number == 2:
            element = number_at(tensor, start, end, where)
        elif number == 9:
            raw = payload
    if len(dims) > _MOST_AXES or max(dims, default=0) > _LONGEST_AXIS:
        raise EngineDamagedError(
            "a constant has an absurd shape", where=where, got=f"{len(dims)} axes", fix=_REBUILD
        )
    count = math.prod(dims)
    if element != 7 or count > 64:
        return name, tuple(dims), None
    if raw is not None:
        parts = (raw[i : i + 8] for i in range(0, len(raw), 8))
        numbers = [int.from_bytes(part, "little", signed=True) for part in parts]
    else:
        numbers = [_signed(number) for number in numbers]
    return name, tuple(dims), tuple(numbers) if len(numbers) == count else None
