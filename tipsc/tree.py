"""How the tensors of one call stand together: one alone, or in tuples, lists, dicts and records.

A record is what has named fields: an instance of a dataclass, or a named tuple. What a model of
torch takes and gives is one such tree, and so is what an application gives to an engine and gets.
A tree is plain data: reading one from a file makes no class and runs no code.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal, get_args

from tipsc.errors import DataError

TreeKind = Literal["tensor", "none", "tuple", "list", "dict", "record"]

MOST_DEEP = 6
"""Containers inside each other; a file with more is refused, so its readers need no deep stack."""
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _require(ok: bool, what: str, where: str, got: object) -> None:
    if not ok:
        raise DataError(what, where=where, got=got)


@dataclass(frozen=True)
class Tree:
    """A tensor, nothing (None), or a container of trees.

    Attributes:
        kind: which of them.
        keys: of a dict, or the fields of a record; one for each part.
        parts: what is in the container, in order.

    Raises:
        DataError: these do not make a tree.
    """

    kind: TreeKind
    keys: tuple[str, ...] = ()
    parts: tuple[Tree, ...] = ()

    def __post_init__(self) -> None:
        _require(self.kind in get_args(TreeKind), "no kind of a tree", "kind", self.kind)
        named = self.kind in ("dict", "record")
        if self.kind in ("tensor", "none"):
            _require(not self.parts, "has no parts", "parts", len(self.parts))
        _require(
            len(self.keys) == (len(self.parts) if named else 0),
            "another number of keys than of parts" if named else "has no keys",
            "keys",
            list(self.keys),
        )
        _require(len(set(self.keys)) == len(self.keys), "a key is repeated", "keys", self.keys)
        if self.kind == "record":
            named = all(_FIELD.fullmatch(key) for key in self.keys)
            _require(named, "not the name of a field", "keys", list(self.keys))
        _require(self.height <= MOST_DEEP, "nested too deep", "parts", f"more than {MOST_DEEP}")

    @property
    def height(self) -> int:
        """The most containers around a tensor."""
        if self.kind in ("tensor", "none"):
            return 0
        return 1 + max((part.height for part in self.parts), default=0)

    @property
    def tensors(self) -> int:
        """How many there are."""
        return int(self.kind == "tensor") + sum(part.tensors for part in self.parts)

    def flat(self, value: Any, where: str) -> list[Any]:
        """The tensors of `value`, in order.

        A list may stand for a tuple, a dict for a record, and the other way round. The tensors are
        not looked at.

        Args:
            value: what has the form of this tree.
            where: what it is, for errors.

        Raises:
            DataError: it has another form; says where.
        """
        if self.kind == "tensor":
            return [value]
        if self.kind == "none":
            if value is not None:
                raise DataError("nothing is expected here", where=where, got=_what(value))
            return []
        if self.keys or self.kind in ("dict", "record"):
            parts: Sequence[Any] = _by_key(value, self.keys, where)
            places = [f"{where}.{key}" for key in self.keys]
        else:
            if not isinstance(value, (tuple, list)) or len(value) != len(self.parts):
                raise DataError(
                    "has another form",
                    where=where,
                    expected=f"a {self.kind} of {len(self.parts)}",
                    got=_what(value),
                )
            parts = value
            places = [f"{where}[{i}]" for i in range(len(parts))]
        return [
            tensor
            for tree, part, place in zip(self.parts, parts, places, strict=True)
            for tensor in tree.flat(part, place)
        ]

    def build(self, tensors: Sequence[Any], record: Callable[..., Any] = SimpleNamespace) -> Any:
        """The inverse of :meth:`flat`.

        Args:
            tensors: as many as there are.
            record: called with the fields of each record.
        """
        return self._build(iter(tensors), record)

    def _build(self, tensors: Iterator[Any], record: Callable[..., Any]) -> Any:
        if self.kind == "tensor":
            return next(tensors)
        if self.kind == "none":
            return None
        parts = [part._build(tensors, record) for part in self.parts]
        if self.kind == "list":
            return parts
        if self.kind == "tuple":
            return tuple(parts)
        fields = dict(zip(self.keys, parts, strict=True))
        return fields if self.kind == "dict" else record(**fields)

    def names(self, alone: str) -> tuple[str, ...]:
        """A name for each tensor, in order: the keys and places that lead to it, with dots between.

        No two are the same.

        Args:
            alone: the name of a tensor without container, and of what a tuple or list holds.
        """
        found: dict[str, None] = {}
        for way in self._ways():
            wanted = ".".join(way if way and not way[0].isdigit() else (alone, *way))
            name, count = wanted, 2
            while name in found:
                name, count = f"{wanted}_{count}", count + 1
            found[name] = None
        return tuple(found)

    def _ways(self) -> Iterator[tuple[str, ...]]:
        if self.kind == "tensor":
            yield ()
        keys = self.keys or [str(i) for i in range(len(self.parts))]
        for key, part in zip(keys, self.parts, strict=True):
            yield from ((key, *way) for way in part._ways())


TENSOR = Tree("tensor")
"""One tensor and nothing around it."""


def tree_of(value: Any, where: str) -> Tree:
    """The tree of a value whose tensors are what has a shape and a dtype.

    Args:
        where: what it is, for errors.

    Raises:
        DataError: it holds something else; says where.
    """
    if value is None:
        return Tree("none")
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return TENSOR
    fields = fields_of(value)
    if fields is not None:
        parts = tuple(tree_of(getattr(value, name), f"{where}.{name}") for name in fields)
        return Tree("record", fields, parts)
    if isinstance(value, Mapping):
        keys = tuple(value)
        if not all(isinstance(key, str) for key in keys):
            raise DataError("keys are not all strings", where=where, got=[repr(k) for k in keys])
        return Tree("dict", keys, tuple(tree_of(value[key], f"{where}.{key}") for key in keys))
    if isinstance(value, (tuple, list)):
        parts = tuple(tree_of(part, f"{where}[{i}]") for i, part in enumerate(value))
        return Tree("tuple" if isinstance(value, tuple) else "list", (), parts)
    raise DataError(
        "is no tensor, and none of what tensors may stand in",
        where=where,
        expected="a tensor, None, or a tuple, list, dict, dataclass or named tuple of them",
        got=_what(value),
    )


def fields_of(value: Any) -> tuple[str, ...] | None:
    """The fields of a record; None for what is none."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return tuple(field.name for field in dataclasses.fields(value))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return tuple(value._fields)
    return tuple(vars(value)) if isinstance(value, SimpleNamespace) else None


def _by_key(value: Any, keys: Sequence[str], where: str) -> list[Any]:
    fields = fields_of(value)
    if fields is not None:
        value = {name: getattr(value, name) for name in fields}
    if not isinstance(value, Mapping):
        raise DataError(
            "has another form", where=where, expected=f"a dict of {list(keys)}", got=_what(value)
        )
    if set(value) != set(keys):
        raise DataError("has other keys", where=where, expected=list(keys), got=list(value))
    return [value[key] for key in keys]


def _what(value: Any) -> str:
    kind = type(value).__name__
    return f"a {kind} of {len(value)}" if isinstance(value, (tuple, list, dict)) else kind
