"""Numbers: the mean squared, absolute or Huber loss, and how much of the variance is explained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.batch import Tensors
from tipsc.quality import Better, Quality
from tipsc.tasks.judged import Judged, require, told, torchmetrics

_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": F.mse_loss,
    "mae": F.l1_loss,
    "huber": F.huber_loss,
}


@dataclass(frozen=True)
class Regression(Judged):
    """Targets and outputs (N, ...) float32 of one shape.

    Attributes:
        by: what is judged by: "r2", the share of variance explained; "mae" or "rmse", the mean
            absolute or the root of the mean squared error.
        learns: the loss: "mse", "mae" or "huber".
        unit: of the errors, such as "m"; "" for none.
    """

    by: Literal["r2", "mae", "rmse"] = "r2"
    learns: Literal["mse", "mae", "huber"] = "mse"
    unit: str = ""

    name = "regression"

    @property
    def measure(self) -> str:
        return {"r2": "R²", "mae": "mean absolute error", "rmse": "root mean squared error"}[
            self.by
        ]

    @property
    def better(self) -> Better:  # type: ignore[override]
        return "higher" if self.by == "r2" else "lower"

    def metric(self) -> Any:
        metrics = torchmetrics(".regression")
        if self.by == "r2":
            return metrics.R2Score()
        if self.by == "mae":
            return metrics.MeanAbsoluteError()
        return metrics.MeanSquaredError(squared=False)

    def shown(self, outputs: Any, targets: Tensors) -> tuple[Any, ...]:
        return outputs.flatten(), targets.flatten()

    def loss(self, outputs: Any, targets: Tensors, *, smoothing: float = 0.0) -> Tensor:
        return _LOSSES[self.learns](outputs, targets)

    def quality(self, value: float) -> Quality:
        return Quality(self.measure, value, "" if self.by == "r2" else self.unit, self.better)

    def chance(self, targets: Tensors) -> Quality:
        flat = targets.flatten()
        if self.by == "r2":
            return self.quality(0.0)
        if self.by == "mae":
            return self.quality(float((flat - flat.median()).abs().mean()))
        return self.quality(float(flat.std(correction=0)))

    def check(self, targets: Tensors, examples: int, where: str) -> None:
        require(
            isinstance(targets, Tensor) and targets.dtype == torch.float32,
            "targets are no numbers to be approached",
            where=where,
            expected="float32 of the shape of the outputs",
            got=told(targets),
            fix="convert them: targets.float(); class numbers are a classification",
        )
        bad = (~torch.isfinite(targets)).reshape(len(targets), -1).any(1).nonzero().flatten()
        require(
            not len(bad),
            "a target is NaN or infinite",
            where=f"{where}, example {int(bad[0]) if len(bad) else 0}",
            expected="finite numbers",
            got=f"{len(bad)} examples that are not",
            fix="drop or repair them",
        )

    def check_outputs(self, outputs: Any, where: str = "", fix: str = "") -> None:
        require(
            isinstance(outputs, Tensor) and outputs.is_floating_point(),
            "the model gives no numbers that targets could be compared with",
            where=where,
            expected="one float32 output of the shape of the targets",
            got=told(outputs),
            fix=fix,
        )
