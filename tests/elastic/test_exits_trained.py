"""Heads of early exits learn: fitted in closed form, and in the loop."""

from __future__ import annotations

from pathlib import Path as FilePath

import torch
from architectures import convolutional as conv
from sklearn.datasets import load_digits
from torch import Tensor, nn

from tipsc.convert import convert, fit_exits
from tipsc.elastic import extract
from tipsc.paths import Path
from tipsc.tasks import Classification
from tipsc.train import Data, Split, TrainConfig, calibrate, train


class Digits(nn.Module):
    """Reads the 8x8 digits of scikit-learn."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv.conv_bn(1, 16)
        self.one = nn.Sequential(conv.BasicBlock(16, 16, 1), conv.BasicBlock(16, 16, 1))
        self.two = nn.Sequential(conv.BasicBlock(16, 32, 2), conv.BasicBlock(32, 32, 1))
        self.head = conv.Head(32)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.two(self.one(self.stem(x))))


def digits() -> Data:
    found = load_digits()
    images = torch.tensor(found.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    labels = torch.tensor(found.target, dtype=torch.int64)
    parts = (slice(0, 1200), slice(1200, 1500), slice(1500, None))
    return Data(*(Split(images[p], labels[p]) for p in parts), Classification(tuple("0123456789")))


def test_heads_are_fitted_in_closed_form_and_learn_in_the_loop(tmp_path: FilePath) -> None:
    data = digits()
    torch.manual_seed(0)
    original = Digits()
    optimizer = torch.optim.AdamW(original.parameters(), 0.01)
    for inputs, targets in list(data.train.batches(64)) * 4:
        optimizer.zero_grad()
        nn.functional.cross_entropy(original(inputs), targets).backward()
        optimizer.step()
    original.eval()
    supernet = convert(original, data.train.inputs[:2], widths=(0.5, 1.0), exits=True)
    space = supernet.space
    early = space.path({**space.largest.options, "exit": 1})
    narrow = space.path({"exit": 1, "one.depth": 2})

    def accuracy(path: Path) -> float:
        module = extract(supernet, path, calibrate(supernet, path, data.calibration(512)))
        with torch.no_grad():
            right = module(data.test.inputs).argmax(1) == data.test.targets
        return right.float().mean().item()

    drawn = accuracy(early)
    explained = fit_exits(supernet, data.calibration(512))
    fitted = accuracy(early)
    assert drawn < 0.35 and fitted > drawn + 0.2
    assert 0 < explained[1] < 1
    config = TrainConfig(
        epochs=3,
        frozen_epochs=0,
        batch_size=64,
        learning_rate=0.01,
        sampler="uniform",
        paths_per_step=2,
    )
    train(supernet, data, config, folder=tmp_path, original=original)
    assert accuracy(early) > 0.7  # chance is 0.1
    assert accuracy(narrow) > 0.6
