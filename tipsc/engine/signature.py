"""Whether a path's ONNX graph takes and gives what the manifest says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tipsc.engine.external import fields_of, number_at, text_of
from tipsc.errors import EngineDamagedError
from tipsc.signature import Signature, TensorSpec

#: ``TensorProto.DataType`` to numpy's name
_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
    10: "float16", 11: "float64",
}  # fmt: skip
#: fields of GraphProto
_FIELDS = {"inputs": 11, "outputs": 12}

#: name, dtype and shape; 0 for a dimension that is not static, None where nothing is said of it
Said = tuple[str, str, tuple[int, ...] | None]


def check_signature(model: bytes, signature: Signature, where: str) -> None:
    """Refuse a graph whose inputs and outputs are not those of the manifest.

    Args:
        model: a serialised ModelProto.
        signature: of its path.
        where: for errors.

    Raises:
        EngineDamagedError: name, dtype or shape of one differs, or `model` is not well-formed.
    """
    for name, specs in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        _compare(said(model, name, where), specs, name, where)


def said(model: bytes, part: str, where: str) -> list[Said]:
    """What a graph says of its "inputs" or "outputs".

    Raises:
        EngineDamagedError: `model` is not well-formed.
    """
    graph = b"".join(_of(memoryview(model), 7, where))  # parts of one message add up
    return [_tensor(tensor, where) for tensor in _of(memoryview(graph), _FIELDS[part], where)]


def _compare(found: list[Said], specs: Sequence[TensorSpec], name: str, where: str) -> None:
    said = [(spec.name, spec.dtype, spec.shape) for spec in specs]
    silent = {tensor for tensor, _, shape in found if shape is None}  # of their own shape
    known = [(tensor, dtype, () if tensor in silent else shape) for tensor, dtype, shape in said]
    told = [(tensor, dtype, shape or ()) for tensor, dtype, shape in found]
    if sorted(known) != sorted(told):  # they are fed and asked for by name, in any order
        raise EngineDamagedError(
            f"the manifest's {name} are not the graph's",
            where=where,
            expected=found,
            got=said,
            fix="copy or build the engine again",
        )


def _tensor(value: memoryview, where: str) -> Said:
    """Of a ValueInfoProto."""
    name, dtype = "", ""
    shape: tuple[int, ...] | None = None
    for text in _of(value, 1, where):
        name = text_of(text, where)
    for kind in _of(value, 2, where):
        for tensor in _of(kind, 1, where):
            dtype = _DTYPES.get(_number(tensor, 1, where), "another type")
            for dimensions in _of(tensor, 2, where):
                shape = tuple(_number(part, 1, where) for part in _of(dimensions, 1, where))
    return name, dtype, shape


def _of(message: memoryview, number: int, where: str) -> Iterator[memoryview]:
    for field, _, payload, _ in fields_of(message, where):
        if field == number and payload is not None:
            yield payload


def _number(message: memoryview, number: int, where: str) -> int:
    value = 0
    for field, start, payload, end in fields_of(message, where):
        if field == number and payload is None:
            value = number_at(message, start, end, where)
    return value
