"""Time series: a one-dimensional residual CNN with growing dilation (TCN, arXiv 1803.01271).

Elastic are the inner width and the kernel of each block and the depth of each stage.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from tipsc.elastic.batch_norm import ElasticBatchNorm1d
from tipsc.elastic.dims import Dim
from tipsc.elastic.layers import ElasticConv1d
from tipsc.elastic.supernet import Supernet
from tipsc.paths import Choice, Path, SearchSpace
from tipsc.signature import TensorSpec


class TemporalBlock(nn.Module):
    """Two convolutions over time around an elastic inner width, and a skip."""

    def __init__(self, channels: int, inner: Dim, kernel: Dim, dilation: int) -> None:
        super().__init__()
        self.widen = ElasticConv1d(channels, inner, kernel, dilation=dilation)
        self.widen_norm = ElasticBatchNorm1d(inner)
        self.narrow = ElasticConv1d(inner, channels, 1)
        self.narrow_norm = ElasticBatchNorm1d(channels)
        self.activation = nn.ReLU()

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """(N, channels, L) -> the same."""
        y = self.activation(self.widen_norm(self.widen(x, path), path))
        return self.activation(x + self.narrow_norm(self.narrow(y, path), path))


class TemporalNet(Supernet):
    """Stages of temporal blocks; each but the first halves the length; mean over time.

    Args:
        classes: outputs.
        input_shape: (C, L).
        channels: the residual stream's width in each stage.
        widths: options for a block's inner width, as multiples of the stream's width.
        kernels: options for the kernel, odd.
        depths: options for the number of blocks of a stage.
    """

    def __init__(
        self,
        *,
        classes: int,
        input_shape: tuple[int, int],
        channels: Sequence[int] = (32, 64),
        widths: tuple[int, ...] = (1, 2, 4),
        kernels: tuple[int, ...] = (3, 5, 7),
        depths: tuple[int, ...] = (1, 2, 3),
    ) -> None:
        choices: list[Choice] = []
        inner: list[list[tuple[Choice, Choice]]] = []
        for s, width in enumerate(channels):
            depth = Choice(f"stage{s}.depth", depths)
            choices.append(depth)
            inner.append([])
            for b in range(depth.largest):
                gate = depth.name if b >= depth.smallest else None
                name = f"stage{s}.block{b}"
                pair = (
                    Choice(f"{name}.width", tuple(width * w for w in widths), gate, b + 1),
                    Choice(f"{name}.kernel", kernels, gate, b + 1),
                )
                inner[-1].append(pair)
                choices += pair
        series = TensorSpec("input", "float32", (1, *input_shape), "NCL")
        super().__init__(SearchSpace(tuple(choices)), [series])

        self.entries = nn.ModuleList(
            ElasticConv1d(before, after, 3, stride=1 if s == 0 else 2)
            for s, (before, after) in enumerate(
                zip((input_shape[0], *channels), channels, strict=False)
            )
        )
        self.entry_norms = nn.ModuleList(ElasticBatchNorm1d(width) for width in channels)
        self.stages = nn.ModuleList(
            nn.ModuleList(
                TemporalBlock(width, w, k, dilation=2**b) for b, (w, k) in enumerate(stage)
            )
            for width, stage in zip(channels, inner, strict=True)
        )
        self.activation = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool1d(1)
        self.classifier = nn.Linear(channels[-1], classes)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        """Series (N, C, L) -> logits (N, classes)."""
        for s, stage in enumerate(self.stages):
            x = self.activation(self.entry_norms[s](self.entries[s](x, path), path))
            for block in list(stage.children())[: path[f"stage{s}.depth"]]:
                x = block(x, path)
        return self.classifier(self.pool(x).flatten(1))
