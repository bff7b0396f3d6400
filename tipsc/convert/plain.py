"""Stages of a net without residual blocks, at whose ends paths can leave.

No block of such a net can be left out, but all that comes after one can. A stage ends where its
feature map is all that later layers see of the input: at the last such place before the places
become fewer, or, where they never do, near equal shares of the MACs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, fx

from tipsc.convert.blocks import Stage, Unit, goes_on
from tipsc.convert.flow import Flow, macs_of
from tipsc.convert.ops import Role, op_of
from tipsc.convert.ops.record import shape_of
from tipsc.convert.program import name_of, scope_of

LEAST_LAYERS = 2  # of a stage: a single layer has seen too little to tell


def plain_stages(flow: Flow, parts: int) -> list[Stage]:
    """The stages in order, each of one block that stays.

    Args:
        flow: of a classifier's program.
        parts: how many stages there are if all feature maps have the same places.
    """
    alone = [
        node
        for node in flow.nodes
        if node in flow.maps
        and isinstance(node.meta["val"], Tensor)
        and op_of(node).role not in (Role.VIEW, Role.POOL)  # they make no map of their own
        and not any(goes_on(user) for user in node.users)
        and flow.why_not_alone(node) is None
    ]
    rank, places_of = _layout(flow)
    alone = [node for node in alone if len(shape_of(node)) == rank]
    places = [places_of(node) for node in alone]
    if len(set(places)) < 2:
        return _stages(flow, _spread(flow, alone, parts))
    following = pairwise([*places, 0])
    return _stages(flow, [n for n, (now, then) in zip(alone, following, strict=True) if now > then])


def _layout(flow: Flow) -> tuple[int, Callable[[fx.Node], int]]:
    """Axes of the feature maps, as most of the MACs make them, and how many places one has.

    Convolutions have the channels second, linear layers have them last.
    """
    macs: Counter[tuple[int, bool]] = Counter()
    for node in flow.nodes:
        if macs_of(node):
            macs[len(shape_of(node)), name_of(node).startswith("conv")] += macs_of(node)
    if not macs:
        return 0, lambda node: 1
    rank, are_second = macs.most_common(1)[0][0]
    return rank, lambda node: math.prod(shape_of(node)[2:] if are_second else shape_of(node)[1:-1])


def _spread(flow: Flow, alone: Sequence[fx.Node], parts: int) -> list[fx.Node]:
    """Those nearest to equal shares of the MACs (of equals the last), and the last of all."""
    share = {node: flow.share(flow.up_to(node)) for node in alone}
    if not alone:
        return []
    nearest = {
        min(reversed(alone), key=lambda node: abs(share[node] - part / parts))
        for part in range(1, parts)
    }
    return [node for node in alone if node in nearest or node is alone[-1]]


def _stages(flow: Flow, ends: Sequence[fx.Node]) -> list[Stage]:
    """What lies between these ends; a part of too few layers goes to the next."""
    stages: list[Stage] = []
    entry, before = flow.program.input, frozenset[fx.Node]()
    for end in ends:
        nodes = flow.up_to(end) - before
        if sum(macs_of(node) > 0 for node in nodes) >= LEAST_LAYERS:
            stages.append(Stage(scope_of(end), (Unit(entry, end, nodes),), (1,)))
            entry, before = end, before | nodes
    return stages
