"""Images or series: a transformer encoder over patches (ViT, arXiv 2010.11929).

Elastic are the heads and the FFN width of each block, and the depth. The residual stream keeps
its width. Layer norms have no batch statistics, so that paths need no calibration.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.elastic.dims import Dim, Units
from tipsc.elastic.layers import ElasticLinear
from tipsc.elastic.supernet import Supernet
from tipsc.paths import Choice, Path, SearchSpace


class Attention(nn.Module):
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
        self.attention = Attention(width, heads, head_size)
        self.ffn_norm = nn.LayerNorm(width)
        self.widen = ElasticLinear(width, inner)
        self.narrow = ElasticLinear(inner, width)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """(N, tokens, width) -> the same."""
        x = x + self.attention(self.attention_norm(x), path)
        return x + self.narrow(F.gelu(self.widen(self.ffn_norm(x), path)), path)


class Transformer(Supernet):
    """Patch embedding, blocks, mean over tokens, classifier.

    Args:
        input_shape: (C, H, W) images or (C, L) series; each axis a multiple of `patch`.
        heads, ffn: options for the number of heads and for the FFN's inner width.
        depths: options for the number of blocks.
    """

    def __init__(
        self,
        *,
        classes: int,
        input_shape: tuple[int, ...],
        patch: int,
        width: int = 96,
        head_size: int = 24,
        heads: tuple[int, ...] = (1, 2, 4),
        ffn: tuple[int, ...] = (96, 192, 288),
        depths: tuple[int, ...] = (2, 4, 6),
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
        super().__init__(SearchSpace(tuple(choices)), input_shape)

        embed = nn.Conv2d if len(input_shape) == 3 else nn.Conv1d
        self.embed = cast(nn.Module, embed(input_shape[0], width, patch, stride=patch))
        tokens = 1
        for size in input_shape[1:]:
            tokens *= size // patch
        self.position = nn.Parameter(torch.randn(1, tokens, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, h, head_size, f) for h, f in per_block)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """Images (N, C, H, W) or series (N, C, L) -> logits (N, classes)."""
        x = self.embed(x).flatten(2).transpose(1, 2) + self.position
        for block in list(self.blocks)[: path["depth"]]:
            x = block(x, path)
        return self.classifier(self.norm(x).mean(1))
