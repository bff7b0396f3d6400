"""Fashion-MNIST (Zalando, MIT licence): 28x28 grey images of clothes, ten classes."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import torch

from tipsc.tasks import Classification
from tipsc.train import Data, Split

HERE = Path(__file__).resolve().parent
SUBSET = "data.npz"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # Debian: dataset-fashion-mnist
CLASSES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
Images = tuple[np.ndarray, np.ndarray]


def load(*, full: bool = False, validation: int = 2000) -> Data:
    """The shipped 12,000 images, or all 70,000 where they are installed.

    Args:
        full: use the full set from Debian's package dataset-fashion-mnist.
        validation: how many training images to hold out.
    """
    train, test = read_idx(INSTALLED) if full else read_subset()
    order = np.random.default_rng(0).permutation(len(train[0]))
    held, kept = order[:validation], order[validation:]
    return Data(
        train=split(train[0][kept], train[1][kept]),
        validation=split(train[0][held], train[1][held]),
        test=split(*test),
        task=Classification(CLASSES),
        augment=flip,
    )


def flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirrors half of the images."""
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, images.flip(-1), images)


def split(images: np.ndarray, labels: np.ndarray) -> Split:
    """Images (N, 28, 28) uint8 as float32 (N, 1, 28, 28), roughly standardised."""
    pixels = torch.from_numpy(images.astype(np.float32)).unsqueeze(1)
    return Split((pixels / 255 - 0.286) / 0.353, torch.from_numpy(labels.astype(np.int64)))


def read_subset() -> tuple[Images, Images]:
    """(training, test) of the images beside this file."""
    with np.load(HERE / SUBSET, allow_pickle=False) as arrays:
        train = arrays["train_images"], arrays["train_labels"]
        return train, (arrays["test_images"], arrays["test_labels"])


def read_idx(folder: Path) -> tuple[Images, Images]:
    """(training, test) from the idx files of the original set."""

    def read(name: str, offset: int) -> np.ndarray:
        with gzip.open(folder / name) as stream:
            return np.frombuffer(stream.read(), np.uint8, offset=offset)

    def pair(prefix: str) -> Images:
        images = read(f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        return images, read(f"{prefix}-labels-idx1-ubyte.gz", 8)

    return pair("train"), pair("t10k")
