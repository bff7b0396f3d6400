"""What tasks have in common whose quality is a metric of torchmetrics."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from tipsc.batch import Tensors
from tipsc.errors import DataError, MissingExtraError, listed
from tipsc.quality import SHARE, Better, Quality
from tipsc.tasks.alike import distance, fidelity
from tipsc.tasks.task import Task


class Judged:
    """A task that gives ``metric()``; whatever it does not say itself is said here.

    Attributes:
        name: of the task.
        measure, unit, better: of its quality.
    """

    labelled = True
    scale_free = False
    sized_by = ""
    name = ""
    unit = SHARE
    better: Better = "higher"

    @property
    def measure(self) -> str:
        raise NotImplementedError

    def metric(self) -> Any:
        """A torchmetrics.Metric that has seen nothing yet."""
        raise NotImplementedError

    def shown(self, outputs: Any, targets: Tensors) -> tuple[Any, ...]:
        """What the metric's ``update`` is given for a batch."""
        return outputs, targets

    def score(self) -> MetricTally:
        return MetricTally(self)

    def imitate(self, student: Any, teacher: Any) -> Tensor:
        return distance(student, teacher)

    def agree(self, outputs: Any, original: Any) -> float:
        return fidelity(outputs, original)

    def quality(self, value: float) -> Quality:
        return Quality(self.measure, value, self.unit, self.better)

    def chance(self, targets: Tensors) -> Quality | None:
        return None

    def lacking(self, parts: Mapping[str, Tensors]) -> list[str]:
        return []

    def check(self, targets: Tensors, examples: int, where: str) -> None:
        return

    def check_outputs(self, outputs: Any, where: str = "", fix: str = "") -> None:
        return

    def answered(
        self, outputs: Mapping[str, Sequence[object]]
    ) -> tuple[Task, Mapping[str, Tensors]]:
        raise DataError(
            f"the original's answers cannot stand in for the targets of {self.name}",
            where="data.callable",
            expected="a tipsc.train.Data",
            got="a tipsc.train.Unlabelled",
            fix="give labels, or task: imitation, which judges any output by the original's",
        )


class MetricTally:
    """A metric that is fed batch by batch."""

    def __init__(self, task: Judged) -> None:
        self.task, self.metric, self.seen = task, task.metric(), False

    def add(self, outputs: Any, targets: Tensors) -> None:
        shown = self.task.shown(outputs, targets)
        if not self.seen:
            device = next((value.device for value in shown if isinstance(value, Tensor)), None)
            if device is not None and hasattr(self.metric, "to"):
                self.metric = self.metric.to(device)
            self.seen = True
        self.metric.update(*shown)

    @property
    def quality(self) -> Quality:
        value = float(self.metric.compute())
        if not math.isfinite(value):
            raise DataError(
                f"the metric of the task gives {value}",
                where=f"{self.task.name}, {self.task.measure}",
                fix="look for outputs that are not finite, or examples that it cannot judge",
            )
        return self.task.quality(value)


def torchmetrics(name: str) -> Any:
    """A submodule of torchmetrics, imported where it is needed: that takes seconds.

    Raises:
        MissingExtraError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(f"torchmetrics{name}")
    except ImportError as error:
        raise MissingExtraError.of("torchmetrics", "train", "judging by this metric") from error


def require(
    ok: bool, what: str, *, where: str, expected: object, got: object, fix: str = ""
) -> None:
    """Raises a DataError if it is not so."""
    if not ok:
        raise DataError(what, where=where, expected=expected, got=got, fix=fix)


def lacks(names: Sequence[str], there: Mapping[str, Collection[int]], what: str) -> list[str]:
    """Sentences on the names that nothing in a part of the data is of.

    Args:
        names: in the order of their numbers.
        there: by part, the numbers that stand in it.
        what: says what the names have not, with ``{part}`` in it.
    """
    found = []
    for part, numbers in there.items():
        gone = [name for number, name in enumerate(names) if number not in numbers]
        if gone:
            said = what.format(part=part)
            found.append(f"{len(gone)} of {len(names)} {said}: {listed(gone, most=6)}")
    return found


def told(value: object) -> str:
    """A tensor's type and shape; what else it is."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} of shape {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(str, value))}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__
