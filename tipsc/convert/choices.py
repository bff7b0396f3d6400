"""From groups of units to choices: which groups become elastic, in which steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

from torch import Tensor, fx

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis
from tipsc.convert.axes import Axis, Group
from tipsc.convert.blocks import Stage
from tipsc.convert.exits import Exits
from tipsc.convert.names import cleaned
from tipsc.convert.ops import Role, op_of
from tipsc.convert.program import Program
from tipsc.convert.resolutions import Resolutions
from tipsc.elastic.dims import Counts, Dim, Layout
from tipsc.paths import Choice, SearchSpace

Seen: TypeAlias = Mapping[fx.Node, Set[Group]]
"""The free groups on the axes of each value."""

_STEPS = ((32, 8), (16, 4))  # groups of at least so many channels are cut in steps of


@dataclass(frozen=True)
class Elastic:
    """A group that became elastic.

    Attributes:
        group: its units.
        counts: how many a path uses.
        inner: values of one unit (channels of a head).
        layers: names of the tensors that hold it.
    """

    group: Group
    counts: Counts
    inner: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The search space of a program, and what each group and stage is in it."""

    space: SearchSpace
    elastic: tuple[Elastic, ...]
    stages: tuple[tuple[Stage, Choice], ...]
    exits: Exits
    resolutions: Resolutions | None = None

    def at_resolutions(self, found: Resolutions) -> Plan:
        """The same plan after a choice of the input's resolution."""
        space = SearchSpace((found.choice, *self.space.choices))
        return replace(self, space=space, resolutions=found)

    def shape(self, node: fx.Node, axes: Sequence[Axis]) -> tuple[Dim, ...] | None:
        """The sizes of an operation's output; None if one follows several choices."""
        dims = [self.dim(axis) for axis in axes]
        found = self.resolutions.shapes.get(node) if self.resolutions else None
        if self.resolutions is None or found is None:
            return tuple(dims)
        for place, sizes in enumerate(zip(*found, strict=True)):
            if len(set(sizes)) > 1:
                if not isinstance(dims[place], int):
                    return None
                dims[place] = Layout(((Counts(self.resolutions.choice, sizes),),))
        return tuple(dims)

    @cached_property
    def _counts(self) -> dict[Group, Counts]:
        return {e.group: e.counts for e in self.elastic}

    def dim(self, axis: Axis) -> Dim:
        """The size of an axis on a path."""
        counts = self._counts
        segments = tuple(
            tuple(counts.get(group.root, group.size) for group in term) for term in ax.settled(axis)
        )
        if any(isinstance(f, Counts) for segment in segments for f in segment):
            return Layout(segments)
        return ax.axis_size(axis)


def _axes_of(analysis: Analysis, node: fx.Node) -> list[Axis]:
    found = analysis.axes.get(node, [])
    if not isinstance(node.meta.get("val"), Tensor):
        return [axis for item in found for axis in item]
    return list(found)


def make_plan(
    program: Program,
    analysis: Analysis,
    stages: Sequence[Stage],
    widths: Sequence[float],
    exits: Exits,
) -> Plan:
    """Decides on the choices.

    A choice of operations that come after an exit is gated by it: where a path left before them
    it has no effect, so that there are no two paths of one subnetwork.

    Args:
        widths: shares of the units that options keep, in (0, 1].
    """
    _one_per_term(analysis)
    seen = {n: {g for axis in _axes_of(analysis, n) for g in _free(axis)} for n in analysis.axes}
    _fix_unread(program, seen)
    ties = _ties(program, analysis)
    users = _users(program, seen)
    holders = _holders(program, analysis)
    order = {node: i for i, node in enumerate(program.graph.nodes)}
    depths = [_gated(Choice(s.name, s.kept), exits, s.blocks[0].nodes) for s in stages]
    drafts: list[tuple[int, Choice, list[Elastic]]] = []
    taken = {choice.name for choice in depths}
    for tie in ties:
        draft = _draft(tie, [holders[group] for group in tie], widths, taken)
        if draft is None:
            continue
        choice, elastic = draft
        nodes = frozenset().union(*(users[group] for group in tie))
        choice = _gated(choice, exits, nodes)
        gate = _gate(nodes, stages)
        if gate is not None:
            stage, index = gate
            if index >= stages[stage].kept[0]:
                choice = Choice(choice.name, choice.options, depths[stage].name, index + 1)
        elastic = [
            Elastic(e.group, Counts(choice, e.counts.counts), e.inner, e.layers) for e in elastic
        ]
        drafts.append((min(order[node] for node in nodes), choice, elastic))
    begins = [min(order[n] for n in stage.blocks[0].nodes) for stage in stages]
    entries = [(begin - 0.5, choice) for begin, choice in zip(begins, depths, strict=True)]
    entries += [(float(begin), choice) for begin, choice, _ in drafts]
    choices = [choice for _, choice in sorted(entries, key=lambda e: e[0])]
    if exits.choice is not None:
        choices.insert(0, exits.choice)
    return Plan(
        SearchSpace(tuple(choices)),
        tuple(e for _, _, elastic in drafts for e in elastic),
        tuple(zip(stages, depths, strict=True)),
        exits,
    )


def _gated(choice: Choice, exits: Exits, nodes: frozenset[fx.Node]) -> Choice:
    """The choice, switched on by paths that do not leave before all of these operations."""
    gate = exits.gate(nodes)
    return choice if gate is None else Choice(choice.name, choice.options, *gate)


def _one_per_term(analysis: Analysis) -> None:
    """Heads are cut whole: in a nest only the outermost group that can be elastic is."""
    for node in list(analysis.axes):
        for axis in _axes_of(analysis, node):
            while any(map(_kept_whole, ax.settled(axis))):
                pass  # settled anew: a closed sum opens when all around it is fixed


def _kept_whole(term: ax.Term) -> bool:
    """Fixes the units inside free ones; whether there were any."""
    free = [g for g in term if g.root.fixed is None]
    for group in free[1:]:
        group.fix("counted in whole heads or groups")
    return len(free) > 1


def _fix_unread(program: Program, seen: Seen) -> None:
    """What is cut off a table of weights and never used stays: a choice of it changes nothing.

    A unit is used where it meets what depends on the input, or is summed over.
    """
    computed, used = set(program.inputs), set[Group]()
    for node in program.nodes():
        sources = [n for n in node.all_input_nodes if n in seen]
        if node in seen and not computed.isdisjoint(sources):
            computed.add(node)
            used |= seen[node]
        if op_of(node).role not in (Role.CUT, Role.SPLIT):
            used |= {g for n in sources for g in seen[n]} - seen.get(node, set())
    for node in program.tensors:
        for group in seen[node] - used:
            group.fix("not read")


def _ties(program: Program, analysis: Analysis) -> list[list[Group]]:
    """Groups that follow one choice: those that are concatenated."""
    parent: dict[Group, Group] = {}

    def find(group: Group) -> Group:
        while parent[group] is not group:
            group = parent[group]
        return group

    weights = [n for n in program.graph.nodes if n in program.tensors]
    for node in weights:
        for axis in _axes_of(analysis, node):
            for group in _free(axis):
                parent.setdefault(group, group)
    for node in analysis.axes:
        for axis in _axes_of(analysis, node):
            together = [g for g in _free(axis) if g in parent]
            for other in together[1:]:
                parent[find(other)] = find(together[0])
    ties: dict[Group, list[Group]] = {}
    for group in parent:
        ties.setdefault(find(group), []).append(group)
    return list(ties.values())


def _free(axis: Axis) -> list[Group]:
    return [g.root for term in ax.settled(axis) for g in term if g.root.fixed is None]


def _users(program: Program, seen: Seen) -> dict[Group, set[fx.Node]]:
    """The operations that see each group."""
    users: dict[Group, set[fx.Node]] = {}
    for node in program.nodes():
        for other in (node, *node.all_input_nodes):
            for group in seen.get(other, ()):
                users.setdefault(group, set()).add(node)
    return users


def _draft(
    tie: list[Group], holders: Sequence[_Holders], widths: Sequence[float], taken: set[str]
) -> tuple[Choice, list[Elastic]] | None:
    """A choice for groups that are cut together; None if there is nothing to choose."""
    tables = []
    for group, holder in zip(tie, holders, strict=True):
        step = 1 if holder.inner > 1 else next((s for least, s in _STEPS if group.size >= least), 1)
        tables.append(
            [min(group.size, max(1, step * round(group.size * w / step))) for w in sorted(widths)]
        )
        tables[-1][-1] = group.size
    columns = sorted(set(zip(*tables, strict=True)))
    if len(columns) < 2:
        for group in tie:
            group.fix("too few units to choose from")
        return None
    first = holders[0]
    kind = "width" if first.inner == 1 else ("groups" if first.is_convolution else "heads")
    plain = cleaned(f"{_layer(first.names[0])}.{kind}".lstrip("."))
    name, count = plain, 2
    while name in taken:
        name, count = f"{plain}{count}", count + 1
    taken.add(name)
    if all(len(set(column)) == 1 for column in columns):
        options = tuple(column[0] for column in columns)
    else:
        total = sum(group.size for group in tie)
        options = tuple(round(100 * sum(column) / total) for column in columns)
        if len(set(options)) < len(options):
            options = tuple(sum(column) for column in columns)
    choice = Choice(name, options)
    return choice, [
        Elastic(group, Counts(choice, tuple(c[i] for c in columns)), holder.inner, (*holder.names,))
        for i, (group, holder) in enumerate(zip(tie, holders, strict=True))
    ]


@dataclass
class _Holders:
    """Names of the tensors that have a group; values of one unit; whether one is a filter."""

    producers: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    inner: int = 1
    is_convolution: bool = False

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys([*self.producers, *self.others]))


def _holders(program: Program, analysis: Analysis) -> dict[Group, _Holders]:
    """The tensors that have each group on an axis; producers have it on their first."""
    found: dict[Group, _Holders] = {}
    for node, name in program.tensors.items():
        for place, axis in enumerate(_axes_of(analysis, node)):
            for term in ax.settled(axis):
                roots = [g.root for g in term]
                for group in dict.fromkeys(roots):
                    holders = found.setdefault(group, _Holders())
                    if place == 0:
                        inner = math.prod(g.size for g in roots[roots.index(group) + 1 :])
                        holders.inner = max(holders.inner, inner)
                    holders.is_convolution |= len(node.meta["val"].shape) > 2
                    (holders.others if place else holders.producers).append(name)
    return found


def _layer(tensor: str) -> str:
    owner, _, leaf = tensor.rpartition(".")
    return owner if leaf in ("weight", "bias") else tensor.removesuffix("_weight")


def _gate(nodes: frozenset[fx.Node], stages: Sequence[Stage]) -> tuple[int, int] | None:
    """The stage and the block that hold all of the nodes, if one does."""
    for number, stage in enumerate(stages):
        for index, block in enumerate(stage.blocks):
            if nodes <= block.nodes:
                return number, index
    return None


def fix_residuals(analysis: Analysis, additions: Sequence[fx.Node]) -> None:
    """The streams that skips add to keep their width."""
    for node in additions:
        for axis in analysis.axes[node]:
            ax.fix(axis, "the residual stream")
