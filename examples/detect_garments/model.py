"""A plain detector without anchors, trained in a minute or two when it is first asked for.

It knows nothing of tipsc's elastic layers: ``tipsc build`` makes it elastic.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import torch
from data import load as load_scenes
from scenes import CLASSES, SIDE
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.engine.atomic import write_atomically

WEIGHTS = Path(__file__).with_name("weights.pt")  # remove it to train again
EPOCHS, BATCH, LEARNING_RATE = 12, 32, 0.004
STRIDE = 4  # pixels from one place to the next


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """With its norm and activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = convolution(width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.second(self.first(x))))


class Detector(nn.Module):
    """Images (N, 1, 64, 64) -> scores (N, 256, classes), logits, and boxes (N, 256, 4), corners in
    pixels, of places that are 4 pixels apart.
    """

    def __init__(self, fine: int = 24, coarse: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(convolution(1, 16, 3, 2), convolution(16, fine, 3, 2))
        self.fine = nn.Sequential(Residual(fine), Residual(fine))
        self.down = convolution(fine, coarse, 3, 2)
        self.coarse = nn.Sequential(Residual(coarse), Residual(coarse), Residual(coarse))
        self.back = convolution(coarse, fine, 1)
        self.joined = nn.Sequential(convolution(2 * fine, coarse), convolution(coarse, coarse, 1))
        self.scores = nn.Conv2d(coarse, len(CLASSES), 1)
        self.sides = nn.Conv2d(coarse, 4, 1)
        nn.init.constant_(self.scores.bias, -3.0)  # nearly all places see nothing
        nn.init.constant_(self.sides.bias, 1.0)
        at = STRIDE * (torch.arange(SIDE // STRIDE) + 0.5)
        self.register_buffer("places", torch.stack(torch.meshgrid(at, at, indexing="xy")))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        near = self.fine(self.stem(image))
        far = F.interpolate(self.back(self.coarse(self.down(near))), scale_factor=2.0)
        seen = self.joined(torch.cat([near, far], 1))
        low, high = (8 * F.softplus(self.sides(seen))).split(2, 1)
        boxes = torch.cat([self.places - low, self.places + high], 1)
        return {
            "scores": self.scores(seen).flatten(2).transpose(1, 2),
            "boxes": boxes.flatten(2).transpose(1, 2),
        }


def load() -> nn.Module:
    """The trained model; its weights are kept in a file beside this one."""
    torch.manual_seed(0)
    model = Detector()
    if WEIGHTS.is_file():
        model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    else:
        train(model)
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
        write_atomically(WEIGHTS, [buffer.getvalue()])
    return model.eval()


def train(model: nn.Module) -> None:
    """AdamW, one cycle of the learning rate; half of the scenes mirrored."""
    data = load_scenes()
    images, boxes, labels = data.train.inputs, *data.train.targets.values()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    chance = torch.Generator().manual_seed(0)
    model.train()
    for epoch in range(EPOCHS):
        print(f"training the plain model, epoch {epoch + 1} of {EPOCHS}", file=sys.stderr)
        order = torch.randperm(len(images), generator=chance)
        for batch in order.split(BATCH):
            if len(batch) < BATCH:
                continue
            turned = torch.rand(BATCH, generator=chance) < 0.5
            seen, places = mirrored(images[batch], boxes[batch], turned)
            loss = data.task.loss(model(seen), {"boxes": places, "labels": labels[batch]})
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def mirrored(images: Tensor, boxes: Tensor, turned: Tensor) -> tuple[Tensor, Tensor]:
    """Images and boxes, left and right changed where `turned` (N,) says so."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    other = torch.stack([SIDE - x2, y1, SIDE - x1, y2], -1)
    return (
        torch.where(turned[:, None, None, None], images.flip(-1), images),
        torch.where(turned[:, None, None], other, boxes),
    )
