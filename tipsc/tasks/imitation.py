"""To give what the original gives, whatever that is: no labels are needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tipsc.batch import Tensors, flat, joined, mapped
from tipsc.errors import DataError
from tipsc.tasks.alike import Fidelity, distance
from tipsc.tasks.judged import Judged
from tipsc.tasks.task import Task


@dataclass(frozen=True)
class Imitation(Judged):
    """Targets are the original's outputs, in their tree; see :mod:`tipsc.tasks.alike`."""

    name = "imitation"
    measure = "fidelity"
    labelled = False

    def metric(self) -> Any:
        return _Fidelity()

    def loss(self, outputs: Any, targets: Tensors, *, smoothing: float = 0.0) -> Tensor:
        return distance(outputs, targets)

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
