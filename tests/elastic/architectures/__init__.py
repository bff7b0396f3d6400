"""Compact models of many kinds, written as their authors would write them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from architectures import convolutional as conv
from architectures import sequential as seq

IMAGE = (4, 3, 16, 16)

ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int, int]] = {
    # model, shape of a batch, width-like choices, depth choices
    "VGG": (conv.VGG, IMAGE, 5, 0),
    "ResNet, basic": (conv.resnet_basic, IMAGE, 4, 2),
    "ResNet, bottleneck": (conv.resnet_bottleneck, IMAGE, 12, 1),
    "ResNeXt": (conv.resnext, IMAGE, 5, 1),
    "RegNet": (conv.regnet, IMAGE, 5, 1),
    "MobileNetV2": (conv.mobilenet_v2, IMAGE, 4, 2),
    "MobileNetV3": (conv.mobilenet_v3, IMAGE, 7, 2),
    "EfficientNet": (conv.efficientnet, IMAGE, 7, 2),
    "DenseNet": (conv.DenseNet, IMAGE, 6, 0),
    "ShuffleNetV2": (conv.shufflenet, IMAGE, 4, 0),
    "Inception": (conv.inception, IMAGE, 9, 0),
    "ConvNeXt": (conv.convnext, IMAGE, 3, 2),
    "UNet": (conv.UNet, IMAGE, 6, 0),
    "ViT": (seq.ViT, IMAGE, 6, 1),
    "Swin": (seq.Swin, IMAGE, 8, 1),
    "TransformerEncoderLayer, norm first": (lambda: seq.TorchEncoder(True), (4, 7, 6), 6, 1),
    "TransformerEncoderLayer, norm last": (lambda: seq.TorchEncoder(False), (4, 7, 6), 6, 1),
    "MultiheadAttention across": (seq.CrossAttention, (4, 7, 6), 5, 0),
    "causal LM, SwiGLU": (seq.CausalLanguageModel, (4, 7), 4, 1),
    "GLU": (seq.GLU, (4, 12), 3, 0),
    "TCN": (seq.TCN, (4, 4, 20), 3, 1),
    "LSTM": (lambda: seq.Recurrent(nn.LSTM), (4, 4, 20), 4, 0),
    "GRU": (lambda: seq.Recurrent(nn.GRU), (4, 4, 20), 4, 0),
}


def make(name: str) -> tuple[nn.Module, Tensor]:
    """A model whose norms have statistics, in eval mode, and a batch."""
    torch.manual_seed(0)
    build, shape, _, _ = ARCHITECTURES[name]
    model = build()
    x = torch.randint(0, 17, shape) if name.startswith("causal") else torch.randn(shape)
    with torch.no_grad():
        model.train()(x)
    return model.eval(), x
