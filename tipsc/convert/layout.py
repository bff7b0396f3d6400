"""What the axes of an input are, by the first operation that knows."""

from __future__ import annotations

from torch import Tensor, fx

from tipsc.convert.ops import Role, op_of
from tipsc.convert.ops.record import shape_of
from tipsc.convert.ops.shapes import SHAPES
from tipsc.convert.program import name_of
from tipsc.elastic.operations import CHANNELS_LAST, CHANNELS_SECOND
from tipsc.signature import OTHER

_PLACES = {1: "L", 2: "HW", 3: "DHW"}


def layout_of(given: fx.Node, batch_axis: int | None) -> str:
    """A letter for each axis of an input; see :class:`tipsc.signature.TensorSpec`.

    Convolutions, pooling and norms over channels have them second, linear layers last, and what a
    table is asked for are tokens in a row.
    """
    rank = len(shape_of(given))
    knows = _first_that_knows(given)
    if knows is None or rank < 2 or batch_axis != 0:
        return "".join("N" if place == batch_axis else OTHER for place in range(rank))
    if op_of(knows).role is Role.LOOKUP:
        return "NL" if rank == 2 else "N" + OTHER * (rank - 1)
    places = _PLACES.get(rank - 2, OTHER * (rank - 2))
    return f"NC{places}" if _is_one_of(knows, CHANNELS_SECOND) else f"N{places}C"


def _first_that_knows(given: fx.Node) -> fx.Node | None:
    """Behind it only what leaves the axes where they are."""
    rank, todo, seen = len(shape_of(given)), [given], {given}
    while todo:
        for user in todo.pop(0).users:
            if user in seen or user.op != "call_function":
                continue
            seen.add(user)
            if op_of(user).role is Role.LOOKUP or _is_one_of(user, CHANNELS_SECOND + CHANNELS_LAST):
                return user
            value = user.meta.get("val")
            if isinstance(value, Tensor) and value.dim() == rank and name_of(user) not in SHAPES:
                todo.append(user)
    return None


def _is_one_of(node: fx.Node, words: tuple[str, ...]) -> bool:
    return any(word in name_of(node) for word in words)
