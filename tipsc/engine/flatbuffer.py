"""Parse a flatbuffer by a schema, and believe nothing in it.

A reader of the format (https://flatbuffers.dev/internals) that follows no offset before it is
checked: bounds, alignment, the ends of texts, and that parts do not overlap more than sharing one
part does, so that a few bytes cannot stand for much work. What the schema does not name is refused
whatever it means, since the library that reads the file next may know it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from tipsc.errors import EngineDamagedError

#: a table: its fields by name; those that the file leaves out have their defaults
Row = dict[str, Any]

#: tables in one file, far beyond what tipsc writes
MAX_TABLES = 1 << 19
_FORMATS = {
    "bool": "B", "i8": "b", "u8": "B", "i16": "h", "u16": "H", "i32": "i", "u32": "I",
    "f32": "f", "i64": "q", "u64": "Q",
}  # fmt: skip
_U16, _U32, _I32 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i")


@dataclass(frozen=True)
class Field:
    """What a slot of a table holds.

    Attributes:
        name: of the field.
        kind: ``number``, ``numbers``, ``bytes``, ``text``, ``table``, ``tables`` or ``union``.
        code: of :mod:`struct`, for one number or each of several.
        inner: for tables, the name of theirs.
        default: of a number that is left out.
    """

    name: str
    kind: str
    code: str = ""
    inner: str = ""
    default: float = 0


#: slots in order; None: one that may not be there
Table = tuple[Field | None, ...]


@dataclass(frozen=True)
class Schema:
    """Tables by name, and for each union which of them its numbers stand for."""

    tables: Mapping[str, Table]
    unions: Mapping[str, Mapping[int, str]]


def table(text: str) -> Table:
    """The slots of a table from words ``name:type`` or ``-``, in order.

    A type is a number's (``i32``, with ``=1`` for its default), ``text``, ``bytes``, a table's
    name, either of the last in brackets for several, or ``<union``, which is of the kind that the
    number in the slot before it says.
    """
    return tuple(None if word == "-" else _field(*word.split(":")) for word in text.split())


def _field(name: str, kind: str) -> Field:
    if kind in ("text", "bytes"):
        return Field(name, kind)
    if kind.startswith("<"):
        return Field(name, "union", inner=kind[1:])
    several = kind.startswith("[")
    kind, _, default = kind.strip("[]").partition("=")
    if kind in _FORMATS:
        return Field(
            name, "numbers" if several else "number", _FORMATS[kind], default=int(default or 0)
        )
    return Field(name, "tables" if several else "table", inner=kind)


def parse(data: memoryview, schema: Schema, root: str, identifier: bytes, where: str) -> Row:
    """All of a flatbuffer; numbers as tuples, bytes as views of `data`.

    Args:
        data: the file; what lies behind the flatbuffer is not looked at.
        schema: of its tables, none of which may hold itself.
        root: the table that it is.
        identifier: four bytes that it has at 4..8.
        where: for errors.

    Raises:
        EngineDamagedError: it is not well-formed, or holds what the schema does not name.
    """
    if len(data) < 8 or bytes(data[4:8]) != identifier:
        raise EngineDamagedError("not a flatbuffer of this kind", where=where, expected=identifier)
    reader = _Reader(data, schema, where)
    return reader.table(reader.follow(0), root)


class _Reader:
    def __init__(self, data: memoryview, schema: Schema, where: str) -> None:
        self._data, self._size = data, len(data)
        self._schema, self._where = schema, where
        self._known: dict[tuple[int, str], Any] = {}
        self._layouts: dict[int, tuple[int, tuple[int, ...]]] = {}
        self._tables = 0
        self._left = len(data)  # bytes that nothing has been read from, if no parts overlap

    def table(self, at: int, name: str) -> Row:
        key = (at, name)
        if key in self._known:
            row: Row = self._known[key]
            return row
        self._tables += 1
        if self._tables > MAX_TABLES:
            self._bad("more tables than any model has", at)
        if at + 4 > self._size:
            self._bad("a table beyond its end", at)
        length, entries = self._layout(at - _I32.unpack_from(self._data, at)[0])
        if at + length > self._size:
            self._bad("a table beyond its end", at)
        self._take(length, at)
        row = {}
        fields = self._schema.tables[name]
        for slot, entry in enumerate(entries[len(fields) :], len(fields)):
            if entry:
                self._foreign(name, slot)
        entries += (0,) * (len(fields) - len(entries))
        for slot, (field, entry) in enumerate(zip(fields, entries, strict=False)):
            if field is None:
                if entry:
                    self._foreign(name, slot)
            elif not entry:
                row[field.name] = _EMPTY.get(field.kind, field.default)
                if field.kind == "union" and row[fields[slot - 1].name]:  # type: ignore[union-attr]
                    self._bad("a union that is not there", at)
            else:
                width = struct.calcsize(field.code) if field.kind == "number" else 4
                place = at + entry
                if entry < 4 or entry + width > length or place % width:
                    self._bad(f"field {field.name} of {name} out of place", at)
                row[field.name] = self._value(field, place, row, fields, slot)
        self._known[key] = row
        return row

    def follow(self, at: int) -> int:
        """Where the offset at `at` leads to; room for four bytes is checked."""
        target: int = at + _U32.unpack_from(self._data, at)[0]
        if target == at or target % 4 or target + 4 > self._size:
            self._bad("an offset that leads nowhere", at)
        return target

    def _layout(self, at: int) -> tuple[int, tuple[int, ...]]:
        """The bytes of a table, and where its slots are in it, from the vtable at `at`."""
        if at in self._layouts:
            return self._layouts[at]
        if at < 0 or at % 2 or at + 4 > self._size:
            self._bad("a vtable out of place", at)
        own, length = struct.unpack_from("<HH", self._data, at)
        if own < 4 or own % 2 or at + own > self._size or length < 4:
            self._bad("a vtable of a wrong size", at)
        self._take(own, at)
        entries = struct.unpack_from(f"<{own // 2 - 2}H", self._data, at + 4)
        self._layouts[at] = (length, entries)
        return length, entries

    def _value(self, field: Field, at: int, row: Row, fields: Table, slot: int) -> Any:
        if field.kind == "number":
            return struct.unpack_from(f"<{field.code}", self._data, at)[0]
        target = self.follow(at)
        if field.kind == "table":
            return self.table(target, field.inner)
        if field.kind == "union":
            said = fields[slot - 1]
            assert said is not None
            name = self._schema.unions[field.inner].get(row[said.name])
            if name is None:
                self._foreign(field.inner, row[said.name])
            return self.table(target, name)
        key = (target, field.kind + field.code + field.inner)
        if key not in self._known:
            self._known[key] = self._vector(field, target)
        return self._known[key]

    def _vector(self, field: Field, at: int) -> Any:
        count: int = _U32.unpack_from(self._data, at)[0]
        width = struct.calcsize(field.code or "I") if field.kind in ("numbers", "tables") else 1
        first = at + 4
        end = first + count * width
        if first % width or end + (field.kind == "text") > self._size:
            self._bad(f"{field.name} beyond its end", at)
        self._take(end - at, at)
        if field.kind == "numbers":
            return struct.unpack_from(f"<{count}{field.code}", self._data, first)
        if field.kind == "tables":
            return [self.table(self.follow(first + 4 * i), field.inner) for i in range(count)]
        if field.kind == "bytes":
            return self._data[first:end]
        try:
            if self._data[end]:
                raise ValueError("no zero ends it")
            return bytes(self._data[first:end]).decode()
        except ValueError as error:
            self._bad(f"{field.name} is no text: {error}", at)

    def _take(self, count: int, at: int) -> None:
        self._left -= count
        if self._left < 0:
            self._bad("parts that overlap", at)

    def _foreign(self, name: str, slot: int) -> NoReturn:
        raise EngineDamagedError(
            "the model holds what tipsc does not write",
            where=self._where,
            got=f"field {slot} of {name}",
            fix="build the engine again with tipsc",
        )

    def _bad(self, what: str, at: int) -> NoReturn:
        raise EngineDamagedError(
            f"the model is not well-formed: {what}",
            where=f"{self._where}, byte {at}",
            fix="copy or build the engine again",
        )


#: what is not there
_EMPTY: dict[str, Any] = {
    "numbers": (), "tables": [], "bytes": memoryview(b""), "text": "", "table": None, "union": None,
}  # fmt: skip
