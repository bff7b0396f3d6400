"""The third net of MTCNN (arXiv 1604.02878) with the weights that facenet-pytorch ships (MIT).

It says of a candidate whether it is a face, how its box is to be moved, and where eyes, nose and
corners of the mouth are. The package is read for its weights alone: it imports torchvision.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tipsc.errors import MissingExtraError


class Candidate(NamedTuple):
    """Shifts of the box (N, 4), places of five points (N, 10), no face and face (N, 2)."""

    box: Tensor
    points: Tensor
    face: Tensor


class OutputNet(nn.Module):
    """(N, 3, 48, 48) -> :class:`Candidate`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.pool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, image: Tensor) -> Candidate:
        x = self.pool1(self.prelu1(self.conv1(image)))
        x = self.pool2(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1)  # the weights are for width first
        x = self.prelu5(self.dense5(x.flatten(1)))
        return Candidate(self.dense6_2(x), self.dense6_3(x), self.dense6_1(x).softmax(1))


def load() -> OutputNet:
    """With its trained weights."""
    spec = importlib.util.find_spec("facenet_pytorch")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(
            "facenet-pytorch is not installed: it has the weights of this example",
            fix="run: make faces",
        )
    file = Path(spec.submodule_search_locations[0]) / "data" / "onet.pt"
    net = OutputNet()
    net.load_state_dict(torch.load(file, weights_only=True))
    return net.eval()
