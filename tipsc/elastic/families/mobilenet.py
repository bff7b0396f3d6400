"""Images: a convolutional net of inverted residual blocks (MobileNetV2, arXiv 1801.04381).

Elastic are the inner width of each block, the kernel of its depthwise convolution and the depth
of each stage (Once-for-All, arXiv 1908.09791). The residual stream keeps its width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from tipsc.elastic.batch_norm import ElasticBatchNorm2d
from tipsc.elastic.dims import Dim, largest
from tipsc.elastic.layers import ElasticConv2d, ElasticDepthwiseConv2d
from tipsc.elastic.supernet import Supernet
from tipsc.errors import ConfigError
from tipsc.paths import Choice, Path, SearchSpace
from tipsc.signature import TensorSpec
from tipsc.strict.arguments import check_arguments


@dataclass(frozen=True)
class MobileStage:
    """Blocks that share a resolution.

    Args:
        channels: width of the residual stream.
        depths: options for the number of blocks, for example (1, 2, 3).
        expansions: options for inner width / input channels of a block.
        kernels: options for the depthwise kernel, odd.
        stride: of the first block.
    """

    channels: int
    depths: tuple[int, ...]
    expansions: tuple[int, ...] = (2, 4, 6)
    kernels: tuple[int, ...] = (3,)
    stride: int = 1


def stage_of(stage: MobileStage | Mapping[str, Any], place: int) -> MobileStage:
    """A stage, checked.

    Args:
        place: of the stage, from 0, for errors.

    Raises:
        ConfigError: a key is not known or missing, of another type or out of range.
    """
    where = f"model.arguments.stages.{place}"
    settings = vars(stage) if isinstance(stage, MobileStage) else stage
    check_arguments(MobileStage, settings, where)
    made = MobileStage(**settings)
    odd = all(kernel % 2 for kernel in made.kernels)
    if (
        min(made.channels, made.stride, *made.depths, *made.expansions, *made.kernels) < 1
        or not odd
    ):
        raise ConfigError(
            "a stage is out of range",
            where=where,
            expected="all numbers at least 1, kernels odd",
            got=", ".join(f"{key} {value}" for key, value in vars(made).items()),
        )
    return made


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise, project (1x1); with a skip where the shape allows it."""

    def __init__(self, inputs: int, outputs: int, inner: Dim, kernel: Dim, stride: int) -> None:
        super().__init__()
        self.expands = not isinstance(inner, int) or inner != inputs
        if self.expands:
            self.expand = ElasticConv2d(inputs, inner, 1)
            self.expand_norm = ElasticBatchNorm2d(inner)
        self.depthwise = ElasticDepthwiseConv2d(inner, kernel, stride=stride)
        self.depthwise_norm = ElasticBatchNorm2d(inner)
        self.project = ElasticConv2d(inner, outputs, 1)
        self.project_norm = ElasticBatchNorm2d(outputs)
        self.activation = nn.ReLU6()
        self.skips = stride == 1 and inputs == outputs

    def forward(self, x: Tensor, path: Path) -> Tensor:
        y = x
        if self.expands:
            y = self.activation(self.expand_norm(self.expand(y, path), path))
        y = self.activation(self.depthwise_norm(self.depthwise(y, path), path))
        y = self.project_norm(self.project(y, path), path)
        return x + y if self.skips else y


class MobileNet(Supernet):
    """Stem, stages of inverted residual blocks, head convolution, pooling, classifier.

    Args:
        classes: outputs.
        input_shape: (C, H, W).
        stem: channels of the first convolution.
        stages: at least one; a mapping is taken for the arguments of a :class:`MobileStage`.
        head: channels of the last convolution.
        stem_stride: of the first convolution.
        dropout: before the classifier.
    """

    def __init__(
        self,
        *,
        classes: int,
        input_shape: tuple[int, int, int],
        stem: int,
        stages: Sequence[MobileStage | Mapping[str, Any]],
        head: int,
        stem_stride: int = 2,
        dropout: float = 0.0,
    ) -> None:
        plan = [stage_of(stage, place) for place, stage in enumerate(stages)]
        if not plan:
            raise ConfigError("a net needs at least one stage", where="model.arguments.stages")
        choices: list[Choice] = []
        blocks: list[list[tuple[int, Dim, Dim]]] = []
        inputs = stem
        for s, stage in enumerate(plan):
            depth = Choice(f"stage{s}.depth", stage.depths)
            if len(stage.depths) > 1:
                choices.append(depth)
            blocks.append([])
            for b in range(depth.largest):
                gate = depth.name if b >= depth.smallest else None

                def decide(
                    what: str,
                    options: tuple[int, ...],
                    s: int = s,
                    b: int = b,
                    gate: str | None = gate,
                ) -> Dim:
                    if len(options) == 1:
                        return options[0]
                    choice = Choice(f"stage{s}.block{b}.{what}", options, gate, b + 1)
                    choices.append(choice)
                    return choice

                width = decide("width", tuple(inputs * e for e in stage.expansions))
                kernel = decide("kernel", stage.kernels)
                blocks[-1].append((inputs, width, kernel))
                inputs = stage.channels
        image = TensorSpec("input", "float32", (1, *input_shape), "NCHW")
        super().__init__(SearchSpace(tuple(choices)), [image])

        self.stem = ElasticConv2d(input_shape[0], stem, 3, stride=stem_stride)
        self.stem_norm = ElasticBatchNorm2d(stem)
        self.stages = nn.ModuleList(
            nn.ModuleList(
                InvertedResidual(
                    block_inputs, stage.channels, width, kernel, stage.stride if b == 0 else 1
                )
                for b, (block_inputs, width, kernel) in enumerate(stage_blocks)
            )
            for stage, stage_blocks in zip(plan, blocks, strict=True)
        )
        self.depths = [stage.depths for stage in plan]
        self.head = ElasticConv2d(plan[-1].channels, head, 1)
        self.head_norm = ElasticBatchNorm2d(head)
        self.activation = nn.ReLU6()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(head, classes)
        initialise(self)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """Images (N, C, H, W) -> logits (N, classes)."""
        x = self.activation(self.stem_norm(self.stem(x, path), path))
        for s, stage in enumerate(self.stages):
            depth = path[f"stage{s}.depth"] if len(self.depths[s]) > 1 else self.depths[s][0]
            for block in list(stage.children())[:depth]:
                x = block(x, path)
        x = self.activation(self.head_norm(self.head(x, path), path))
        return self.classifier(self.dropout(self.flatten(self.pool(x))))


def initialise(module: nn.Module) -> None:
    """He initialisation (arXiv 1502.01852) of all convolutions, by the fan-out."""
    for layer in module.modules():
        if isinstance(layer, ElasticConv2d):
            taps = largest(layer.kernel_size) ** 2
            fan_out = taps * largest(layer.out_channels) / largest(layer.groups)
            nn.init.normal_(cast(Tensor, layer.weight), 0.0, (2.0 / fan_out) ** 0.5)


def mobilenet_v2(
    *, classes: int = 1000, input_shape: tuple[int, int, int] = (3, 224, 224)
) -> Supernet:
    """MobileNetV2 1.0 (3.5 M parameters) as the largest path; inner width and depth elastic.

    Args:
        classes: outputs.
        input_shape: (C, H, W).
    """
    table = ((24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1))
    stages = [MobileStage(16, (1,), expansions=(1,))]
    stages += [
        MobileStage(channels, tuple(range(1, blocks + 1)), stride=stride)
        for channels, blocks, stride in table
    ]
    return MobileNet(
        classes=classes, input_shape=input_shape, stem=32, stages=stages, head=1280, dropout=0.2
    )
