"""Candidates as the third net of a face detector sees them: faces, near misses, and no faces.

The 200 small pictures of scikit-image's excerpt of Labeled Faces in the Wild, half of them faces.
They have no labels here: what the trained net answers is what its paths are to answer. Pictures are
split before they are varied, so that what is shown at the end was seen in no other part.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tipsc.errors import MissingExtraError
from tipsc.tasks.imitation import Imitation
from tipsc.train import Unlabelled

SIDE = 48
PARTS = {"train": range(0, 140), "validation": range(140, 170), "test": range(170, 200)}


def load(train: int = 4000, validation: int = 400, test: int = 400) -> Unlabelled:
    """Shifted, scaled, mirrored, brighter and darker pictures.

    Args:
        train, validation, test: how many of each part.
    """
    counts = {"train": train, "validation": validation, "test": test}
    pictures = _pictures()
    found = {
        name: _varied(pictures[list(part)], counts[name], seed)
        for seed, (name, part) in enumerate(PARTS.items())
    }
    return Unlabelled(**found, task=Imitation())


def _pictures() -> Tensor:
    """(200, 1, 25, 25), from 0 to 1; faces and others take turns."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            "scikit-image is not installed: its pictures are the data of this example",
            fix="run: make faces",
        )
    place = Path(spec.submodule_search_locations[0]) / "data" / "lfw_subset.npy"
    pictures = torch.from_numpy(np.load(place, allow_pickle=False)).float()
    order = torch.arange(200).reshape(2, 100).T.flatten()
    return pictures[order][:, None]


def _varied(pictures: Tensor, count: int, seed: int) -> Tensor:
    """(count, 3, SIDE, SIDE), as the net takes them: (pixels - 127.5) / 128."""
    chance = torch.Generator().manual_seed(seed)

    def drawn(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=chance)

    picked = pictures[torch.randint(0, len(pictures), (count,), generator=chance)]
    scale, mirrored = drawn(0.7, 1.25), torch.where(drawn(0, 1) < 0.5, -1.0, 1.0)
    turn = torch.zeros(count, 2, 3)
    turn[:, 0, 0], turn[:, 1, 1] = scale * mirrored, scale
    turn[:, 0, 2], turn[:, 1, 2] = drawn(-0.15, 0.15), drawn(-0.15, 0.15)
    grid = F.affine_grid(turn, [count, 1, SIDE, SIDE], align_corners=False)
    seen = F.grid_sample(picked, grid, padding_mode="border", align_corners=False)
    seen = seen * drawn(0.6, 1.3)[:, None, None, None] + drawn(-0.1, 0.1)[:, None, None, None]
    noise = 0.03 * torch.randn(seen.shape, generator=chance)
    pixels = 255 * (seen + noise).clamp(0, 1).expand(-1, 3, -1, -1)
    return ((pixels - 127.5) / 128).contiguous()
