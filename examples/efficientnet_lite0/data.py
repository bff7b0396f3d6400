"""Crops of the photographs that scikit-image and scikit-learn bring along. They have no labels.

Photographs are split, not crops: what is shown at the end was seen in no other part.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.errors import MissingExtraError
from tipsc.train import Unlabelled

SIZE = 224
TRAIN = ("astronaut", "chelsea", "rocket", "brick", "grass", "coins", "retina", "china.jpg")
VALIDATION = ("coffee", "hubble_deep_field")
TEST = ("flower.jpg", "camera", "gravel", "stereo_motorcycle")
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load(train: int = 640, validation: int = 200, test: int = 200) -> Unlabelled:
    """Random square crops of half a photograph or more, mirrored half of the time.

    Args:
        train, validation, test: how many crops of each part.
    """
    return Unlabelled(
        train=_crops(TRAIN, train, seed=0),
        validation=_crops(VALIDATION, validation, seed=1),
        test=_crops(TEST, test, seed=2),
    )


def _crops(names: tuple[str, ...], count: int, seed: int) -> Tensor:
    generator = np.random.default_rng(seed)
    photographs = [_photograph(name) for name in names]
    return torch.stack([_crop(photographs[i % len(names)], generator) for i in range(count)])


def _crop(pixels: Tensor, generator: np.random.Generator) -> Tensor:
    """(3, SIZE, SIZE), standardised as the model's authors do."""
    height, width = pixels.shape[1:]
    side = int(min(height, width) * generator.uniform(0.5, 1.0))
    top, left = generator.integers(height - side + 1), generator.integers(width - side + 1)
    crop = pixels[:, top : top + side, left : left + side]
    crop = F.interpolate(crop[None], (SIZE, SIZE), mode="bilinear", antialias=True)[0]
    mean, deviation = (torch.tensor(v).reshape(3, 1, 1) for v in (_MEAN, _DEVIATION))
    crop = (crop - mean) / deviation
    return crop.flip(-1) if generator.random() < 0.5 else crop


def _photograph(name: str) -> Tensor:
    """(3, height, width), 0..1; a grey one three times."""
    try:
        import skimage.data
        from sklearn.datasets import load_sample_image
    except ImportError as error:
        raise MissingExtraError(
            "the photographs are in packages that are not installed",
            fix="run: pip install scikit-image scikit-learn",
        ) from error
    if name.endswith(".jpg"):
        pixels = load_sample_image(name)
    elif name.startswith("stereo"):
        pixels = skimage.data.stereo_motorcycle()[0]
    else:
        pixels = getattr(skimage.data, name)()
    if pixels.ndim == 2:
        pixels = np.stack([pixels] * 3, axis=-1)
    return torch.from_numpy(np.array(pixels[..., :3])).permute(2, 0, 1).float() / 255
