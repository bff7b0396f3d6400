"""What a model takes and gives: named tensors with dtype, shape and layout, and their trees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tipsc.errors import DataError
from tipsc.tree import TENSOR, Tree

DTYPES = (
    "float32", "float16", "float64", "int8", "uint8", "int16", "int32", "int64", "bool",
)  # fmt: skip
_BYTES = dict(zip(DTYPES, (4, 2, 8, 1, 1, 2, 4, 8, 1), strict=True))

LETTERS = "NCDHWL"
"""What an axis may be: the batch, channels, and places: depth, height, width, length."""
OTHER = "-"
"""What stands for any other axis."""


def _require(ok: bool, what: str, where: str, got: object) -> None:
    if not ok:
        raise DataError(what, where=where, got=got)


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a call.

    Attributes:
        name: of the model's own, such as the argument that takes it.
        dtype: as numpy spells it.
        shape: static, the batch included.
        layout: a letter for each axis: one of :data:`LETTERS`, each once at most, or
            :data:`OTHER`. Without an ``N`` there is no batch.

    Raises:
        DataError: one of them makes no sense.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    layout: str

    def __post_init__(self) -> None:
        _require(bool(self.name), "a tensor has no name", "name", repr(self.name))
        _require(self.dtype in DTYPES, "unknown dtype", "dtype", self.dtype)
        _require(all(d >= 1 for d in self.shape), "not a static shape", "shape", self.shape)
        known = self.layout.replace(OTHER, "")
        _require(
            len(self.layout) == len(self.shape)
            and set(known) <= set(LETTERS)
            and len(set(known)) == len(known),
            f"not a letter for each of {len(self.shape)} axes",
            "layout",
            repr(self.layout),
        )

    @property
    def nbytes(self) -> int:
        """Of an array of it."""
        return math.prod(self.shape) * _BYTES[self.dtype]

    @property
    def batch_axis(self) -> int | None:
        """The axis of the examples; None: all examples share it, or there is only one."""
        return self.layout.index("N") if "N" in self.layout else None

    @property
    def channels_last(self) -> tuple[int, ...]:
        """Its axes in their order, but for channels that stand before places: those come last."""
        axes = tuple(range(len(self.shape)))
        if "C" not in self.layout:
            return axes
        at = self.layout.index("C")
        return (*axes[:at], *axes[at + 1 :], at)

    def with_batch(self, count: int) -> TensorSpec:
        """The same for another number of examples."""
        if self.batch_axis is None:
            return self
        at = self.batch_axis
        return replace(self, shape=(*self.shape[:at], count, *self.shape[at + 1 :]))


@dataclass(frozen=True)
class Signature:
    """All that a model takes and gives.

    Attributes:
        inputs: at least one, each of a name of its own.
        outputs: likewise.
        takes: the tree of the inputs, which are its tensors in order.
        gives: the tree of the outputs.

    Raises:
        DataError: they do not fit together.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    takes: Tree
    gives: Tree

    @classmethod
    def plain(cls, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Signature:
        """Of tensors that stand alone, or several in a tuple."""
        return cls(tuple(inputs), tuple(outputs), _plain(inputs), _plain(outputs))

    def with_batch(self, count: int) -> Signature:
        """The same for another number of examples."""
        return replace(
            self,
            inputs=tuple(spec.with_batch(count) for spec in self.inputs),
            outputs=tuple(spec.with_batch(count) for spec in self.outputs),
        )

    def __post_init__(self) -> None:
        for part, tree in (("inputs", self.takes), ("outputs", self.gives)):
            specs: tuple[TensorSpec, ...] = getattr(self, part)
            names = [spec.name for spec in specs]
            _require(len(specs) > 0, "is empty", part, "no entry")
            _require(len(set(names)) == len(names), "a name is repeated", part, names)
            _require(
                tree.tensors == len(specs),
                f"there are not as many in the tree, which has {tree.tensors}",
                part,
                len(specs),
            )


def batch_of(inputs: Sequence[TensorSpec]) -> int:
    """How many examples a call takes; 1 if no input has an axis for them."""
    sizes = (s.shape[s.batch_axis] for s in inputs if s.batch_axis is not None)
    return next(sizes, 1)


def _plain(specs: Sequence[TensorSpec]) -> Tree:
    return TENSOR if len(specs) == 1 else Tree("tuple", (), (TENSOR,) * len(specs))
