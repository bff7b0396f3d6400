"""Convolutional classifiers and a segmenter."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1,
            act: type[nn.Module] | None = nn.ReLU) -> nn.Sequential:  # fmt: skip
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([act()] if act else []))


class VGG(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs in (16, 16, 0, 32, 32, 0):
            if not outputs:
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = outputs
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(32 * 4 * 4, 64), nn.ReLU(True), nn.Dropout(), nn.Linear(64, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return self.classifier(torch.flatten(x, 1))


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = conv_bn(inputs, outputs, 1, stride, act=None)

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class Bottleneck(nn.Module):
    def __init__(self, inputs: int, inner: int, outputs: int, stride: int, groups: int = 1,
                 se: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.body = nn.Sequential(
            conv_bn(inputs, inner, 1),
            conv_bn(inner, inner, 3, stride, groups),
            SqueezeExcite(inner, inner // 4) if se else nn.Identity(),
            conv_bn(inner, outputs, 1, act=None),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and inputs == outputs
            else conv_bn(inputs, outputs, 1, stride, act=None)
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = F.adaptive_avg_pool2d(x, 1)
        scale = F.relu(self.fc1(scale), inplace=True)
        return x * torch.sigmoid(self.fc2(scale))


class Head(nn.Module):
    def __init__(self, inputs: int, classes: int = 10) -> None:
        super().__init__()
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.mean((2, 3)))


def resnet_basic() -> nn.Module:
    return nn.Sequential(
        conv_bn(3, 16),
        nn.Sequential(BasicBlock(16, 16, 1), BasicBlock(16, 16, 1)),
        nn.Sequential(BasicBlock(16, 32, 2), BasicBlock(32, 32, 1)),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(1),
        nn.Linear(32, 10),
    )


def resnet_bottleneck() -> nn.Module:
    blocks = [Bottleneck(16, 8, 32, 1), *(Bottleneck(32, 8, 32, 1) for _ in range(3))]
    return nn.Sequential(conv_bn(3, 16), *blocks, Bottleneck(32, 16, 64, 2), Head(64))


def resnext() -> nn.Module:
    blocks = [Bottleneck(16, 32, 32, 1, 8), Bottleneck(32, 32, 32, 1, 8)]
    return nn.Sequential(conv_bn(3, 16), *blocks, Bottleneck(32, 64, 64, 2, 8), Head(64))


def regnet() -> nn.Module:
    blocks = [Bottleneck(16, 32, 32, 2, 4, se=True), Bottleneck(32, 32, 32, 1, 4, se=True)]
    return nn.Sequential(conv_bn(3, 16, stride=2), *blocks, Head(32))


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, expand: int, act: type[nn.Module],
                 se: bool = False) -> None:  # fmt: skip
        super().__init__()
        inner = inputs * expand
        layers: list[nn.Module] = [conv_bn(inputs, inner, 1, act=act)] if expand != 1 else []
        layers.append(conv_bn(inner, inner, 3, stride, inner, act))
        if se:
            layers.append(SqueezeExcite(inner, 8))
        self.conv = nn.Sequential(*layers, conv_bn(inner, outputs, 1, act=None))
        self.use_res_connect = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


def _mobilenet(act: type[nn.Module], se: bool) -> nn.Module:
    return nn.Sequential(
        conv_bn(3, 16, stride=2, act=act),
        InvertedResidual(16, 16, 1, 1, act),
        InvertedResidual(16, 24, 2, 4, act, se),
        InvertedResidual(24, 24, 1, 4, act, se),
        InvertedResidual(24, 24, 1, 4, act, se),
        conv_bn(24, 64, 1, act=act),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, 10),
    )


def mobilenet_v2() -> nn.Module:
    return _mobilenet(nn.ReLU6, se=False)


def mobilenet_v3() -> nn.Module:
    return _mobilenet(nn.Hardswish, se=True)


class SameConv(nn.Conv2d):
    """Pads by the shape of its input, as TensorFlow does."""

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        kernel, stride = self.weight.shape[-1], self.stride[0]
        pad_h = max((-(-height // stride) - 1) * stride + kernel - height, 0)
        pad_w = max((-(-width // stride) - 1) * stride + kernel - width, 0)
        if pad_h > 0 or pad_w > 0:
            x = F.pad(x, [pad_w // 2, pad_w - pad_w // 2, pad_h // 2, pad_h - pad_h // 2])
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class MBConv(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, kernel: int) -> None:
        super().__init__()
        inner = inputs * 4
        self._expand_conv = SameConv(inputs, inner, 1, bias=False)
        self._bn0 = nn.BatchNorm2d(inner, momentum=0.01, eps=1e-3)
        self._depthwise_conv = SameConv(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = nn.BatchNorm2d(inner, momentum=0.01, eps=1e-3)
        self._se = SqueezeExcite(inner, 4)
        self._project_conv = SameConv(inner, outputs, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outputs, momentum=0.01, eps=1e-3)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, inputs: Tensor) -> Tensor:
        x = F.silu(self._bn0(self._expand_conv(inputs)))
        x = F.silu(self._bn1(self._depthwise_conv(x)))
        x = self._bn2(self._project_conv(self._se(x)))
        if self.skip:
            if self.training:  # stochastic depth
                keep = torch.rand([len(x), 1, 1, 1], device=x.device) < 0.9
                x = x * keep / 0.9
            x = x + inputs
        return x


def efficientnet() -> nn.Module:
    return nn.Sequential(
        SameConv(3, 16, 3, 2), nn.BatchNorm2d(16), nn.SiLU(),
        MBConv(16, 24, 2, 5), MBConv(24, 24, 1, 5), MBConv(24, 24, 1, 3), Head(24),
    )  # fmt: skip


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.layers = nn.ModuleList()
        channels = 16
        for _ in range(4):
            self.layers.append(
                nn.Sequential(
                    nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, 32, 1, bias=False),
                    nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 8, 3, padding=1, bias=False),
                )
            )  # fmt: skip
            channels += 8
        self.norm = nn.BatchNorm2d(channels)
        self.transition = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.fc = nn.Linear(channels // 2, 10)

    def forward(self, x: Tensor) -> Tensor:
        features = [self.stem(x)]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        x = F.avg_pool2d(self.transition(F.relu(self.norm(torch.cat(features, 1)))), 2)
        return self.fc(F.adaptive_avg_pool2d(x, 1).view(x.size(0), -1))


class ShuffleUnit(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            conv_bn(half, half, 1), conv_bn(half, half, 3, groups=half, act=None),
            conv_bn(half, half, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, dim=1)
        out = torch.cat((left, self.branch(right)), dim=1)
        batch, channels, height, width = out.size()
        out = out.view(batch, 2, channels // 2, height, width)
        return torch.transpose(out, 1, 2).contiguous().view(batch, -1, height, width)


def shufflenet() -> nn.Module:
    return nn.Sequential(
        conv_bn(3, 32, stride=2), ShuffleUnit(32), ShuffleUnit(32), conv_bn(32, 64, 1), Head(64)
    )


class Inception(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.one = conv_bn(inputs, 16, 1)
        self.three = nn.Sequential(conv_bn(inputs, 8, 1), conv_bn(8, 24, 3))
        self.five = nn.Sequential(
            conv_bn(inputs, 8, 1),
            nn.Conv2d(8, 16, (1, 5), padding=(0, 2)),
            nn.Conv2d(16, 16, (5, 1), padding=(2, 0)),
        )
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn(inputs, 8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


def inception() -> nn.Module:
    return nn.Sequential(conv_bn(3, 16, stride=2), Inception(16), Inception(64), Head(64))


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, 4 * width)
        self.pwconv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.rand(width))

    def forward(self, x: Tensor) -> Tensor:
        skip = x
        x = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        x = self.gamma * self.pwconv2(F.gelu(self.pwconv1(x)))
        return skip + x.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, 4), LayerNorm2d(16), ConvNeXtBlock(16), ConvNeXtBlock(16),
        LayerNorm2d(16), nn.Conv2d(16, 32, 2, 2), ConvNeXtBlock(32), Head(32),
    )  # fmt: skip


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Sequential(conv_bn(3, 16), conv_bn(16, 16))
        self.down2 = nn.Sequential(conv_bn(16, 32), conv_bn(32, 32))
        self.middle = conv_bn(32, 64)
        self.up2 = nn.ConvTranspose2d(64, 32, 2, 2)
        self.dec2 = conv_bn(64, 32)
        self.dec1 = conv_bn(32 + 16, 16)
        self.out = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.down1(x)
        two = self.down2(F.max_pool2d(one, 2))
        x = self.middle(F.max_pool2d(two, 2))
        x = self.dec2(torch.cat([self.up2(x), two], dim=1))
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return self.out(self.dec1(torch.cat([x, one], dim=1)))
