"""A plain convolutional net over time, trained in a minute when it is first asked for.

It knows nothing of tipsc's elastic layers: ``tipsc build`` makes it elastic.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import torch
from data import load as load_windows
from series import AHEAD, WINDOW
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.engine.atomic import write_atomically

WEIGHTS = Path(__file__).with_name("weights.pt")  # remove it to train again
EPOCHS, BATCH, LEARNING_RATE = 8, 64, 0.002


class Block(nn.Module):
    """A residual block of two convolutions over (N, C, L)."""

    def __init__(self, channels: int, inner: int, dilation: int) -> None:
        super().__init__()
        self.inner = nn.Conv1d(channels, inner, 3, padding=dilation, dilation=dilation)
        self.outer = nn.Conv1d(inner, channels, 3, padding=dilation, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.outer(F.relu(self.inner(x))))


class Forecast(nn.Module):
    """Hours (N, 1, WINDOW) -> the next ones (N, AHEAD)."""

    def __init__(self, channels: int = 32, inner: int = 64) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, channels, 5, padding=2)
        self.blocks = nn.Sequential(*(Block(channels, inner, 2**i) for i in range(4)))
        self.pool = nn.AvgPool1d(6)
        self.hidden = nn.Linear(channels * (WINDOW // 6), 128)
        self.head = nn.Linear(128, AHEAD)

    def forward(self, hours: Tensor) -> Tensor:
        x = self.pool(self.blocks(F.relu(self.stem(hours))))
        return self.head(F.relu(self.hidden(x.flatten(1))))


def load() -> nn.Module:
    """The trained model; its weights are kept in a file beside this one."""
    torch.manual_seed(0)
    model = Forecast()
    if WEIGHTS.is_file():
        model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    else:
        train(model)
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
        write_atomically(WEIGHTS, [buffer.getvalue()])
    return model.eval()


def train(model: nn.Module) -> None:
    """The mean absolute error, AdamW, one cycle of the learning rate."""
    data = load_windows().train
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.1)
    steps = EPOCHS * (len(data.inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    chance = torch.Generator().manual_seed(0)
    model.train()
    for epoch in range(EPOCHS):
        print(f"training the plain model, epoch {epoch + 1} of {EPOCHS}", file=sys.stderr)
        order = torch.randperm(len(data.inputs), generator=chance)
        for batch in order.split(BATCH):
            if len(batch) < BATCH:
                continue
            loss = F.l1_loss(model(data.inputs[batch]), data.targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
