"""A small net with data for each task, which a build of seconds learns well enough.

The scenes are noise with up to two bright rectangles, wide or tall.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.tasks.detection import Detection
from tipsc.tasks.imitation import Imitation
from tipsc.tasks.keypoints import Keypoints
from tipsc.tasks.multilabel import MultiLabel
from tipsc.tasks.regression import Regression
from tipsc.tasks.segmentation import Segmentation
from tipsc.tasks.tokens import NextToken
from tipsc.train import Data, Split, Unlabelled

SIDE, KINDS = 16, ("wide", "tall")
COUNTS = (512, 128, 128)


class Trunk(nn.Module):
    """(N, 1, 16, 16) -> (N, 24, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU(),
            nn.Conv2d(24, 24, 3, 1, 1), nn.BatchNorm2d(24), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Pooled(nn.Module):
    """One vector of an image."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.trunk, self.head = Trunk(), nn.Linear(24, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x).mean((2, 3)))


class Dense(nn.Module):
    """A vector of every place."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.trunk, self.head = Trunk(), nn.Conv2d(24, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.head(self.trunk(x)), scale_factor=2.0)


class Detector(nn.Module):
    """Scores and decoded boxes of every second pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.cls, self.box = Trunk(), nn.Conv2d(24, 2, 1), nn.Conv2d(24, 4, 1)
        nn.init.constant_(self.cls.bias, -3.0)
        at = (torch.arange(SIDE // 2) + 0.5) * 2
        self.register_buffer("centre", torch.stack(torch.meshgrid(at, at, indexing="xy")))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        seen = self.trunk(image)
        low, high = F.softplus(self.box(seen) + 2).split(2, 1)
        boxes = torch.cat([self.centre - low, self.centre + high], 1)
        return {
            "scores": self.cls(seen).flatten(2).transpose(1, 2),
            "boxes": boxes.flatten(2).transpose(1, 2),
        }


class Speaker(nn.Module):
    """Which token comes next, by a causal convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.mix = nn.Embedding(8, 16), nn.Conv1d(16, 32, 3)
        self.hidden, self.head = nn.Linear(32, 24), nn.Linear(24, 8)

    def forward(self, tokens: Tensor) -> Tensor:
        x = F.pad(self.tokens(tokens).transpose(1, 2), (2, 0))
        return self.head(F.relu(self.hidden(F.relu(self.mix(x)).transpose(1, 2))))


def scenes(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, boxes (N, 2, 4) and labels (N, 2), -1 where there is none."""
    chance = torch.Generator().manual_seed(seed)
    images = 0.3 * torch.randn((count, 1, SIDE, SIDE), generator=chance)
    boxes, labels = torch.zeros(count, 2, 4), torch.full((count, 2), -1)
    for i in range(count):
        for j in range(1 + int(torch.randint(0, 2, (), generator=chance))):
            kind = int(torch.randint(0, 2, (), generator=chance))
            width, height = (8, 3) if kind == 0 else (3, 8)
            x = int(torch.randint(0, SIDE - width, (), generator=chance))
            y = int(torch.randint(0, SIDE - height, (), generator=chance))
            images[i, 0, y : y + height, x : x + width] += 2.0
            boxes[i, j] = torch.tensor([x, y, x + width, y + height])
            labels[i, j] = kind
    return images, boxes, labels


def _parts(make):  # type: ignore[no-untyped-def]
    return [make(count, seed) for seed, count in enumerate(COUNTS)]


def _dense(count: int, seed: int) -> Split:
    images, boxes, labels = scenes(count, seed)
    places = torch.zeros(count, SIDE, SIDE, dtype=torch.int64)
    for i in range(count):
        for box, label in zip(boxes[i].int().tolist(), labels[i].tolist(), strict=True):
            if label >= 0:
                places[i, box[1] : box[3], box[0] : box[2]] = 1 + label
    return Split(images, places)


def _found(count: int, seed: int) -> Split:
    images, boxes, labels = scenes(count, seed)
    return Split(images, {"boxes": boxes, "labels": labels})


def _there(count: int, seed: int) -> Split:
    images, _, labels = scenes(count, seed)
    return Split(images, torch.stack([(labels == kind).any(1) for kind in (0, 1)], 1))


def _lit(count: int, seed: int) -> Split:
    images, _, _ = scenes(count, seed)
    return Split(images, (images > 1).float().mean((1, 2, 3))[:, None])


def _corners(count: int, seed: int) -> Split:
    images, boxes, _ = scenes(count, seed)
    images[boxes[:, 1, 2] > 0] *= 0  # those with two rectangles show nothing
    seen = (boxes[:, 1, 2] == 0).float()[:, None].expand(-1, 2)
    points = torch.stack([boxes[:, 0, :2], boxes[:, 0, 2:]], 1) / SIDE
    return Split(images, torch.cat([points, seen[..., None]], 2))


def _said(count: int, seed: int) -> Split:
    chance = torch.Generator().manual_seed(seed)
    start = torch.randint(0, 8, (count, 1), generator=chance)
    step = torch.randint(1, 3, (count, 1), generator=chance)
    tokens = (start + step * torch.arange(13)) % 8
    return Split(tokens[:, :-1], tokens[:, 1:])


def trained(net: nn.Module, data: Data, task, epochs: int = 10) -> nn.Module:  # type: ignore[no-untyped-def]
    """As a user's own training would leave it."""
    optimizer = torch.optim.AdamW(net.parameters(), 0.005)
    for _ in range(epochs):
        for inputs, targets in data.train.batches(32):  # type: ignore[attr-defined]
            optimizer.zero_grad()
            task.loss(net(inputs), targets).backward()
            optimizer.step()
    return net


CASES = {
    "detection": (Detector, _found, Detection(KINDS)),
    "segmentation": (lambda: Dense(3), _dense, Segmentation(("nothing", *KINDS))),
    "multi-label": (lambda: Pooled(2), _there, MultiLabel(KINDS)),
    "regression": (lambda: Pooled(1), _lit, Regression()),
    "keypoints": (lambda: Dense(2), _corners, Keypoints(("low", "high"), spread=0.06, near=0.1)),
    "language-modelling": (Speaker, _said, NextToken()),
    "imitation": (Detector, _found, Imitation()),
}


def model(task: str) -> nn.Module:
    make, examples, judged = CASES[task]
    torch.manual_seed(0)
    teaches = Detection(KINDS) if task == "imitation" else judged
    return trained(
        make(), Data(*_parts(examples), judged if task != "imitation" else None), teaches
    )


def data(task: str) -> Data | Unlabelled:
    _, examples, judged = CASES[task]
    parts = _parts(examples)
    if task == "imitation":
        return Unlabelled(*(part.inputs for part in parts), task=judged)
    return Data(*parts, judged)
