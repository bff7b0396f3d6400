"""From parsed JSON to frozen dataclasses, strictly, by their type hints alone.

Adding a field to a dataclass is all it takes to read it; a field with a default may be missing
in the JSON, so that files written before the field existed stay readable.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from tipsc.errors import DataError, EngineDamagedError, near
from tipsc.printable import cut

T = TypeVar("T")
#: metadata of a field that :func:`encode` leaves out while it has its default
LEFT_OUT: Mapping[str, bool] = types.MappingProxyType({"left out": True})
_DIGITS = 20  # of a number of 64 bits, with its sign
MOST_LEVELS = 16  # of objects and lists inside each other
_TYPE_NAMES = {str: "a string", int: "an integer", float: "a finite number", bool: "true or false"}


def loads(text: bytes, where: str) -> object:
    """Parsed JSON; refuses repeated keys, NaN, infinities, more than 16 levels, huge integers,
    half surrogates.

    Raises:
        EngineDamagedError: `text` is not such JSON.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = dict(pairs)
        if len(keys) != len(pairs):
            raise ValueError("a key is repeated")
        return keys

    def refuse(constant: str) -> object:
        raise ValueError(f"{constant} is not JSON")

    def integer(digits: str) -> int:
        if len(digits) > _DIGITS:
            raise ValueError(f"an integer of {len(digits)} digits")
        return int(digits)

    def finite(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError(f"{cut(digits, 30)} is beyond all numbers")
        return value

    try:
        value: object = json.loads(
            text.decode(),
            object_pairs_hook=unique,
            parse_constant=refuse,
            parse_int=integer,
            parse_float=finite,
        )
        if b"\\ud" in text.lower():  # an escape may be half of a character
            json.dumps(value, ensure_ascii=False).encode()
        _check_levels(value, MOST_LEVELS)
        return value
    except (ValueError, RecursionError) as error:
        raise EngineDamagedError(f"not valid JSON: {error}", where=where) from error


def _check_levels(value: object, most: int) -> None:
    if isinstance(value, (dict, list)):
        if not most:
            raise ValueError(f"nested more than {MOST_LEVELS} levels deep")
        for part in value.values() if isinstance(value, dict) else value:
            _check_levels(part, most - 1)


def dumps(value: object) -> bytes:
    """Compact JSON; the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def decode(cls: type[T], value: object, where: str) -> T:
    """An instance of the dataclass `cls` from a JSON object.

    Raises:
        EngineDamagedError: names the field that is missing, unknown or of the wrong type.
    """
    if not isinstance(value, dict):
        raise _mismatch("an object", value, where)
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls))}
    for key in value:
        if key not in fields:
            raise EngineDamagedError(f"unknown key {key!r}", where=where, fix=near(key, fields))
    hints = _hints(typing.cast(Any, cls))
    arguments = {}
    for name, field in fields.items():
        if name in value:
            arguments[name] = _decode(hints[name], value[name], f"{where}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise EngineDamagedError(f"key {name!r} is missing", where=where)
    try:
        return cls(**arguments)
    except (
        EngineDamagedError,
        DataError,
    ) as error:  # a check of the dataclass itself: say where it stood
        inner = f"{where}.{error.where}" if error.where else where
        raise EngineDamagedError(
            error.what, where=inner, expected=error.expected, got=error.got, fix=error.fix
        ) from error


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _decode(hint: Any, value: object, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):  # only X | None is in use
        return None if value is None else _decode(arguments[0], value, where)
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast(type, hint), value, where)
    if origin in (tuple, list):
        if not isinstance(value, list):
            raise _mismatch("a list", value, where)
        return origin(_decode(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _mismatch("an object", value, where)
        return types.MappingProxyType(
            {key: _decode(arguments[1], v, f"{where}.{key}") for key, v in value.items()}
        )
    if origin is typing.Literal:
        if value not in arguments:
            raise _mismatch(" or ".join(arguments), value, where)
        return value
    if hint is object:
        return value
    if hint is float and type(value) in (int, float) and math.isfinite(typing.cast(float, value)):
        return float(typing.cast(float, value))
    if type(value) is not hint or hint is float:
        raise _mismatch(_TYPE_NAMES[hint], value, where)
    return value


def encode(value: object) -> Any:
    """The inverse of :func:`decode`: nothing but dict, list, str, int, float, bool and None."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: encode(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not (field.metadata == LEFT_OUT and getattr(value, field.name) == field.default)
        }
    if isinstance(value, Mapping):
        return {key: encode(v) for key, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(v) for v in value]
    return value


def _mismatch(expected: str, value: object, where: str) -> EngineDamagedError:
    return EngineDamagedError(
        "wrong type", where=where, expected=expected, got=cut(repr(value), 60)
    )
