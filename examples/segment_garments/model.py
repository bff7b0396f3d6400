"""A plain U-Net (arXiv 1505.04597), small, trained in a minute or two when it is first asked for.

It knows nothing of tipsc's elastic layers: ``tipsc build`` makes it elastic.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import torch
from data import PLACES
from data import load as load_scenes
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.engine.atomic import write_atomically

WEIGHTS = Path(__file__).with_name("weights.pt")  # remove it to train again
EPOCHS, BATCH, LEARNING_RATE = 6, 32, 0.004


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """With its norm and activation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def twice(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(convolution(inputs, outputs, stride), convolution(outputs, outputs))


class UNet(nn.Module):
    """Images (N, 1, 64, 64) -> logits (N, places, 64, 64)."""

    def __init__(self, widths: tuple[int, int, int, int] = (8, 16, 32, 64)) -> None:
        super().__init__()
        a, b, c, d = widths  # at 64, 32, 16 and 8 pixels
        self.down_a = convolution(1, a)
        self.down_b = twice(a, b, 2)
        self.down_c = twice(b, c, 2)
        self.down_d = twice(c, d, 2)
        self.up_c = twice(d + c, c)
        self.up_b = twice(c + b, b)
        self.up_a = convolution(b + a, b)
        self.head = nn.Conv2d(b, len(PLACES), 1)

    def forward(self, image: Tensor) -> Tensor:
        a = self.down_a(image)
        b = self.down_b(a)
        c = self.down_c(b)
        x = self.up_c(beside(self.down_d(c), c))
        x = self.up_b(beside(x, b))
        return self.head(self.up_a(beside(x, a)))


def beside(small: Tensor, large: Tensor) -> Tensor:
    """Both on top of each other, the small one twice as large."""
    return torch.cat([F.interpolate(small, scale_factor=2.0), large], 1)


def load() -> nn.Module:
    """The trained model; its weights are kept in a file beside this one."""
    torch.manual_seed(0)
    model = UNet()
    if WEIGHTS.is_file():
        model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    else:
        train(model)
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
        write_atomically(WEIGHTS, [buffer.getvalue()])
    return model.eval()


def train(model: nn.Module) -> None:
    """Cross-entropy, AdamW, one cycle of the learning rate; half of the scenes mirrored."""
    data = load_scenes().train
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    steps = EPOCHS * (len(data.inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    chance = torch.Generator().manual_seed(0)
    model.train()
    for epoch in range(EPOCHS):
        print(f"training the plain model, epoch {epoch + 1} of {EPOCHS}", file=sys.stderr)
        order = torch.randperm(len(data.inputs), generator=chance)
        for number, batch in enumerate(order.split(BATCH)):
            if len(batch) < BATCH:
                continue
            images, masks = data.inputs[batch], data.targets[batch]
            if number % 2:
                images, masks = images.flip(-1), masks.flip(-1)
            loss = F.cross_entropy(model(images), masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
