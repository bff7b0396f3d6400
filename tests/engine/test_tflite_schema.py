"""The tables that are allowed are TensorFlow's own, slot by slot."""

from __future__ import annotations

import inspect
import re
import struct

import pytest

pytest.importorskip("ai_edge_litert.schema_py_generated")
from ai_edge_litert import schema_py_generated as published

from tipsc.engine.tflite_schema import OPERATORS, SCHEMA, TYPES

SOURCE = inspect.getsource(published)
_WIDTHS = {"Bool": 1, "Int8": 1, "Uint8": 1, "Int32": 4, "Uint32": 4, "Float32": 4, "Uint64": 8}


def slots(name: str) -> list[tuple[str, str]]:
    """Slot by slot what the published builder writes: the field's name, how it is written."""
    added = re.findall(
        rf"def {name}Add(\w+)\(builder, \w+\):\s+builder\.Prepend(\w+)Slot\((\d+),", SOURCE
    )
    found = [("", "")] * int(
        re.findall(rf"def {name}Start\(builder\):\s+builder\.StartObject\((\d+)\)", SOURCE)[0]
    )
    for field, how, slot in added:
        found[int(slot)] = (field, how)
    return found


def element_width(name: str, field: str) -> int:
    start = (
        rf"def {name}Start{field}Vector\(builder, numElems\):\s+return builder\.StartVector\((\d)"
    )
    return int(re.findall(start, SOURCE)[0])


@pytest.mark.parametrize("name", sorted(SCHEMA.tables))
def test_each_slot_is_the_published_one(name: str) -> None:
    theirs = slots(name)
    assert len(SCHEMA.tables[name]) <= len(theirs)
    for field, (published_name, how) in zip(SCHEMA.tables[name], theirs, strict=False):
        if field is None:
            continue
        spelt = field.name.replace("_", "")
        assert published_name.lower().replace("factor", "") == spelt
        if field.kind == "number":
            assert struct.calcsize(field.code) == _WIDTHS[how]
        else:
            assert how == "UOffsetTRelative"
        if field.kind == "numbers":
            assert struct.calcsize(field.code) == element_width(name, published_name)


def test_numbers_are_the_published_ones() -> None:
    for number, options in SCHEMA.unions["BuiltinOptions"].items():
        assert getattr(published.BuiltinOptions, options) == number
    for number, kind in OPERATORS.items():
        assert getattr(published.BuiltinOperator, kind.name) == number
        assert kind.options == "-" or kind.options in SCHEMA.tables
    for number, dtype in TYPES.items():
        assert getattr(published.TensorType, dtype.upper()) == number


def test_defaults_are_the_published_ones() -> None:
    for name, fields in SCHEMA.tables.items():
        plain = getattr(published, f"{name}T")()
        for field, (published_name, _) in zip(fields, slots(name), strict=False):
            if field is not None and field.kind == "number":
                spelt = published_name[0].lower() + published_name[1:]
                assert getattr(plain, spelt) == field.default, (name, field.name)
