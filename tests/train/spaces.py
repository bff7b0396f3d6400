"""Search spaces with made-up costs and losses, to test samplers without a net."""

from __future__ import annotations

import math

from tipsc.paths import Choice, Path, SearchSpace


def blocks(count: int = 8) -> SearchSpace:
    """A depth, and that many blocks of three widths of which depth switches on the last half."""
    half = count // 2
    return SearchSpace(
        (
            Choice("depth", tuple(range(half, count + 1))),
            *(
                Choice(f"block{i}", (1, 2, 4), "depth" if i >= half else None, i + 1)
                for i in range(count)
            ),
        )
    )


def cost(path: Path) -> float:
    """The sum of the widths of active blocks, each block dearer than the one before."""
    depth = path["depth"]
    return 1.0 + sum((1 + 0.17 * i) * path[f"block{i}"] for i in range(depth))


def loss(path: Path) -> float:
    """Early blocks help more than late ones, so that a front exists that is not one size."""
    depth = path["depth"]
    return 2.0 - sum(
        (0.3 / (1 + i) ** 1.5) * math.log2(2 * path[f"block{i}"]) for i in range(depth)
    )
