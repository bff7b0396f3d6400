"""Lets the chain tell narrow paths from wide ones, from the shapes that a trace holds.

The published graph has one node for each feature map, so two paths of equal depth are the same
subnetwork to it, whatever their widths. Here a feature map that comes in K sizes is split into K
groups of channels, and a path that uses the k-th size holds the first k. This is ours, not the
paper's. What changes no size (a kernel) stays unseen, and an elastic resolution counts as a size.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tipsc.paths import Path, SearchSpace


class SizedStep(Protocol):
    """A step of a trace (see :class:`tipsc.dtmc.graph.Step`) that knows its output's shape."""

    @property
    def label(self) -> str: ...
    @property
    def inputs(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class GroupedStep:
    """A step with the width groups of its output; see :class:`tipsc.dtmc.graph.Step`."""

    label: str
    inputs: tuple[str, ...]
    channel_groups: int
    channelwise: bool


def with_width_groups(
    space: SearchSpace, steps_of: Callable[[Path], Sequence[SizedStep]]
) -> Callable[[Path], tuple[GroupedStep, ...]]:
    """A tracing function whose steps carry width groups, made from one whose steps have shapes.

    The sizes are learned from as many traces as the choice with the most options has. A step is
    taken for channelwise when its output and its inputs have equally many groups; a dense
    operation between two feature maps that widen together is therefore counted as channelwise.
    """
    gates = {choice.gate for choice in space.choices}
    sizes: dict[str, set[int]] = {}
    for rank in range(max((len(choice.options) for choice in space.choices), default=1)):
        options = {
            # Gates stay open, or the sizes behind them would go unseen.
            c.name: c.largest if c.name in gates else c.options[min(rank, len(c.options) - 1)]
            for c in space.choices
        }
        for step in steps_of(space.path(options)):
            sizes.setdefault(step.label, set()).add(math.prod(step.shape))
    levels = {label: sorted(found) for label, found in sizes.items()}

    def grouped(path: Path) -> tuple[GroupedStep, ...]:
        return tuple(_group(step, levels) for step in steps_of(path))

    return grouped


def _group(step: SizedStep, levels: Mapping[str, Sequence[int]]) -> GroupedStep:
    own = levels.get(step.label, (0,))
    most = max((len(levels.get(name, (0,))) for name in step.inputs), default=1)
    return GroupedStep(
        label=step.label,
        inputs=step.inputs,
        channel_groups=max(1, bisect_right(own, math.prod(step.shape))),
        channelwise=len(own) == most,
    )
