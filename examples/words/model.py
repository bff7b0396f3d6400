"""A plain transformer encoder over letters, trained in a minute or two when it is first asked for.

It knows nothing of tipsc's elastic layers: ``tipsc build`` makes it elastic.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import torch
from data import FILES, LENGTH, VOCABULARY  # the file beside this one
from data import load as load_words
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.engine.atomic import write_atomically

WEIGHTS = Path(__file__).with_name("weights.pt")  # remove it to train again
EPOCHS, BATCH, LEARNING_RATE = 3, 256, 0.004


class WordClassifier(nn.Module):
    """Letters (N, LENGTH) int64 -> logits (N, languages)."""

    def __init__(self, width: int = 48, heads: int = 4, inner: int = 192, layers: int = 3) -> None:
        super().__init__()
        self.letters = nn.Embedding(VOCABULARY, width)
        self.positions = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    width, heads, inner, dropout=0.0, activation="gelu",
                    batch_first=True, norm_first=True,
                )
                for _ in range(layers)
            )
        )  # fmt: skip
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, len(FILES))

    def forward(self, letters: Tensor) -> Tensor:
        x = self.layers(self.letters(letters) + self.positions)
        return self.classifier(self.norm(x).mean(1))


def load() -> nn.Module:
    """The trained model; its weights are kept in a file beside this one."""
    model = WordClassifier()
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
    data = load_words().train
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    steps = EPOCHS * (len(data.inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(0)
    model.train()
    for epoch in range(EPOCHS):
        print(f"training the plain model, epoch {epoch + 1} of {EPOCHS}", file=sys.stderr)
        order = torch.randperm(len(data.inputs), generator=generator)
        for batch in order.split(BATCH):
            if len(batch) < BATCH:
                continue
            loss = F.cross_entropy(model(data.inputs[batch]), data.targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
