"""Images, series or tokens: a transformer encoder (ViT, arXiv 2010.11929).

Elastic are the heads and the FFN width of each block, and the depth. The residual stream keeps
its width. Layer norms have no batch statistics, so that paths need no calibration.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.elastic.dims import Dim, Units
from tipsc.elastic.layers import ElasticLinear
from tipsc.elastic.supernet import Supernet
from tipsc.errors import ConfigError
from tipsc.paths import Choice, Path, SearchSpace
from tipsc.signature import TensorSpec

HEAD_SIZE = 24
HEADS = (1, 2, 4)
FFN = (96, 192, 288)
DEPTHS = (2, 4, 6)
_LAYOUTS = {2: "NCL", 3: "NCHW"}


class TransformerAttention(nn.Module):
    """Multi-head self-attention of which a path uses the first heads."""

    def __init__(self, width: int, heads: Choice, head_size: int) -> None:
        super().__init__()
        inner = Units(heads, head_size)
        self.head_size = head_size
        self.query = ElasticLinear(width, inner)
        self.key = ElasticLinear(width, inner)
        self.value = ElasticLinear(width, inner)
        self.project = ElasticLinear(inner, width)
        self.heads = heads

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """(N, tokens, width) -> the same."""
        split = (path[self.heads.name], self.head_size)
        query = self.query(x, path).unflatten(-1, split).transpose(1, 2)
        key = self.key(x, path).unflatten(-1, split).transpose(1, 2)
        value = self.value(x, path).unflatten(-1, split).transpose(1, 2)
        weights = torch.softmax(query @ key.transpose(-2, -1) * self.head_size**-0.5, dim=-1)
        return self.project((weights @ value).transpose(1, 2).flatten(2), path)


class Block(nn.Module):
    """Pre-norm attention and FFN, each with its skip."""

    def __init__(self, width: int, heads: Choice, head_size: int, inner: Dim) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = TransformerAttention(width, heads, head_size)
        self.ffn_norm = nn.LayerNorm(width)
        self.widen = ElasticLinear(width, inner)
        self.narrow = ElasticLinear(inner, width)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """(N, tokens, width) -> the same."""
        x = x + self.attention(self.attention_norm(x), path)
        return x + self.narrow(F.gelu(self.widen(self.ffn_norm(x), path)), path)


class Patches(nn.Module):
    """A linear map of each patch of an image or a series, all patches in a row."""

    def __init__(self, input_shape: tuple[int, ...], patch: int, width: int) -> None:
        super().__init__()
        if any(size % patch for size in input_shape[1:]):
            raise ConfigError(
                "the patches do not cover the input",
                where="model.arguments.patch",
                expected=f"a divisor of {' and '.join(map(str, input_shape[1:]))}",
                got=patch,
            )
        kind = nn.Conv2d if len(input_shape) == 3 else nn.Conv1d
        self.project = cast(nn.Module, kind(input_shape[0], width, patch, stride=patch))
        self.count = math.prod(size // patch for size in input_shape[1:])

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, *sizes) -> (N, count, width)."""
        return self.project(x).flatten(2).transpose(1, 2)


class Encoder(Supernet):
    """Embedding, blocks, mean over positions, classifier.

    Args:
        embed: from inputs to (N, positions, width).
        positions: how many.
        takes: the input.
        heads: options for the number of heads.
        ffn: options for the FFN's inner width.
        depths: options for the number of blocks.
    """

    def __init__(
        self,
        embed: nn.Module,
        positions: int,
        *,
        classes: int,
        takes: TensorSpec,
        width: int = 96,
        head_size: int = HEAD_SIZE,
        heads: tuple[int, ...] = HEADS,
        ffn: tuple[int, ...] = FFN,
        depths: tuple[int, ...] = DEPTHS,
    ) -> None:
        depth = Choice("depth", depths)
        choices = [depth]
        per_block: list[tuple[Choice, Choice]] = []
        for b in range(depth.largest):
            gate = depth.name if b >= depth.smallest else None
            pair = (
                Choice(f"block{b}.heads", heads, gate, b + 1),
                Choice(f"block{b}.ffn", ffn, gate, b + 1),
            )
            per_block.append(pair)
            choices += pair
        super().__init__(SearchSpace(tuple(choices)), [takes])

        self.embed = embed
        self.position = nn.Parameter(torch.randn(1, positions, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, h, head_size, f) for h, f in per_block)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """Inputs (N, ...) -> logits (N, classes)."""
        x = self.embed(x) + self.position
        for block in list(self.blocks)[: path["depth"]]:
            x = block(x, path)
        return self.classifier(self.norm(x).mean(1))


def patch_transformer(
    *,
    classes: int,
    input_shape: tuple[int, ...],
    patch: int,
    width: int = 96,
    head_size: int = HEAD_SIZE,
    heads: tuple[int, ...] = HEADS,
    ffn: tuple[int, ...] = FFN,
    depths: tuple[int, ...] = DEPTHS,
) -> Encoder:
    """For (C, H, W) images or (C, L) series.

    Args:
        classes: outputs.
        input_shape: (C, H, W) or (C, L).
        patch: side of a patch, which divides each axis but the first.
        width: of the residual stream, the same for all paths.
        head_size: width of one head of attention.
        heads: options for the number of heads.
        ffn: options for the FFN's inner width.
        depths: options for the number of blocks.
    """
    embed = Patches(input_shape, patch, width)
    return Encoder(
        embed,
        embed.count,
        classes=classes,
        takes=TensorSpec("input", "float32", (1, *input_shape), _LAYOUTS[len(input_shape)]),
        width=width,
        head_size=head_size,
        heads=heads,
        ffn=ffn,
        depths=depths,
    )


def token_transformer(
    *,
    classes: int,
    vocabulary: int,
    length: int,
    width: int = 96,
    head_size: int = HEAD_SIZE,
    heads: tuple[int, ...] = HEADS,
    ffn: tuple[int, ...] = FFN,
    depths: tuple[int, ...] = DEPTHS,
) -> Encoder:
    """For int64 tokens (length,), each below `vocabulary`.

    Args:
        classes: outputs.
        vocabulary: how many tokens there are.
        length: of an input, in tokens.
        width: of the residual stream, the same for all paths.
        head_size: width of one head of attention.
        heads: options for the number of heads.
        ffn: options for the FFN's inner width.
        depths: options for the number of blocks.
    """
    embed = nn.Embedding(vocabulary, width)
    nn.init.normal_(embed.weight, 0.0, 0.02)
    return Encoder(
        embed,
        length,
        classes=classes,
        takes=TensorSpec("input", "int64", (1, length), "NL"),
        width=width,
        head_size=head_size,
        heads=heads,
        ffn=ffn,
        depths=depths,
    )
