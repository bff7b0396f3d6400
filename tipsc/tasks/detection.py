"""Detection: boxes with a class each, from a dense detector; judged by the mean average precision.

A detector gives for each of its places P the scores of all classes and a box, decoded. Which place
is to say which box is settled as in task-aligned assignment (arXiv 2108.07755): for each box those
places whose own box and score fit it best.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.batch import Tensors
from tipsc.errors import MissingExtraError
from tipsc.quality import Quality
from tipsc.tasks.boxes import kept, overlaps
from tipsc.tasks.judged import Judged, lacks, require, told

_CANDIDATES = 9  # places for a box
_SCORE, _OVERLAP = 0.5, 4.0  # exponents of what an assignment is aligned by
_BOX_WEIGHT = 2.0
_FOCUS = 2.0  # exponent of the quality focal loss (arXiv 2006.04388)
_MOST = 100  # boxes of an image that are judged, as COCO does
_FAINT = 0.01  # scores below are not judged


@dataclass(frozen=True)
class Detection(Judged):
    """Targets are a dict: ``boxes`` (N, M, 4) float32, corners in pixels, and ``labels`` (N, M)
    int64, class numbers from 0; an image with fewer than M boxes has -1 in the rest. Outputs have
    ``scores`` (N, P, classes) logits and ``boxes`` (N, P, 4), as a dict or a pair in this order.

    Attributes:
        classes: their names, in the order of their numbers.
        overlap: boxes of a class that overlap more are one.
    """

    classes: tuple[str, ...]
    overlap: float = 0.6

    name = "detection"
    measure = "mAP"

    def score(self) -> AveragePrecision:  # type: ignore[override]
        return AveragePrecision(self)

    def loss(self, outputs: Any, targets: Tensors, *, smoothing: float = 0.0) -> Tensor:
        scores, boxes = parts_of(outputs)
        wanted, at, fits = assigned(scores.detach(), boxes.detach(), targets)
        sure = scores.sigmoid()
        focus = (wanted - sure).abs() ** _FOCUS
        found = fits.sum().clamp_min(1)
        said = F.binary_cross_entropy_with_logits(scores, wanted, reduction="none") * focus
        places = torch.gather(targets["boxes"], 1, at[..., None].expand(-1, -1, 4))
        lies = (1 - _alike(boxes, places)) * fits  # nothing where there is no box
        return said.sum() / found + _BOX_WEIGHT * lies.sum() / found

    def imitate(self, student: Any, teacher: Any) -> Tensor:
        """Scores as probabilities; boxes where the teacher sees something."""
        scores, boxes = parts_of(student)
        wanted, places = (part.detach() for part in parts_of(teacher))
        sure = wanted.sigmoid()
        focus = (sure - scores.sigmoid()).abs() ** _FOCUS
        weight = sure.amax(-1)
        total = weight.sum().clamp_min(1)
        said = F.binary_cross_entropy_with_logits(scores, sure, reduction="none") * focus
        apart = (1 - _alike(boxes, places)) * weight
        return said.sum() / total + _BOX_WEIGHT * apart.sum() / total

    def agree(self, outputs: Any, original: Any) -> float:
        """Of the boxes that either finds, the share that both find."""
        found = [decoded(one, 0.3, self.overlap) for one in (outputs, original)]
        same = total = 0
        for (boxes, _, labels), (others, _, names) in zip(*found, strict=True):
            hits = (overlaps(boxes, others)[0] > 0.5) & (labels[:, None] == names[None, :])
            # Two boxes that lie on one of the other are one that both find.
            both = min(int(hits.any(1).sum()), int(hits.any(0).sum()))
            same, total = same + both, total + len(boxes) + len(others) - both
        return same / total if total else 1.0

    def check(self, targets: Tensors, examples: int, where: str) -> None:
        shaped = (
            isinstance(targets, Mapping)
            and set(targets) == {"boxes", "labels"}
            and targets["boxes"].dim() == 3
            and targets["boxes"].shape[2] == 4
            and targets["boxes"].dtype == torch.float32
            and targets["labels"].dtype == torch.int64
            and targets["labels"].shape == targets["boxes"].shape[:2]
        )
        require(
            shaped,
            "targets are no boxes",
            where=where,
            expected=f"a dict of boxes ({examples}, M, 4) float32 and labels ({examples}, M) int64",
            got=told(targets),
            fix="fill up images with fewer boxes: any box, label -1",
        )
        boxes, labels = targets["boxes"], targets["labels"]
        wrong = (labels < -1) | (labels >= len(self.classes))
        _none_is(wrong, "a box has no class", where, f"0 to {len(self.classes) - 1}, or -1", labels)
        there = labels >= 0
        bad = there & (~torch.isfinite(boxes).all(-1) | (boxes[..., 2:] <= boxes[..., :2]).any(-1))
        _none_is(bad, "a box has no area", where, "x1 < x2 and y1 < y2", boxes)
        require(bool(there.any()), "no example has a box", where=where, expected="some", got="none")

    def lacking(self, parts: Mapping[str, Tensors]) -> list[str]:
        there = {part: targets["labels"].unique().tolist() for part, targets in parts.items()}
        return lacks(self.classes, there, "classes have no box in a {part} example")

    def check_outputs(self, outputs: Any, where: str = "", fix: str = "") -> None:
        try:
            scores, boxes = parts_of(outputs)
            fits = scores.shape[2] == len(self.classes) and boxes.shape == (*scores.shape[:2], 4)
        except (KeyError, ValueError, TypeError, IndexError, AttributeError):
            fits = False
        require(
            fits,
            "the model's outputs are not those of a dense detector",
            where=where,
            expected=f"scores (N, P, {len(self.classes)}) and boxes (N, P, 4), decoded",
            got=told(outputs),
            fix=fix or "let forward decode its boxes, or give a task with a loss of your own",
        )


def parts_of(outputs: Any) -> tuple[Tensor, Tensor]:
    """Scores and boxes."""
    if isinstance(outputs, Mapping):
        return outputs["scores"], outputs["boxes"]
    if hasattr(outputs, "scores"):
        return outputs.scores, outputs.boxes
    scores, boxes = outputs
    return scores, boxes


def assigned(scores: Tensor, boxes: Tensor, targets: Tensors) -> tuple[Tensor, Tensor, Tensor]:
    """What each place is to say.

    Returns:
        The scores (N, P, classes) that are wanted, the number of the box (N, P), and how well it
        fits it (N, P): 0 where there is none.
    """
    given, labels = targets["boxes"], targets["labels"]
    there = labels >= 0
    index = labels.clamp_min(0)[:, None, :].expand(-1, scores.shape[1], -1)
    sure = scores.sigmoid().gather(2, index)
    iou, wide = overlaps(boxes, given)
    # Boxes that miss it altogether are ranked by how far they are, so that learning can begin.
    near = torch.where(iou > 0, iou, 0.05 * (1 + wide))
    fit = (sure.clamp_min(1e-4) ** _SCORE * near**_OVERLAP) * there[:, None, :]
    count = min(_CANDIDATES, fit.shape[1])
    best = torch.zeros_like(fit).scatter(1, fit.topk(count, 1).indices, 1.0) * (fit > 0)
    chosen = fit * best
    value, at = chosen.max(2)
    top = chosen.amax(1, keepdim=True).clamp_min(1e-9)
    closest = (near * best).amax(1, keepdim=True)
    fits = (chosen / top * closest.clamp_min(0.1)).gather(2, at[..., None]).squeeze(2)
    fits = torch.where(value > 0, fits, torch.zeros_like(fits))
    name = labels.clamp_min(0).gather(1, at)
    wanted = torch.zeros_like(scores).scatter(2, name[..., None], fits[..., None])
    return wanted, at, fits


def decoded(outputs: Any, least: float, overlap: float) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Boxes (K, 4), scores (K,) and class numbers (K,) of each image, the surest first.

    Args:
        least: scores below are left out.
        overlap: boxes of a class that overlap more are one.
    """
    scores, boxes = parts_of(outputs)
    found = []
    for logits, places in zip(scores, boxes, strict=True):
        sure, labels = logits.sigmoid().max(-1)
        few = sure.topk(min(3 * _MOST, len(sure))).indices
        few = few[sure[few] >= least]
        few = few[kept(places[few], sure[few], labels[few], overlap)][:_MOST]
        found.append((places[few], sure[few], labels[few]))
    return found


@dataclass
class AveragePrecision:
    """COCO's mean average precision over overlaps of 0.5 to 0.95."""

    task: Detection
    images: list[dict[str, int]] = field(default_factory=list)
    given: list[dict[str, Any]] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)

    def add(self, outputs: Any, targets: Tensors) -> None:
        answers = decoded(outputs, _FAINT, self.task.overlap)
        rows = zip(answers, targets["boxes"].cpu(), targets["labels"].cpu(), strict=True)
        for (boxes, scores, labels), places, names in rows:
            image = len(self.images) + 1
            self.images.append({"id": image})
            for box, name in zip(places.tolist(), names.tolist(), strict=True):
                if name >= 0:
                    entry = {"id": len(self.given) + 1, "image_id": image, "category_id": name + 1}
                    self.given.append({**entry, **_placed(box), "iscrowd": 0})
            for box, score, label in zip(
                boxes.tolist(), scores.tolist(), labels.tolist(), strict=True
            ):
                entry = {"id": len(self.found) + 1, "image_id": image, "category_id": label + 1}
                self.found.append({**entry, **_placed(box), "score": score, "iscrowd": 0})

    @property
    def quality(self) -> Quality:
        try:
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval
        except ImportError as error:
            raise MissingExtraError.of("pycocotools", "train", "mean average precision") from error
        names = [{"id": i + 1, "name": name} for i, name in enumerate(self.task.classes)]
        with contextlib.redirect_stdout(io.StringIO()):
            known, seen = COCO(), COCO()
            for table, entries in ((known, self.given), (seen, self.found)):
                table.dataset = {"images": self.images, "categories": names, "annotations": entries}
                table.createIndex()
            judge = COCOeval(known, seen, "bbox")
            judge.evaluate()
            judge.accumulate()
            judge.summarize()
        return self.task.quality(max(0.0, float(judge.stats[0])))


def _placed(box: list[float]) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    width, height = max(0.0, x2 - x1), max(0.0, y2 - y1)
    return {"bbox": [x1, y1, width, height], "area": width * height}


def _alike(one: Tensor, other: Tensor) -> Tensor:
    """Generalised overlap of boxes in pairs: (..., 4) twice to (...)."""
    return overlaps(one[..., None, :], other[..., None, :])[1][..., 0, 0]


def _none_is(wrong: Tensor, what: str, where: str, expected: str, values: Tensor) -> None:
    example = wrong.any(1).nonzero().flatten()
    require(
        not len(example),
        what,
        where=f"{where}, example {int(example[0]) if len(example) else 0}",
        expected=expected,
        got=values[wrong][0].tolist() if len(example) else "",
    )
