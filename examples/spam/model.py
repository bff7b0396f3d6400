"""A plain transformer encoder over words, trained in a minute or two when it is first asked for.

It knows nothing of tipsc's elastic layers: ``tipsc build`` makes it elastic.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import torch
from data import LENGTH, VOCABULARY  # the file beside this one
from data import load as load_mails
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.engine.atomic import write_atomically

WEIGHTS = Path(__file__).with_name("weights.pt")  # remove it to train again
EPOCHS, BATCH, LEARNING_RATE = 6, 64, 0.003
FORGOTTEN = 0.15  # share of the words that a step does not see


class SpamFilter(nn.Module):
    """Words (N, LENGTH) int64 and a mask of those that are there -> logits (N, 1)."""

    def __init__(self, width: int = 48, heads: int = 4, inner: int = 192, layers: int = 2) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, heads, inner, dropout=0.0, activation="gelu",
                batch_first=True, norm_first=True,
            )
            for _ in range(layers)
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        x = self.words(words) + self.positions
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=~mask)
        weight = mask[:, :, None].float()
        mean = (self.norm(x) * weight).sum(1) / (weight.sum(1) + 1e-6)
        return self.head(mean)


def load() -> nn.Module:
    """The trained model; its weights are kept in a file beside this one."""
    torch.manual_seed(0)
    model = SpamFilter()
    if WEIGHTS.is_file():
        model.load_state_dict(torch.load(WEIGHTS, weights_only=True))
    else:
        train(model)
        buffer = io.BytesIO()
        torch.save(model.state_dict(), buffer)
        write_atomically(WEIGHTS, [buffer.getvalue()])
    return model.eval()


def train(model: nn.Module) -> None:
    """Cross-entropy, AdamW, one cycle of the learning rate."""
    data = load_mails().train
    words, mask, spam = data.inputs["words"], data.inputs["mask"], data.targets.float()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    steps = EPOCHS * (len(words) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    chance = torch.Generator().manual_seed(0)
    model.train()
    for epoch in range(EPOCHS):
        print(f"training the plain model, epoch {epoch + 1} of {EPOCHS}", file=sys.stderr)
        order = torch.randperm(len(words), generator=chance)
        for batch in order.split(BATCH):
            if len(batch) < BATCH:
                continue
            seen = torch.rand(mask[batch].shape, generator=chance) > FORGOTTEN
            seen[:, 0] = True
            logits = model(words[batch], mask[batch] & seen)
            loss = F.binary_cross_entropy_with_logits(logits, spam[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
