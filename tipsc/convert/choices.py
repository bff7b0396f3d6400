"""From units to choices: which of them become elastic, in which steps."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import fx

from tipsc.convert.blocks import Stage
from tipsc.convert.exits import Exits
from tipsc.convert.names import cleaned
from tipsc.convert.program import Program
from tipsc.convert.sizes import Resolutions, Sizes
from tipsc.convert.units import Structure, UnitSet, free, term_size
from tipsc.elastic.dims import Counts
from tipsc.errors import ConversionError
from tipsc.paths import Choice, SearchSpace

_STEPS = ((32, 8), (16, 4))  # at least so many channels are cut in steps of


@dataclass(frozen=True)
class Elastic:
    """Units that became elastic.

    Attributes:
        units: all of them.
        counts: how many a path uses.
        inner: values of one unit (channels of a head).
        layers: names of the tensors that hold it.
    """

    units: UnitSet
    counts: Counts
    inner: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The search space of a program, and what the units and stages are in it."""

    space: SearchSpace
    elastic: tuple[Elastic, ...]
    stages: tuple[tuple[Stage, Choice], ...]
    exits: Exits
    kernels: Mapping[fx.Node, Choice] = field(default_factory=dict)
    resolutions: Resolutions | None = None

    def at_resolutions(self, found: Resolutions) -> Plan:
        """The same plan after a choice of the input's resolution.

        Raises:
            ConversionError: paths that leave early would give maps of another size.
        """
        if found.restored and self.exits.choice is not None:
            raise ConversionError(
                "a model that gives maps can have early exits or resolutions, not both",
                where="resolutions",
                fix="leave out exits or resolutions",
            )
        space = SearchSpace((found.choice, *self.space.choices))
        return replace(self, space=space, resolutions=found)

    @cached_property
    def sizes(self) -> Sizes:
        """Of all axes, on a path."""
        counts = {e.units: e.counts for e in self.elastic}
        return Sizes(counts, self.kernels, self.resolutions)


def make_plan(
    program: Program,
    structure: Structure,
    additions: Iterable[fx.Node],
    stages: Sequence[Stage],
    widths: Sequence[float],
    exits: Exits,
    kernels: Mapping[fx.Node, tuple[int, ...]],
) -> Plan:
    """Decides on the choices.

    A choice of operations that come after an exit is gated by it: where a path left before them
    it has no effect, so that there are no two paths of one subnetwork.

    Args:
        additions: those that close skips; what is free in their sums is the width of a stream.
        widths: shares of the units that options keep, in (0, 1].
        kernels: sizes to choose from, by the weight of each layer that has several.
    """
    ties = _ties(program, structure)
    users = _users(program, structure)
    holders = _holders(program, structure)
    streams = {units for n in additions for axis in structure.axes[n] for units in free(axis)}
    order = {node: i for i, node in enumerate(program.graph.nodes)}
    depths = [_gated(Choice(s.name, s.kept), exits, s.blocks[0].nodes) for s in stages]
    drafts: list[tuple[int, Choice, list[Elastic]]] = []
    taken = {choice.name for choice in depths}

    def switched(choice: Choice, nodes: frozenset[fx.Node]) -> Choice:
        choice, gate = _gated(choice, exits, nodes), _gate(nodes, stages)
        if gate is None or gate[1] < stages[gate[0]].kept[0]:
            return choice
        return Choice(choice.name, choice.options, depths[gate[0]].name, gate[1] + 1)

    for tie in ties:
        named = holders[tie[0]]
        kind = "stream" if not streams.isdisjoint(tie) else named.kind
        name = cleaned(f"{_layer(named.names[0])}.{kind}".lstrip("."))
        draft = _draft(tie, [holders[units] for units in tie], widths, _unique(name, taken))
        if draft is None:
            continue
        taken.add(draft[0].name)
        choice, elastic = draft
        nodes = frozenset().union(*(users[units] for units in tie))
        choice = switched(choice, nodes)
        elastic = [
            Elastic(e.units, Counts(choice, e.counts.counts), e.inner, e.layers) for e in elastic
        ]
        drafts.append((min(order[node] for node in nodes), choice, elastic))
    sized: dict[fx.Node, Choice] = {}
    for weight, options in kernels.items():
        name = _unique(cleaned(f"{_layer(program.tensors[weight])}.kernel".lstrip(".")), taken)
        taken.add(name)
        nodes = frozenset(weight.users)
        sized[weight] = switched(Choice(name, options), nodes)
        drafts.append((min(order[node] for node in nodes), sized[weight], []))
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
        sized,
    )


def _gated(choice: Choice, exits: Exits, nodes: frozenset[fx.Node]) -> Choice:
    """The choice, switched on by paths that do not leave before all of these operations."""
    gate = exits.gate(nodes)
    return choice if gate is None else Choice(choice.name, choice.options, *gate)


def _ties(program: Program, structure: Structure) -> list[list[UnitSet]]:
    """Units that follow one choice: those that are concatenated."""
    parent: dict[UnitSet, UnitSet] = {}

    def find(units: UnitSet) -> UnitSet:
        while parent[units] is not units:
            units = parent[units]
        return units

    weights = [n for n in program.graph.nodes if n in program.tensors]
    for node in weights:
        for axis in structure.all_axes(node):
            for units in free(axis):
                parent.setdefault(units, units)
    for node in structure.nodes():
        for axis in structure.all_axes(node):
            together = [units for units in free(axis) if units in parent]
            for other in together[1:]:
                parent[find(other)] = find(together[0])
    ties: dict[UnitSet, list[UnitSet]] = {}
    for units in parent:
        ties.setdefault(find(units), []).append(units)
    return list(ties.values())


def _users(program: Program, structure: Structure) -> dict[UnitSet, set[fx.Node]]:
    """The operations that see each of the free units."""
    users: dict[UnitSet, set[fx.Node]] = {}
    for node in program.nodes():
        for other in (node, *node.all_input_nodes):
            for axis in structure.all_axes(other):
                for units in free(axis):
                    users.setdefault(units, set()).add(node)
    return users


def _draft(
    tie: list[UnitSet], holders: Sequence[_Holders], widths: Sequence[float], name: str
) -> tuple[Choice, list[Elastic]] | None:
    """A choice for units that are cut together; None if they are too few to choose from."""
    tables = []
    for units, holder in zip(tie, holders, strict=True):
        size = units.size
        step = 1 if holder.inner > 1 else next((s for least, s in _STEPS if size >= least), 1)
        tables.append([min(size, max(1, step * round(size * w / step))) for w in sorted(widths)])
        tables[-1][-1] = size
    columns = sorted(set(zip(*tables, strict=True)))
    if len(columns) < 2:
        return None
    if all(len(set(column)) == 1 for column in columns):
        options = tuple(column[0] for column in columns)
    else:
        total = sum(units.size for units in tie)
        options = tuple(round(100 * sum(column) / total) for column in columns)
        if len(set(options)) < len(options):
            options = tuple(sum(column) for column in columns)
    choice = Choice(name, options)
    return choice, [
        Elastic(units, Counts(choice, tuple(c[i] for c in columns)), holder.inner, (*holder.names,))
        for i, (units, holder) in enumerate(zip(tie, holders, strict=True))
    ]


@dataclass
class _Holders:
    """Names of the tensors that have some units; values of one; whether a tensor is a filter."""

    producers: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    inner: int = 1
    is_convolution: bool = False

    @property
    def names(self) -> list[str]:
        return list(dict.fromkeys([*self.producers, *self.others]))

    @property
    def kind(self) -> str:
        """What a choice of the units is called."""
        if self.inner == 1:
            return "width"
        return "groups" if self.is_convolution else "heads"


def _holders(program: Program, structure: Structure) -> dict[UnitSet, _Holders]:
    """The tensors that have some units on an axis; producers have them on their first."""
    found: dict[UnitSet, _Holders] = {}
    for node, name in program.tensors.items():
        for place, axis in enumerate(structure.all_axes(node)):
            for term in axis:
                for units in dict.fromkeys(term):
                    holders = found.setdefault(units, _Holders())
                    if place == 0:
                        inner = term_size(term[term.index(units) + 1 :])
                        holders.inner = max(holders.inner, inner)
                    holders.is_convolution |= len(node.meta["val"].shape) > 2
                    (holders.others if place else holders.producers).append(name)
    return found


def _unique(name: str, taken: Container[str]) -> str:
    found, count = name, 2
    while found in taken:
        found, count = f"{name}{count}", count + 1
    return found


def _layer(tensor: str) -> str:
    owner, _, leaf = tensor.rpartition(".")
    is_named_so = leaf.partition("_")[0] in ("weight", "bias")  # weight_ih_l0 of a recurrent layer
    return owner if is_named_so else tensor.removesuffix("_weight")


def _gate(nodes: frozenset[fx.Node], stages: Sequence[Stage]) -> tuple[int, int] | None:
    """The stage and the block that hold all of the nodes, if one does."""
    for number, stage in enumerate(stages):
        for index, block in enumerate(stage.blocks):
            if nodes <= block.nodes:
                return number, index
    return None
