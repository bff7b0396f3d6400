"""The weight store: each tensor once, and paths that read parts of it.

A part that is a prefix along the first axis is a prefix of the tensor's bytes, so that a graph
can refer to it as it stands. Any other part is a Slice of the whole tensor, which every runtime
folds when it loads the graph. Either way the store holds the largest size once.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tipsc.elastic.dims import Part

ALIGNMENT = 64  # bytes; what runtimes want of weights that they read in place


@dataclass(frozen=True)
class Weight:
    """The part of a stored tensor that one path uses.

    Attributes:
        name: the parameter's name in the supernet.
        full: the tensor as it is stored.
        cut: the part used, for each axis a slice or several.
    """

    name: str
    full: np.ndarray
    cut: tuple[Part, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the part."""
        return tuple(
            sum(len(range(*s.indices(size))) for s in ranges_of(part))
            for part, size in zip(self.cut, self.full.shape, strict=True)
        )

    @property
    def value(self) -> np.ndarray:
        """The part itself."""
        return cut_out(self.full, self.cut)


def ranges_of(part: Part) -> tuple[slice, ...]:
    """The ranges of an axis that are used."""
    return part if isinstance(part, tuple) else (part,)


def cut_out(value: np.ndarray, cut: Sequence[Part]) -> np.ndarray:
    """A part of an array; a view of it, unless an axis is cut into several ranges."""
    value = value[tuple(slice(None) if isinstance(p, tuple) else p for p in cut)]
    for axis, ranges in enumerate(cut):
        if isinstance(ranges, tuple):
            chosen = np.concatenate([np.arange(r.start, r.stop) for r in ranges])
            value = value.take(chosen, axis)
    return value


def whole(name: str, value: np.ndarray) -> Weight:
    """A weight of which all is used."""
    return Weight(name, value, tuple(slice(0, size) for size in value.shape))


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies in the store, in bytes."""

    offset: int
    length: int


class WeightStore:
    """Collects tensors by content; equal tensors are stored once.

    What is added is not copied before :meth:`to_bytes`, and must not change until then.

    Args:
        blob: what it begins with.
    """

    def __init__(self, blob: bytes = b"") -> None:
        self._pieces: list[bytes | memoryview] = [blob]
        self._offsets, self._size = [0], len(blob)
        self._by_content: dict[bytes, Stored] = {}
        # The arrays are kept alive, so that their ids stay theirs.
        self._by_identity: dict[int, tuple[np.ndarray, Stored]] = {}
        self._transposed: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def add(self, value: np.ndarray) -> Stored:
        """Stores a tensor, unless one with the same bytes is there."""
        known = self._by_identity.get(id(value))
        if known is not None:
            return known[1]
        stored = self.add_bytes(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
        self._by_identity[id(value)] = (value, stored)
        return stored

    def add_bytes(self, data: bytes | memoryview) -> Stored:
        """As :meth:`add`, of bytes."""
        key = hashlib.sha256(data).digest()
        if key not in self._by_content:
            offset = self._size + -self._size % ALIGNMENT
            self._by_content[key] = Stored(offset, len(data))
            self._pieces.append(data)
            self._offsets.append(offset)
            self._size = offset + len(data)
        return self._by_content[key]

    def read(self, offset: int, length: int) -> bytes:
        """Bytes of one tensor that is stored."""
        place = bisect_right(self._offsets, offset) - 1
        begin = offset - self._offsets[place]
        return bytes(self._pieces[place][begin : begin + length])

    def transposed(self, weight: Weight) -> Weight:
        """The same part of a matrix that is stored the other way round."""
        key = id(weight.full)
        if key not in self._transposed:
            self._transposed[key] = (weight.full, np.ascontiguousarray(weight.full.T))
        return Weight(f"{weight.name}.T", self._transposed[key][1], weight.cut[::-1])

    def to_bytes(self) -> bytes:
        """The store as it is written to a file."""
        parts: list[bytes | memoryview] = []
        for piece, offset, end in zip(
            self._pieces, self._offsets, [*self._offsets[1:], self._size], strict=True
        ):
            parts += [piece, bytes(end - offset - len(piece))]
        return b"".join(parts)


@dataclass(frozen=True)
class Use:
    """Bytes that a path uses of one stored tensor."""

    offset: int
    used: int


def use_of(weight: Weight, stored: Stored) -> Use:
    """What a path uses of a stored tensor by reading `weight`."""
    return Use(stored.offset, math.prod(weight.shape) * weight.full.itemsize)
