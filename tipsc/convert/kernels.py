"""Depthwise convolutions of which a path may use the middle of the kernel.

The middle of a kernel is a smaller one (Once-for-All, arXiv 1908.09791, without its matrices from
one size to the next): a path with kernel k computes what the full kernel does if all around the
middle is zero. So it takes less padding, by as much as the kernel reaches less far.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import fx

from tipsc.convert.ops import Role, is_layer, op_of
from tipsc.convert.program import Program, bound, hint

SMALLEST = 3
MOST = 4  # options


def find_kernels(program: Program) -> Mapping[fx.Node, tuple[int, ...]]:
    """The sizes to choose from, by the weight of each layer that has several."""
    found: dict[fx.Node, tuple[int, ...]] = {}
    refused: set[fx.Node] = set()
    for node in program.nodes():
        if op_of(node).role is Role.LAYER and is_layer(program, node):
            weight = bound(node)["weight"]
            options = _options(node)
            if len(options) > 1 and found.setdefault(weight, options) == options:
                continue
            refused.add(weight)  # or it is shared with a layer that needs all of it
    return {weight: options for weight, options in found.items() if weight not in refused}


def _options(node: fx.Node) -> tuple[int, ...]:
    args = bound(node)
    channels, each, *kernel = (hint(size) for size in args["weight"].meta["val"].shape)
    transposed = "output_padding" in args
    if transposed or args.get("groups") != channels or each != 1:
        return ()
    padding, dilation = args["padding"], args["dilation"]
    if isinstance(padding, str) or len(set(kernel)) > 1:
        return ()
    full = kernel[0]
    reach = min(padding) // max(dilation)
    sizes = [k for k in range(SMALLEST, full + 1, 2) if (full - k) // 2 <= reach]
    sizes = sizes if full % 2 else []
    step = max(1, -(-(len(sizes) - 1) // (MOST - 1)))
    return tuple(sizes[::-1][::step][::-1])
