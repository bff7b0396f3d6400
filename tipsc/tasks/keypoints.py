"""Points on things: a heatmap for each point, whose peak is where it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.batch import Tensors
from tipsc.tasks.judged import Judged, require, told, torchmetrics


@dataclass(frozen=True)
class Keypoints(Judged):
    """Targets (N, points, 3) float32: x and y as shares of the image, from 0 to 1, and whether the
    point can be seen, 1 or 0. Outputs (N, points, H, W), logits.

    Attributes:
        points: their names.
        spread: the standard deviation of a target's heatmap, as a share of its larger side.
        near: a point is found within this distance, as a share of the image.
    """

    points: tuple[str, ...]
    spread: float = 0.04
    near: float = 0.05

    name = "keypoints"
    measure = "points found"
    sized_by = "classes"

    def metric(self) -> Any:
        return torchmetrics(".aggregation").MeanMetric()

    def shown(self, outputs: Any, targets: Tensors) -> tuple[Any, ...]:
        apart = (peaks(outputs) - targets[..., :2]).norm(dim=-1)
        return ((apart <= self.near)[targets[..., 2] > 0].float(),)

    def loss(self, outputs: Any, targets: Tensors, *, smoothing: float = 0.0) -> Tensor:
        wanted = heatmaps(targets, outputs.shape[-2], outputs.shape[-1], self.spread)
        each = F.binary_cross_entropy_with_logits(outputs, wanted, reduction="none").mean((2, 3))
        seen = targets[..., 2]
        return (each * seen).sum() / seen.sum().clamp_min(1)

    def imitate(self, student: Any, teacher: Any) -> Tensor:
        return F.binary_cross_entropy_with_logits(student, teacher.detach().sigmoid())

    def agree(self, outputs: Any, original: Any) -> float:
        apart = (peaks(outputs) - peaks(original)).norm(dim=-1)
        return float((apart <= self.near).double().mean())

    def check(self, targets: Tensors, examples: int, where: str) -> None:
        wanted = (examples, len(self.points), 3)
        require(
            isinstance(targets, Tensor)
            and targets.dtype == torch.float32
            and targets.shape == wanted,
            "targets are no points",
            where=where,
            expected=f"float32 of shape {wanted}: x, y, seen",
            got=told(targets),
        )
        seen = targets[..., 2] > 0
        outside = ((targets[..., :2] < 0) | (targets[..., :2] > 1)).any(-1) & seen
        example = outside.any(1).nonzero().flatten()
        require(
            not len(example),
            "a point lies outside of its image",
            where=f"{where}, example {int(example[0]) if len(example) else 0}",
            expected="x and y as shares of the image, from 0 to 1",
            got=targets[outside][0].tolist() if len(example) else "",
            fix="divide by width and height; what is not in the image is not seen: 0",
        )
        require(bool(seen.any()), "no point of any example is seen", where=where,
                expected="some", got="none")  # fmt: skip

    def check_outputs(self, outputs: Any, where: str = "", fix: str = "") -> None:
        require(
            isinstance(outputs, Tensor)
            and outputs.dim() == 4
            and outputs.shape[1] == len(self.points),
            "the model does not give a heatmap for each point",
            where=where,
            expected=f"one output of shape (N, {len(self.points)}, H, W)",
            got=told(outputs),
            fix=fix,
        )


def peaks(maps: Tensor) -> Tensor:
    """x and y of the highest place of each map, as shares of it: (N, points, 2)."""
    height, width = maps.shape[-2:]
    at = maps.flatten(2).argmax(-1)
    x, y = at % width, torch.div(at, width, rounding_mode="floor")
    return torch.stack([(x + 0.5) / width, (y + 0.5) / height], -1)


def heatmaps(points: Tensor, height: int, width: int, spread: float) -> Tensor:
    """A bell of height 1 at each point: (N, points, height, width)."""
    side = max(height, width)
    x = (torch.arange(width, device=points.device) + 0.5) / width
    y = (torch.arange(height, device=points.device) + 0.5) / height
    dx = (x - points[..., 0, None]) * (width / side)
    dy = (y - points[..., 1, None]) * (height / side)
    apart = dx.square()[..., None, :] + dy.square()[..., :, None]
    return torch.exp(-apart / (2 * spread**2))
