"""To give what the original gives, whatever that is: no labels are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tipsc.batch import Tensors, flat, joined, mapped
from tipsc.errors import DataError, listed, near
from tipsc.tasks.alike import Distance, Fidelity, distance
from tipsc.tasks.judged import Judged, told
from tipsc.tasks.task import Task
from tipsc.tree import tree_of


@dataclass(frozen=True)
class Imitation(Judged):
    """Targets are the original's outputs, in their tree; see :mod:`tipsc.tasks.alike`.

    Attributes:
        distances: by the name of an output, how far it is from the original's; see
            :func:`tipsc.tasks.alike.distance`.
    """

    distances: Mapping[str, Distance] = field(default_factory=dict)

    name = "imitation"
    measure = "fidelity"
    labelled = False

    def metric(self) -> Any:
        return _Fidelity()

    def loss(self, outputs: Any, targets: Tensors, *, smoothing: float = 0.0) -> Tensor:
        return distance(outputs, targets, self.distances)

    def imitate(self, student: Any, teacher: Any) -> Tensor:
        return distance(student, teacher, self.distances)

    def check_outputs(self, outputs: Any, where: str = "", fix: str = "") -> None:
        tree = tree_of(outputs, "the output")
        known = dict(zip(tree.names("output"), tree.flat(outputs, "the output"), strict=True))
        for name, kind in self.distances.items():
            if name not in known:
                raise DataError(
                    "the model has no output of this name, which a distance is given for",
                    where=f"task.arguments.distances: {name}",
                    expected=f"one of {listed(known)}",
                    fix=near(name, known),
                )
            if kind != "huber" and known[name].dim() < 2:
                raise DataError(
                    f"the distance {kind} needs an axis beside that of the examples",
                    where=f"task.arguments.distances: {name}",
                    got=told(known[name]),
                    fix="take huber",
                )

    def answered(
        self, outputs: Mapping[str, Sequence[object]]
    ) -> tuple[Task, Mapping[str, Tensors]]:
        found = {}
        for part, batches in outputs.items():
            answers = mapped(Tensor.clone, joined(batches))
            for answer in flat(answers, "the output"):
                if answer.is_floating_point() and not bool(torch.isfinite(answer).all()):
                    raise DataError(
                        "the original model answers with NaN or infinity",
                        where=f"data.{part}",
                        fix="see that its weights are loaded, and that inputs are those it was "
                        "trained with",
                    )
            found[part] = answers
        return self, found


class _Fidelity:
    """As a metric of torchmetrics."""

    def __init__(self) -> None:
        self._tally = Fidelity()

    def update(self, outputs: Any, targets: Tensors) -> None:
        self._tally.add(outputs, targets)

    def compute(self) -> float:
        return self._tally.value
