"""Boxes: corners x1, y1, x2, y2 in pixels."""

from __future__ import annotations

import torch
from torch import Tensor


def areas(boxes: Tensor) -> Tensor:
    """(..., 4) to (...); 0 for a box that is none."""
    return _area(boxes[..., 2:] - boxes[..., :2])


def overlaps(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union, and its generalised form (arXiv 1902.09630, eq. 3).

    Args:
        one: (..., A, 4).
        other: (..., B, 4).

    Returns:
        (..., A, B) each, from 0 to 1 and from -1 to 1.
    """
    a, b = one[..., :, None, :], other[..., None, :, :]
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    inside = _area(high - low)
    both = areas(a) + areas(b) - inside
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    hull = _area(around).clamp_min(1e-6)
    iou = inside / both.clamp_min(1e-6)
    return iou, iou - (hull - both) / hull


def kept(boxes: Tensor, scores: Tensor, labels: Tensor, overlap: float) -> Tensor:
    """Numbers of the boxes that no better one of their class covers, the best first.

    Args:
        boxes: (P, 4).
        scores, labels: (P,).
        overlap: intersection over union from which one covers another.
    """
    order = scores.argsort(descending=True)
    boxes, labels = boxes[order], labels[order]
    covers = (overlaps(boxes, boxes)[0] > overlap) & (labels[:, None] == labels[None, :])
    covers = covers.triu(1)  # by a better one
    # Of the boxes in order, one more is right after each round, and all are once nothing changes:
    # a few rounds over all boxes, where one after the other would take as many as there are boxes.
    alive = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    while True:
        still = ~(covers & alive[:, None]).any(0)
        if bool((still == alive).all()):
            return order[alive]
        alive = still


def _area(sides: Tensor) -> Tensor:
    """(..., 2) to (...). The gradient of `prod` would wait for the device, to look for zeros."""
    width, height = sides.clamp_min(0).unbind(-1)
    return width * height
