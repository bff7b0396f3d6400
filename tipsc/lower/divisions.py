"""Where the values of a path that must be divided are the fewest.

A level (:mod:`tipsc.lower.levels`) is divided away where it must be, in front of a sum say. But any
place on the way there does as well: behind a layer, or before it if the layer's bias is divided;
before a ReLU or a gate. In a block beside the identity that is the narrowest of its layers, and
where squeeze-and-excite multiplies each channel by one number, the division costs nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, nn

from tipsc.elastic.operations import ACTIVATIONS
from tipsc.lower.kinds import Carrying, is_layer, kind_of, name_of
from tipsc.lower.operations import PlannedOperation, PlannedPath
from tipsc.lower.weights import whole

#: Right behind a layer a division stands between what runtimes compute in one step: the layer and
#: the ReLU or the sum that follows it. It costs about as much as so many others.
AFTER_LAYER = 3.0


class Rescaled(nn.Module):
    """Divides by a number.

    Args:
        after_layer: whether it stands right behind a layer, into whose weights a runtime would
            fold a product.
    """

    def __init__(self, divisor: float, after_layer: bool = False) -> None:
        super().__init__()
        self.divisor, self.after_layer = divisor, after_layer

    def extra_repr(self) -> str:
        return repr(self.divisor)

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 / self.divisor)  # LiteRT has no division of 8-bit numbers


def with_bias_at(operation: PlannedOperation, level: float) -> PlannedOperation:
    """A layer whose input is at a level: its bias is brought there too."""
    bias = operation.weights.get("bias")
    if bias is None or level == 1:
        return operation
    value = (bias.value.astype(np.float64) * level).astype(np.float32)
    return replace(operation, weights={**operation.weights, "bias": whole(bias.name, value)})


def moved(plan: PlannedPath, inputs: Mapping[str, tuple[int, ...]]) -> PlannedPath:
    """The same path with each of its divisions where it costs least.

    Args:
        inputs: shapes of the path's inputs, by their labels.
    """
    divisions = [o.label for o in plan.operations if isinstance(o.module, Rescaled)]
    for label in divisions:
        plan = _Ways(plan, inputs).best(label)
    ways = _Ways(plan, inputs)
    return replace(
        plan,
        operations=tuple(
            replace(o, module=Rescaled(o.module.divisor, ways.folds(o.inputs[0])))
            if isinstance(o.module, Rescaled)
            else o
            for o in plan.operations
        ),
    )


@dataclass(frozen=True)
class _Place:
    """Between what gives `label` and who reads it; a division there passes these layers.

    Attributes:
        reader: the only one who is to read it divided.
        layers: labels of those whose biases are divided as well.
    """

    label: str
    reader: str
    layers: tuple[str, ...] = ()


class _Ways:
    def __init__(self, plan: PlannedPath, inputs: Mapping[str, tuple[int, ...]]) -> None:
        self._plan = plan
        self._made = {operation.label: operation for operation in plan.operations}
        self._shape = {**inputs, **{o.label: o.shape for o in plan.operations}}
        self._readers = Counter(label for o in plan.operations for label in set(o.inputs))
        self._readers.update(plan.outputs)

    def folds(self, label: str) -> bool:
        """Whether a runtime would fold a product into what gives this."""
        made = self._made.get(label)
        return made is not None and is_layer(made.module) and self._readers[label] == 1

    def best(self, label: str) -> PlannedPath:
        """The path with one of its divisions where it costs least."""
        division = self._made[label]
        start = _Place(division.inputs[0], division.label)
        best = min(self._places(start), key=lambda place: self._cost(place.label))
        return self._plan if best == start else self._with(division, best)

    def _cost(self, label: str) -> float:
        return math.prod(self._shape[label]) * (AFTER_LAYER if self.folds(label) else 1.0)

    def _places(self, place: _Place) -> Iterator[_Place]:
        """This one, and all on the way to it that do as well."""
        yield place
        made = self._made.get(place.label)
        if made is None or self._readers[place.label] > 1 or made.parts or made.item is not None:
            return
        if is_layer(made.module):
            layers = (*place.layers, made.label)
            yield from self._places(_Place(made.inputs[0], made.label, layers))
            return
        kind = kind_of(made)
        if kind is Carrying.FOLLOWS and len(made.inputs) == 1:
            yield from self._places(replace(place, label=made.inputs[0], reader=made.label))
        elif kind is Carrying.MULTIPLIES and len(set(made.inputs)) == len(made.inputs):
            for label in filter(self._is_real, made.inputs):
                yield from self._places(replace(place, label=label, reader=made.label))

    def _is_real(self, label: str) -> bool:
        """Whether these are surely no integers, as in a mask."""
        made = self._made.get(label)
        if made is None:
            return False
        if is_layer(made.module) or name_of(made) in ACTIVATIONS:
            return True
        return kind_of(made) is not None and any(map(self._is_real, made.inputs))

    def _with(self, division: PlannedOperation, place: _Place) -> PlannedPath:
        assert isinstance(division.module, Rescaled)
        divisor = division.module.divisor
        label = f"{place.label}/{place.reader}/{divisor:.9g}"
        there = replace(
            division,
            label=label,
            inputs=(place.label,),
            module=Rescaled(divisor),
            shape=self._shape[place.label],
        )
        operations = []
        for operation in self._plan.operations:
            if operation.label == division.label:
                continue
            if operation.label == place.reader:
                operations.append(there)
                operation = replace(
                    operation,
                    inputs=tuple(label if i == place.label else i for i in operation.inputs),
                )
            if operation.label in place.layers:
                operation = with_bias_at(operation, 1 / divisor)
            operations.append(
                replace(
                    operation,
                    inputs=tuple(
                        division.inputs[0] if i == division.label else i for i in operation.inputs
                    ),
                )
            )
        outputs = tuple(
            division.inputs[0] if label == division.label else label for label in self._plan.outputs
        )
        return PlannedPath(tuple(operations), outputs)
