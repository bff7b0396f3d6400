"""Scenes of garments on a grey wall, composed at run time from the images of Fashion-MNIST (MIT).

Nothing is labelled by hand: a garment's pixels are known, and so are its box and its mask.
``python scenes.py FILE.npy`` writes the image of a test scene as the engine takes it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

IMAGES = Path(__file__).parents[1] / "fashion_mnist" / "data.npz"
CLASSES = ("T-shirt", "trouser", "dress", "sneaker", "bag")
_NUMBERS = (0, 1, 3, 7, 8)  # of these classes in Fashion-MNIST
SIDE, MOST = 64, 4  # pixels; garments of a scene
SMALLEST, LARGEST = 18, 34  # pixels of an image's side, most of which the garment fills
MEAN, DEVIATION = 0.45, 0.22  # of the pixels, roughly
_CLOTH = 24 / 255  # darker pixels of an image are its background
_TRIES = 20


class Scenes(NamedTuple):
    """Some scenes.

    Attributes:
        images: (N, 1, 64, 64) float32, roughly standardised.
        boxes: (N, 4, 4) float32, corners in pixels, of whole garments, what is hidden included.
        labels: (N, 4) int64, -1 where there are fewer garments.
        masks: (N, 64, 64) int64, 0 for the wall and 1 + label for a garment.
    """

    images: Tensor
    boxes: Tensor
    labels: Tensor
    masks: Tensor


def compose(part: str, count: int, seed: int) -> Scenes:
    """Scenes of 1 to 4 garments at random places and sizes, which hide little of each other.

    Args:
        part: "train", "validation" or "test": no image is in two of them.
    """
    chance = np.random.default_rng(seed)
    pixels, labels = _garments(part)
    made = [_scene(pixels, labels, chance) for _ in range(count)]
    return Scenes(*map(torch.stack, zip(*made, strict=True)))


def _garments(part: str) -> tuple[Tensor, Tensor]:
    """Images (N, 28, 28) from 0 to 1 and their numbers in CLASSES."""
    with np.load(IMAGES, allow_pickle=False) as arrays:
        kind = "test" if part == "test" else "train"
        pixels, numbers = arrays[f"{kind}_images"], arrays[f"{kind}_labels"]
    if part != "test":
        held = np.arange(len(pixels)) % 10 == 0
        pixels, numbers = (a[held if part == "validation" else ~held] for a in (pixels, numbers))
    ours = np.isin(numbers, _NUMBERS)
    labels = np.searchsorted(_NUMBERS, numbers[ours])
    return torch.from_numpy(pixels[ours]).float() / 255, torch.from_numpy(labels)


def _scene(pixels: Tensor, labels: Tensor, chance: np.random.Generator) -> Scenes:
    image = _wall(chance)
    boxes, names = torch.zeros(MOST, 4), torch.full((MOST,), -1)
    mask = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    placed = 0
    for _ in range(chance.integers(1, MOST + 1)):
        number = int(chance.integers(len(pixels)))
        cloth = _resized(pixels[number], int(chance.integers(SMALLEST, LARGEST + 1)))
        box = _free_place(cloth, boxes[:placed], chance)
        if box is None:
            continue
        left, top, right, bottom = box
        there = cloth > _CLOTH
        light = float(chance.uniform(0.8, 1.1))
        image[top:bottom, left:right][there] = (0.15 + light * cloth[there]).clamp(0, 1)
        mask[top:bottom, left:right][there] = 1 + labels[number]
        boxes[placed], names[placed] = torch.tensor(box, dtype=torch.float32), labels[number]
        placed += 1
    image += 0.02 * torch.from_numpy(chance.standard_normal((SIDE, SIDE), dtype=np.float32))
    return Scenes((image[None] - MEAN) / DEVIATION, boxes, names, mask)


def _wall(chance: np.random.Generator) -> Tensor:
    """Grey, with a light from one side."""
    level, across, down = chance.uniform((0.2, -0.15, -0.15), (0.5, 0.15, 0.15)).tolist()
    at = torch.linspace(-1, 1, SIDE)
    return level + across * at[None, :] + down * at[:, None]


def _resized(pixels: Tensor, side: int) -> Tensor:
    """A garment at another size, without what is around it."""
    scaled = F.interpolate(pixels[None, None], (side, side), mode="bilinear", antialias=True)[0, 0]
    rows, columns = (torch.nonzero((scaled > _CLOTH).any(axis)).flatten() for axis in (1, 0))
    return scaled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _free_place(
    cloth: Tensor, taken: Tensor, chance: np.random.Generator
) -> tuple[int, int, int, int] | None:
    """Corners of a box for it that hides at most a tenth of another; None if none was found."""
    height, width = cloth.shape
    for _ in range(_TRIES):
        left, top = int(chance.integers(SIDE - width + 1)), int(chance.integers(SIDE - height + 1))
        box = torch.tensor([left, top, left + width, top + height])
        shared = torch.minimum(taken[:, 2:], box[2:]) - torch.maximum(taken[:, :2], box[:2])
        areas = (taken[:, 2:] - taken[:, :2]).prod(1)
        if bool((shared.clamp_min(0).prod(1) <= 0.1 * areas).all()):
            return left, top, left + width, top + height
    return None


if __name__ == "__main__":
    np.save(sys.argv[1], compose("test", 1, seed=6).images.numpy())
