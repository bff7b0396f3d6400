"""Where paths can leave early, and with which head.

A path can leave after a stage if all that comes later sees the input through the feature map at
the stage's end only. It gets a head of its own there: a copy of the model's, if that is no more
than norms, pooling and a linear layer and the feature map has the shape that it reads. Else the
places of a classifier are pooled as the model does it, and a new linear layer gives the output; an
output that has places itself, such as masks, can come from a copy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import fx

from tipsc.convert.blocks import Stage, named
from tipsc.convert.flow import Flow
from tipsc.convert.ops import Role, op_of
from tipsc.convert.ops.record import shape_of
from tipsc.convert.plain import plain_stages
from tipsc.convert.program import Program, bound, name_of
from tipsc.convert.units import Structure, free
from tipsc.errors import ConversionError
from tipsc.paths import Choice

NAME = "exit"
PARTS = 4  # that a model of one stage is divided into
LEAST_SAVED = 0.05  # of the MACs; an exit that saves less is not worth its weights


@dataclass(frozen=True)
class Head:
    """The model's own head: what follows the last stage.

    Attributes:
        source: the feature map that it reads.
        nodes: its operations, in order.
        beside: other values that it reads, such as a mask.
        is_simple: whether it is norms, pooling and a linear layer, in which nothing is elastic but
            the channels that it reads; of an output with places, a convolution as well.
    """

    source: fx.Node
    nodes: tuple[fx.Node, ...]
    beside: frozenset[fx.Node]
    is_simple: bool


@dataclass(frozen=True)
class Pooling:
    """From a feature map to one vector for each example.

    Attributes:
        channels: the axis that is left beside the batch.
        places: the axes that are pooled.
        taken: the place that is taken, 0 or -1 (a class token, the last time step), or None for
            the mean over all places.
    """

    channels: int
    places: tuple[int, ...]
    taken: int | None


@dataclass(frozen=True)
class Exit:
    """One place where paths can leave.

    Attributes:
        number: of the stage, from 1 on; the option of the choice.
        stage: the module of its last block.
        node: the feature map at its end.
        pooling: of the new head, or None: it is a copy of the model's.
        needs: the operations without which the head cannot be computed.
    """

    number: int
    stage: str
    node: fx.Node
    pooling: Pooling | None
    needs: frozenset[fx.Node]


@dataclass(frozen=True)
class Exits:
    """The exits of a program.

    Attributes:
        choice: after which stage a path leaves; its largest option is the model's own end.
        found: in order; none if the model has no place for one.
        refused: (number, stage, why) of the other stages; number 0 stands for all of them.
        head: the model's own, if its exits copy it.
    """

    choice: Choice | None = None
    found: tuple[Exit, ...] = ()
    refused: tuple[tuple[int, str, str], ...] = ()
    head: Head | None = None

    def reached(self, node: fx.Node) -> int:
        """The smallest option of paths that compute a node."""
        assert self.choice is not None
        return next((e.number for e in self.found if node in e.needs), self.choice.largest)

    def gate(self, nodes: Sequence[fx.Node] | frozenset[fx.Node]) -> tuple[str, int] | None:
        """(choice, least option) of the paths that compute one of the nodes; None if all do."""
        if self.choice is None:
            return None
        least = min(self.reached(node) for node in nodes)
        return (self.choice.name, least) if least > self.choice.smallest else None


def divided(stages: Sequence[Stage]) -> list[Stage]:
    """The stages; the last one in parts, if it is alone or long and has most of the blocks.

    Most transformers are one stage, and nothing but the model's own head follows it.
    """
    *others, last = (stage.blocks for stage in stages) if stages else [()]
    if not last or (others and len(last) < max(PARTS, 1 + sum(map(len, others)))):
        return list(stages)
    parts = min(PARTS, len(last))
    borders = [round(len(last) * part / parts) for part in range(parts + 1)]
    return named([*others, *(last[low:high] for low, high in pairwise(borders))])


def depths(stages: Sequence[Stage], exits: Exits) -> list[Stage]:
    """The stages of which blocks can be left out.

    One that begins where paths can leave keeps a block at least: with none it would be the path
    that leaves before it, but for the head.
    """
    ends = {leave.node for leave in exits.found}
    kept = [
        Stage(s.name, s.blocks, tuple(k for k in s.kept if k or s.blocks[0].entry not in ends))
        for s in stages
    ]
    return [stage for stage in kept if len(stage.kept) > 1]


def check_wanted(wanted: bool | int | Sequence[int]) -> None:
    """Raises ConversionError unless it is as :func:`find_exits` takes it, or False."""
    least = int(wanted) if isinstance(wanted, int) else min(wanted, default=0)
    if wanted is not False and least < 1:
        raise ConversionError(
            "these are no early exits",
            where="exits",
            expected="True, how many, or the numbers of stages, from 1 on",
            got=wanted,
        )


def find_exits(
    program: Program,
    structure: Structure,
    stages: Sequence[Stage],
    wanted: bool | int | Sequence[int],
) -> Exits:
    """The exits after these stages.

    Args:
        wanted: True for all that are possible, how many (spread evenly over the MACs), or the
            numbers of the stages.

    Raises:
        ConversionError: a stage that was asked for by its number cannot have one.
    """
    numbers = None if isinstance(wanted, int) else tuple(wanted)
    reason = _why_none(program)
    flow = Flow(program)
    if reason is None and not stages:
        stages = plain_stages(flow, PARTS)
        reason = None if stages else "no feature map is all that later layers see of the input"
    if reason is not None:
        return _checked(Exits(refused=((0, "", reason),)), numbers)
    head = _head(flow, structure, stages[-1].blocks[-1].exit)
    found: list[Exit] = []
    refused: list[tuple[int, str, str]] = []
    for number, stage in enumerate(stages, 1):
        at = _exit(flow, structure, number, stage, head)
        if isinstance(at, Exit):
            found.append(at)
        else:
            refused.append((number, stage.end, at))
    end = len(stages) + any(e.number == len(stages) for e in found)
    chosen = _chosen(flow, found, wanted)
    choice = Choice(NAME, (*(e.number for e in chosen), end)) if chosen else None
    copies = any(e.pooling is None for e in chosen)
    exits = Exits(choice, chosen, tuple(refused), head if copies else None)
    return _checked(exits, numbers)


def _exit(
    flow: Flow, structure: Structure, number: int, stage: Stage, head: Head | None
) -> Exit | str:
    """The exit after a stage, or why there is none."""
    node = stage.blocks[-1].exit
    reason = flow.why_not_alone(node)
    if reason is not None:
        return reason
    if head is not None and head.is_simple and node is head.source:
        return "the model's own head follows"
    name = stage.end
    needs = flow.up_to(node)
    dense = _is_dense(flow.program)
    fits = head is not None and _reads(head, structure, node, flow)
    if head is not None and head.is_simple and fits:
        needs = flow.up_to(node, *head.beside)
        at = Exit(number, name, node, None, needs)
    elif dense:
        return "the model's head does not fit there, and another would give no places"
    else:
        pooling = _pooling(flow, structure, node, head)
        if isinstance(pooling, str):
            return pooling
        at = Exit(number, name, node, pooling, needs)
    saved = 1 - flow.share(needs)
    if saved < LEAST_SAVED:
        return f"it would save {100 * saved:.0f} % of the MACs only"
    return at


def _head(flow: Flow, structure: Structure, source: fx.Node) -> Head | None:
    """What follows the last stage; None if it sees more than that stage's feature map."""
    if flow.why_not_alone(source) is not None:
        return None
    nodes, earlier = flow.later(source), flow.up_to(source) - {source}
    tensors = flow.program.tensors
    beside = frozenset(i for n in nodes for i in n.all_input_nodes if i in earlier)
    layers = [n for n in nodes if any(i in tensors for i in n.all_input_nodes)]
    linear = [n for n in layers if op_of(n).role is not Role.NORM]
    seen = {*nodes, *(i for n in nodes for i in n.all_input_nodes)}
    read = {units for axis in structure.axes[source] for units in free(axis)}
    own = {u for n in seen for axis in structure.axes.get(n, ()) for u in free(axis)} - read
    is_alike = len(linear) == 1 and (_is_dense(flow.program) or _is_linear(linear[0]))
    return Head(source, tuple(nodes), beside, is_alike and not own)


def _is_linear(node: fx.Node) -> bool:
    return op_of(node).role is Role.LAYER and bound(node)["weight"].meta["val"].dim() == 2


def _reads(head: Head, structure: Structure, node: fx.Node, flow: Flow) -> bool:
    """Whether the model's head can read this feature map, and needs no later one beside it."""
    more = flow.up_to(*head.beside) - flow.up_to(node)
    here, there = ([free(axis) for axis in structure.axes[n]] for n in (node, head.source))
    return here == there and shape_of(node) == shape_of(head.source) and not more & flow.maps


def _pooling(flow: Flow, structure: Structure, node: fx.Node, head: Head | None) -> Pooling | str:
    """How a new head gets a vector from a feature map, or why it cannot."""
    shape = node.meta["val"].shape
    batch = [place for place, size in enumerate(shape) if isinstance(size, torch.SymInt)]
    weights = {
        units
        for n in flow.nodes
        if op_of(n).role is Role.LAYER
        for axis in structure.axes.get(bound(n)["weight"], ())[:2]
        for term in axis
        for units in term
    }
    channels = [
        place
        for place, axis in enumerate(structure.axes[node])
        if any(units in weights for term in axis for units in term)
    ]
    if len(batch) != 1 or len(channels) != 1 or batch[0] > channels[0]:
        return "which of its axes are channels cannot be told"
    places = tuple(p for p in range(len(shape)) if p not in (*batch, *channels))
    taken = _taken(head) if len(places) == 1 else None
    return Pooling(channels[0], places, taken)


def _taken(head: Head | None) -> int | None:
    """The place that the model's head takes of a sequence, the first (0) or the last (-1)."""
    for node in head.nodes if head is not None else ():
        if op_of(node).role is Role.PICK:
            args = bound(node)
            size = args["self"].meta["val"].shape[args["dim"]]
            if not isinstance(size, torch.SymInt) and args["index"] in (0, -1, size - 1):
                return 0 if args["index"] == 0 else -1
    return None


def _is_dense(program: Program) -> bool:
    """Whether the output has places: it is more than one vector for each example."""
    return all(node.meta["val"].dim() > 2 for node in program.outputs)


def _why_none(program: Program) -> str | None:
    """Why there is no exit: a classifier has a linear layer at its end."""
    if len(program.outputs) != 1:
        return "it gives several tensors"
    (node,) = program.outputs
    if _is_dense(program):
        return None
    if node.meta["val"].dim() != 2:
        return "its output is not one vector of scores for each example"
    while op_of(node).role in (Role.VIEW, Role.POOL, Role.DROPOUT):
        node = node.all_input_nodes[0]
    if op_of(node).role is Role.LAYER:
        weight = bound(node)["weight"]
        if weight in program.tensors and set(map(int, weight.meta["val"].shape[2:])) <= {1}:
            return None
    return f"its output does not come from a linear layer but from {name_of(node)}"


def _chosen(
    flow: Flow, found: Sequence[Exit], wanted: bool | int | Sequence[int]
) -> tuple[Exit, ...]:
    if wanted is True:
        return tuple(found)
    if not isinstance(wanted, int):
        return tuple(e for e in found if e.number in wanted)
    left = list(found)
    chosen: list[Exit] = []
    for place in range(1, min(wanted, len(found)) + 1):
        share = place / (wanted + 1)
        nearest = min(left, key=lambda e: abs(flow.share(e.needs) - share))
        left.remove(nearest)
        chosen.append(nearest)
    return tuple(sorted(chosen, key=lambda e: e.number))


def _checked(exits: Exits, numbers: tuple[int, ...] | None) -> Exits:
    """Raises ConversionError if one of these stages has no exit."""
    reasons = {number: reason for number, _, reason in exits.refused}
    found = {e.number for e in exits.found}
    for number in numbers or ():
        if number not in found:
            raise ConversionError(
                f"paths cannot leave after stage {number}: "
                + reasons.get(0, reasons.get(number, "there is no such stage")),
                where="exits",
                fix="give True for all that are possible; the report lists them",
            )
    return exits
