"""A task of the user's own: a loss, a metric, and whatever else is to be said otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from torch import Tensor

from tipsc.batch import Tensors
from tipsc.errors import ConfigError
from tipsc.quality import SHARE, Better, Quality
from tipsc.tasks.judged import Judged
from tipsc.tasks.task import Task

_WHOLE = ("loss", "imitate", "score", "agree", "quality", "check", "check_outputs", "answered")


@dataclass(frozen=True)
class Own(Judged):
    """What :func:`own_task` makes of an object of the user's.

    Attributes:
        given: it has ``loss(outputs, targets)``, the mean over a batch, and ``metric()``, which
            gives a ``torchmetrics.Metric``, or anything with ``update(outputs, targets)`` and
            ``compute()``. It may have

            - ``imitate(student, teacher)``, a loss of outputs against those of the original; where
              it has none, see :func:`tipsc.tasks.alike.distance`;
            - ``agree(outputs, original)``, from 0 to 1, how far both say the same;
            - ``check(targets)``, which raises what is wrong with them;
            - ``name``, ``measure`` (what the metric is called), ``unit`` ("share" for numbers from
              0 to 1), and ``better``: "higher" or "lower".
        measure: the name of the metric.
        better: which way it is better.
    """

    given: Any
    name: str = ""
    measure: str = ""
    unit: str = ""
    better: Better = "higher"

    def metric(self) -> Any:
        return self.given.metric()

    def loss(self, outputs: Any, targets: Tensors, *, smoothing: float = 0.0) -> Tensor:
        loss: Tensor = self.given.loss(outputs, targets)
        return loss

    def imitate(self, student: Any, teacher: Any) -> Tensor:
        if not hasattr(self.given, "imitate"):
            return super().imitate(student, teacher)
        loss: Tensor = self.given.imitate(student, teacher)
        return loss

    def agree(self, outputs: Any, original: Any) -> float:
        if not hasattr(self.given, "agree"):
            return super().agree(outputs, original)
        return float(self.given.agree(outputs, original))

    def check(self, targets: Tensors, examples: int, where: str) -> None:
        if hasattr(self.given, "check"):
            self.given.check(targets)

    def chance(self, targets: Tensors) -> Quality | None:
        if not hasattr(self.given, "chance"):
            return None
        return self.quality(float(self.given.chance(targets)))

    def lacking(self, parts: Mapping[str, Tensors]) -> list[str]:
        return list(self.given.lacking(parts)) if hasattr(self.given, "lacking") else []


def own_task(given: Any, where: str) -> Task:
    """A task of what the user's callable returned.

    Raises:
        ConfigError: it lacks a loss or a metric, or does not say which way the metric is better.
    """
    if all(callable(getattr(given, name, None)) for name in _WHOLE):
        whole: Task = given
        return whole
    kind = type(given).__name__
    for need, what in (("loss", "loss(outputs, targets)"), ("metric", "metric()")):
        if not callable(getattr(given, need, None)):
            raise ConfigError(
                f"the task has no {what}",
                where=where,
                expected="an object with loss(outputs, targets) and metric()",
                got=kind if not isinstance(given, type) else f"the class {given.__name__}: call it",
                fix="see docs/tasks.md for a task of your own",
            )
    metric = given.metric()
    for need in ("update", "compute"):
        if not callable(getattr(metric, need, None)):
            raise ConfigError(
                f"what metric() gives has no {need}()",
                where=where,
                expected="a torchmetrics.Metric, or what has update(outputs, targets), compute()",
                got=type(metric).__name__,
            )
    better = getattr(given, "better", None)
    if better is None:
        higher = getattr(metric, "higher_is_better", None)
        better = None if higher is None else "higher" if higher else "lower"
    if better not in get_args(Better):
        raise ConfigError(
            f"nothing says which way {type(metric).__name__} is better",
            where=where,
            expected="better = 'higher' or 'lower' on the task, or higher_is_better on the metric",
            got=repr(better),
        )
    unit = getattr(given, "unit", "")
    return Own(
        given,
        name=getattr(given, "name", kind),
        measure=getattr(given, "measure", type(metric).__name__),
        unit=SHARE if unit == "share" else unit,
        better=cast(Better, better),
    )
