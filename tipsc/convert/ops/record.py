"""What conversion knows of an operation: one record, from which every list is derived."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeAlias

from torch import Tensor, fx

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, Axes
from tipsc.convert.emit import Emitter
from tipsc.convert.program import Program, hint
from tipsc.convert.writer import Writer

Arguments: TypeAlias = dict[str, Any]

Rule: TypeAlias = Callable[[Analysis, fx.Node, Arguments], Any]
"""Takes the axes of the inputs, unifies what is paired, and gives the axes of the output."""

Build: TypeAlias = Callable[[Emitter, fx.Node, Arguments], None]
"""Adds an operation to a supernet."""

Rewrite: TypeAlias = Callable[[Writer], fx.Node | None]
"""Writes what takes an operation's place, and gives its last node; None if it stays."""


class Role(Enum):
    """What an operation is to those who look for stages, heads and exits."""

    LAYER = auto()  # convolution or linear
    LOOKUP = auto()  # of vectors by tokens
    NORM = auto()
    POOL = auto()  # over places, by a mean
    VIEW = auto()  # another shape of the same values
    CUT = auto()  # gives a part of what it reads
    PICK = auto()  # of one place of an axis
    SPLIT = auto()  # a cut into several parts
    DROPOUT = auto()
    RESIZE = auto()  # interpolation, to a size or by factors
    ADDITION = auto()  # that may close a skip
    ELEMENTWISE = auto()
    COPY = auto()  # the same values, elsewhere in memory
    ASSERTION = auto()
    OTHER = auto()


def never(node: fx.Node) -> bool:
    return False


def always(node: fx.Node) -> bool:
    return True


@dataclass(frozen=True)
class Op:
    """What is known of one ATen operation. All that is not said is safe: it stays as it is.

    Its multiply-accumulates are counted in :mod:`tipsc.elastic.operations`, as those of a path are.

    Attributes:
        axes: what it does to the axes of its tensors; None: it is not understood.
        role: what it is to those who look for stages and heads.
        build: how it is built again; None: as the same function, of the path's sizes.
        is_layer: whether it is built as a layer with weights of its own, which has their name.
        rewrite: how it is written with other operations.
        follows: whether it is right at any resolution, as it is lowered.
        may_view: whether its output may share memory with its input, though its schema is silent.
    """

    axes: Rule | None = None
    role: Role = Role.OTHER
    build: Build | None = None
    is_layer: Callable[[Program, Arguments], bool] | None = None
    rewrite: Rewrite | None = None
    follows: Callable[[fx.Node], bool] = never
    may_view: bool = False


SPATIAL = "positions, not channels"


def spatial_axes(value: Tensor, count: int) -> Axes:
    """New axes for the last ones of a tensor."""
    return [ax.new_axis(hint(size), SPATIAL) for size in value.shape[value.dim() - count :]]


def nest(outer: ax.Group, inner: ax.Group) -> ax.Term:
    return (outer, inner) if inner.size != 1 else (outer,)


def shape_of(node: fx.Node) -> tuple[int, ...]:
    return tuple(hint(size) for size in node.meta["val"].shape)


def rank_of(node: fx.Node) -> int:
    rank: int = node.meta["val"].dim()
    return rank


def only_first_is_read(node: fx.Node) -> bool:
    """Whether of several outputs the first is all that is used."""
    return all(user.args[1] == 0 for user in node.users)


def fits_weights(program: Program, args: Arguments) -> bool:
    """Whether weights are tensors of the model, and what they are applied to is not."""
    weight, bias, tensors = args.get("weight"), args.get("bias"), program.tensors
    x = args.get("input", args.get("indices"))
    return weight in tensors and (bias is None or bias in tensors) and x not in tensors
