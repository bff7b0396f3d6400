"""A small real task (scikit-learn's 8x8 digits) and a net that learns it in seconds.

As a script it trains in a folder, to be killed or started by torchrun.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from tipsc.elastic import Supernet, family
from tipsc.tasks import Classification
from tipsc.train import Data, History, Split, TrainConfig, train

ARGUMENTS = {
    "classes": 10,
    "input_shape": [1, 8, 8],
    "stem": 8,
    "stem_stride": 1,
    "stages": [
        {"channels": 8, "depths": [1, 2], "expansions": [1, 2, 4]},
        {"channels": 16, "depths": [1, 2], "expansions": [2, 4], "stride": 2},
    ],
    "head": 32,
    "dropout": 0.1,
}


def add_noise(inputs: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Pixels with a little noise."""
    return inputs + 0.05 * torch.randn(inputs.shape, generator=generator)


def load() -> Data:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    labels = torch.tensor(digits.target, dtype=torch.int64)
    parts = (slice(0, 1200), slice(1200, 1500), slice(1500, None))
    return Data(
        *(Split(images[p], labels[p]) for p in parts),
        Classification(tuple("0123456789")),
        add_noise,
    )


def make() -> Supernet:
    torch.manual_seed(0)
    return family("mobilenet", **ARGUMENTS)


def config(**changes: object) -> TrainConfig:
    settings: dict[str, object] = {
        "epochs": 4,
        "frozen_epochs": 1,
        "batch_size": 64,
        "learning_rate": 0.01,
        "sampler": "sandwich",
        "paths_per_step": 3,
        "distill": True,
        "threads": 1,
        "checkpoint_seconds": 0.0,
    }
    return TrainConfig(**{**settings, **changes})  # type: ignore[arg-type]


def calm() -> Supernet:
    """Nothing drops out, and each example is computed by itself."""
    torch.manual_seed(0)
    return family(
        "transformer", classes=10, input_shape=(1, 8, 8), patch=4, width=24, depths=(1, 2)
    )


def train_calmly(folder: Path, changes: dict[str, object]) -> History:
    """Without any chance but that of order and paths."""
    data, settings = dataclasses.replace(load(), augment=None), {"frozen_epochs": 0, **changes}
    return train(calm(), data, config(**settings), folder=folder)


def main(folder: Path, changes: dict[str, object], seconds_a_step: float) -> None:
    if changes.pop("calm", False):
        train_calmly(folder, changes)
        return
    supernet = make()
    rank = int(os.environ.get("RANK", "0"))
    drawn: list[list[str]] = []

    class Watched:
        def draw(self, generator, count):  # type: ignore[no-untyped-def]
            from tipsc.dtmc.samplers import Sandwich

            paths = Sandwich(supernet.space).draw(generator, count)
            drawn.append([path.id for path in paths])
            return paths

    def progress(done: int, total: int, fields: Mapping[str, float]) -> None:
        print(done, total, flush=True)
        time.sleep(seconds_a_step)

    if rank:
        with torch.no_grad():  # ranks must not depend on equal initial weights
            for parameter in supernet.parameters():
                parameter.zero_()
    train(supernet, load(), config(**changes), Watched(), folder=folder, progress=progress)
    torch.save(supernet.state_dict(), folder / f"weights{rank}.pt")
    (folder / f"drawn{rank}.json").write_text(json.dumps(drawn))


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), float(sys.argv[3]))
