"""Recurrent layers as ONNX has them, written anew for the sizes of a path.

What the exporter writes holds the places of the gates and the number of units as they are on the
largest path; a path keeps the first units of each gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from tipsc.lower.operations import FunctionCall, PlannedOperation

Constant: TypeAlias = Callable[[np.ndarray], str]
"""Gives the name of a constant."""

#: by torch's operator ONNX's, and torch's gates in the order of ONNX: of (i, f, g, o), (r, z, n)
_KINDS = {"lstm": ("LSTM", (0, 3, 1, 2)), "gru": ("GRU", (1, 0, 2))}
_ENDS = ("y", "h", "c")


class Add(Protocol):
    """Adds a node to a graph."""

    def __call__(
        self, op_type: str, inputs: list[str], *outputs: str, **attributes: object
    ) -> None: ...


@dataclass(frozen=True)
class Recurrence:
    """Layers over time.

    Attributes:
        kind: torch's operator.
        units: of each layer and direction.
        biases: whether there are any.
        layers, directions: how many.
        batch_first: whether the examples come before the steps.
    """

    kind: str
    units: int
    biases: bool
    layers: int
    directions: int
    batch_first: bool


def recurrence_of(operation: PlannedOperation) -> Recurrence | None:
    """The recurrent layers that an operation is; None if it is something else."""
    if not isinstance(operation.module, FunctionCall) or operation.name not in _KINDS:
        return None
    biases, layers, _, _, both, batch_first = operation.module.numbers
    directions = 2 if both else 1
    units = operation.parts[1][-1]
    return Recurrence(operation.name, units, biases, layers, directions, batch_first)


def write_recurrent(
    made: Recurrence, prefix: str, inputs: Sequence[str], constant: Constant, add: Add
) -> list[str]:
    """The names of what the layers give: all steps of the last one, and the last states of all.

    Args:
        prefix: of the names of values.
        inputs: names of the series, the states and the parameters, in torch's order.
    """
    op_type, order = _KINDS[made.kind]
    ends = _ENDS[: 3 if made.kind == "lstm" else 2]
    x, *others = inputs
    states, params = others[: len(ends) - 1], iter(others[len(ends) - 1 :])
    if made.batch_first:
        add("Transpose", [x], f"{prefix}:series", perm=[1, 0, 2])
        x = f"{prefix}:series"
    named = {} if made.kind == "lstm" else {"linear_before_reset": 1}
    direction = "bidirectional" if made.directions == 2 else "forward"

    def gates(name: str, tensors: Sequence[str], shape: Sequence[int]) -> str:
        """The gates of some tensors in the order of ONNX, in one tensor."""
        pieces = []
        for number, tensor in enumerate(tensors):
            for gate in order:
                borders = (gate * made.units, (gate + 1) * made.units, 0)
                read = [tensor, *(constant(np.asarray([at], np.int64)) for at in borders)]
                pieces.append(f"{name}:{number}.{gate}")
                add("Slice", read, pieces[-1])
        add("Concat", pieces, f"{name}:gates", axis=0)
        add("Reshape", [f"{name}:gates", constant(np.asarray(shape, np.int64))], name)
        return name

    for layer in range(made.layers):
        at = f"{prefix}:{layer}"
        own = [list(_taken(params, 4 if made.biases else 2)) for _ in range(made.directions)]
        rows = [made.directions, len(order) * made.units, -1]
        read = [x, *(gates(f"{at}:{n}", [of[n] for of in own], rows) for n in (0, 1)), "", ""]
        if made.biases:
            biases = [bias for of in own for bias in of[2:]]
            read[3] = gates(f"{at}:2", biases, [made.directions, -1])
        for name, state in zip(ends[1:], states, strict=True):
            read.append(state)
            if made.layers > 1:
                borders = (layer * made.directions, (layer + 1) * made.directions, 0)
                cut = [constant(np.asarray([border], np.int64)) for border in borders]
                read[-1] = f"{at}:{name}0"
                add("Slice", [state, *cut], read[-1])
        outputs = [f"{at}:{name}" for name in ends]
        add(op_type, read, *outputs, hidden_size=made.units, direction=direction, **named)
        examples_first = made.batch_first and layer == made.layers - 1
        perm = [2, 0, 1, 3] if examples_first else [0, 2, 1, 3]
        add("Transpose", [f"{at}:y"], f"{at}:turned", perm=perm)
        x = f"{at}:all"
        add("Reshape", [f"{at}:turned", constant(np.asarray([0, 0, -1], np.int64))], x)
    if made.layers == 1:
        return [x, *(f"{prefix}:0:{name}" for name in ends[1:])]
    for name in ends[1:]:
        each = [f"{prefix}:{layer}:{name}" for layer in range(made.layers)]
        add("Concat", each, f"{prefix}:{name}", axis=0)
    return [x, *(f"{prefix}:{name}" for name in ends[1:])]


def _taken(values: Iterator[str], count: int) -> Iterator[str]:
    return (next(values) for _ in range(count))
