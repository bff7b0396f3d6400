"""A search space unrolled into a graph whose walks are its paths.

A node is a decision that is about to be made: a choice, and what must still be known of the
choices before it. An edge is an operation: one option of that choice. What must still be known is
the *frontier* of variable elimination (Dechter, 1999): an earlier choice is remembered as long as
a later factor depends on it, or as far as it still switches choices on or off. A choice that is
inactive adds nothing, so walks from input to output correspond one to one to the distinct paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tipsc.dtmc.dag import Dag
from tipsc.errors import DataError
from tipsc.factors import INACTIVE, Additive, option_numbers
from tipsc.paths import Path, SearchSpace

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
State: TypeAlias = tuple[int, ...]

MOST_EDGES = 1_000_000
STEM = -1
"""The choice of the first edge, which every walk takes: it carries what every path costs."""


@dataclass(frozen=True, eq=False)
class ChoiceGraph:
    """Made by :func:`choice_graph`.

    Attributes:
        space: the search space.
        dag: N nodes, E edges. Edge 0 leads from the input to the first decision; after it, edges
            stand in the order of their tails, and those of a node in the order of the options.
        choice: (E,) the number of the choice that each edge decides; -1 for edge 0.
        option: (E,) the place of the option that it takes.
        names: N names: the choice with what is remembered, ``input`` and ``output``.
    """

    space: SearchSpace
    dag: Dag
    choice: Integers
    option: Integers
    names: tuple[str, ...]
    _known: tuple[dict[int, Integers], ...]
    _begin: Integers

    def edge_values(self, function: Additive) -> Floats:
        """(E,) values whose sum along the walk of a path is ``function.of(path)``.

        Raises:
            DataError: another space, or a factor over choices that the graph does not remember.
        """
        if function.space != self.space:
            raise DataError("the function is of another search space than the graph")
        number = {choice.name: at for at, choice in enumerate(self.space.choices)}
        values = np.zeros(len(self.choice))
        values[0] = function.constant
        for factor in function.factors:
            scope = [number[name] for name in factor.choices]
            known = self._known[scope[-1]]
            if any(at not in known for at in scope):
                raise DataError(
                    "the graph was not made for this factor",
                    where=f"factor of {', '.join(factor.choices)}",
                    fix="give its choices among the scopes of choice_graph",
                )
            columns = np.stack([known[at] for at in scope])
            on = (columns != INACTIVE).all(axis=0)
            edges = self._begin[scope[-1]] + np.flatnonzero(on)
            values[edges] += factor.table[tuple(columns[:, on])]
        return values

    def carries(self, scopes: Iterable[Sequence[str]]) -> bool:
        """Whether :meth:`edge_values` can place factors over these choices."""
        number = {choice.name: at for at, choice in enumerate(self.space.choices)}
        placed = ([number[name] for name in scope] for scope in scopes)
        return all(at in self._known[max(scope)] for scope in placed for at in scope)

    def log_options(self) -> Floats:
        """(E,) log probability of each option if it is drawn uniformly from those of its choice."""
        counts = np.array([*(len(c.options) for c in self.space.choices), 1], dtype=np.float64)
        return -np.log(counts[self.choice])

    @cached_property
    def items(self) -> list[tuple[int, tuple[str, int]]]:
        """For each edge the number of its choice, and its item in a path."""
        choices = self.space.choices
        return [
            (at, (choices[at].name, choices[at].options[place]) if at != STEM else ("", 0))
            for at, place in zip(self.choice.tolist(), self.option.tolist(), strict=True)
        ]

    @cached_property
    def first_edge(self) -> list[int]:
        """For each node the number of its first edge; E for the output."""
        return np.searchsorted(self.dag.tail, np.arange(self.dag.nodes)).tolist()

    @cached_property
    def heads(self) -> list[int]:
        """`dag.head` as a list, which plain Python reads faster."""
        return self.dag.head.tolist()

    @cached_property
    def _choice_of_node(self) -> list[int]:
        decided = np.full(self.dag.nodes, STEM)
        decided[self.dag.tail] = self.choice
        return decided.tolist()

    def path(self, walk: Iterable[int]) -> Path:
        """The path of a walk, given as edges; edge -1 is passed over."""
        items = list(self.space.smallest.items)
        for edge in walk:
            at, item = self.items[edge]
            if at != STEM and edge >= 0:
                items[at] = item
        return Path(tuple(items))

    def walk(self, path: Path) -> list[int]:
        """The edges of a path, in order."""
        places = option_numbers(self.space, [path])[0].tolist()
        walk, node, output = [0], self.heads[0], self.dag.output
        while node != output:
            edge = self.first_edge[node] + places[self._choice_of_node[node]]
            walk.append(edge)
            node = self.heads[edge]
        return walk


def choice_graph(
    space: SearchSpace, scopes: Iterable[Sequence[str]] = (), *, most_edges: int = MOST_EDGES
) -> ChoiceGraph:
    """Unroll a space so that factors over `scopes` can be placed on edges.

    Args:
        scopes: names of choices that stand in one factor; those of one choice are always possible.
        most_edges: the size at which unrolling is given up.

    Raises:
        DataError: too many edges, with the choices that must be remembered together.
    """
    number = {choice.name: at for at, choice in enumerate(space.choices)}
    placed = [sorted(number[space[name].name] for name in scope) for scope in scopes]
    layers = [_Layer.of(space, at, number, placed) for at in range(len(space.choices))]
    waiting: list[dict[State, int]] = [{} for _ in range(len(layers) + 1)]

    def arrive(at: int, state: State) -> tuple[int, int]:
        """Layer and place of the first decision from here on that is not switched off."""
        while at < len(layers) and not layers[at].is_on(state):
            state = layers[at].after(state, INACTIVE)
            at += 1
        return at, waiting[at].setdefault(state, len(waiting[at]))

    targets = [arrive(0, ())]
    total = 1
    for layer in layers:
        states, options = waiting[layer.number], range(layer.options)
        total += len(states) * layer.options
        if total > most_edges:
            raise _too_large(space, layer, most_edges)
        targets += [
            arrive(layer.number + 1, layer.after(state, o)) for state in states for o in options
        ]
    sizes = [len(states) for states in waiting]
    return _assembled(space, layers, waiting, sizes, np.array(targets, dtype=np.int64))


@dataclass(frozen=True)
class _Layer:
    """One choice: what is remembered when it is decided, and how that goes on.

    Attributes:
        kept: numbers of the earlier choices in a state.
        full: which of them are remembered to the option, because a factor asks for it.
        gate: place in the state of this choice's gate, and the options that switch it on.
        forward: for each choice of the next layer's state: its place here (-1 is this choice),
            and what it is remembered as.
    """

    number: int
    options: int
    kept: tuple[int, ...]
    full: tuple[int, ...]
    gate: tuple[int, tuple[bool, ...]] | None
    forward: tuple[tuple[int, tuple[int, ...]], ...]

    @classmethod
    def of(
        cls, space: SearchSpace, at: int, number: dict[str, int], scopes: list[list[int]]
    ) -> _Layer:
        choice = space.choices[at]
        kept, full = _frontier(space, at, scopes)
        following, still_full = _frontier(space, at + 1, scopes)
        gate = None
        if choice.gate is not None:
            opens = (o >= choice.gate_from for o in space[choice.gate].options)
            gate = kept.index(number[choice.gate]), (*opens, False)  # the last is INACTIVE
        forward = tuple(
            (
                STEM if c == at else kept.index(c),
                _remembered(space, c, at + 1, c in still_full),
            )
            for c in following
        )
        return cls(at, len(choice.options), kept, full, gate, forward)

    def is_on(self, state: State) -> bool:
        return self.gate is None or self.gate[1][state[self.gate[0]]]

    def after(self, state: State, option: int) -> State:
        return tuple(
            table[option if place == STEM else state[place]] for place, table in self.forward
        )


def _frontier(
    space: SearchSpace, at: int, scopes: list[list[int]]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Choices before `at` that are still needed, and those of them that a factor needs."""
    full = {c for scope in scopes if scope and scope[-1] >= at for c in scope if c < at}
    gates = {c.gate for c in space.choices[at:]}
    kept = full | {i for i, c in enumerate(space.choices[:at]) if c.name in gates}
    return tuple(sorted(kept)), tuple(sorted(full))


def _remembered(space: SearchSpace, c: int, at: int, full: bool) -> tuple[int, ...]:
    """What each option of choice `c` is remembered as from choice `at` on; last for inactive.

    Options that switch the same later choices on need not be told apart.
    """
    options = space.choices[c].options
    if full:
        return (*range(len(options)), INACTIVE)
    thresholds = {
        later.gate_from for later in space.choices[at:] if later.gate == space.choices[c].name
    }
    remembered = []
    for option in options:
        passed = [threshold for threshold in thresholds if threshold <= option]
        reached = max(passed) if passed else None
        remembered.append(
            INACTIVE if reached is None else next(i for i, o in enumerate(options) if o >= reached)
        )
    return (*remembered, INACTIVE)


def _assembled(
    space: SearchSpace,
    layers: list[_Layer],
    waiting: list[dict[State, int]],
    sizes: list[int],
    targets: Integers,
) -> ChoiceGraph:
    first = 1 + np.concatenate([[0], np.cumsum(sizes)])  # node 0 is the input
    options = np.array([layer.options for layer in layers], dtype=np.int64)
    per_layer = np.array(sizes[:-1], dtype=np.int64) * options
    choice = np.concatenate([[STEM], np.repeat(np.arange(len(layers)), per_layer)])
    tails, places, known = [np.zeros(1, np.int64)], [np.zeros(1, np.int64)], []
    names = ["input"]
    for layer, states in zip(layers, waiting, strict=False):
        count = len(states)
        nodes = first[layer.number] + np.arange(count)
        tails.append(np.repeat(nodes, layer.options))
        places.append(np.tile(np.arange(layer.options), count))
        table = np.array(list(states), dtype=np.int64).reshape(count, len(layer.kept))
        known.append(
            {c: np.repeat(table[:, layer.kept.index(c)], layer.options) for c in layer.full}
            | {layer.number: places[-1]}
        )
        names += [_name(space, layer, state) for state in states]
    names.append("output")
    return ChoiceGraph(
        space=space,
        dag=Dag(len(names), np.concatenate(tails), first[targets[:, 0]] + targets[:, 1]),
        choice=choice,
        option=np.concatenate(places),
        names=tuple(names),
        _known=tuple(known),
        _begin=np.concatenate([[1], 1 + np.cumsum(per_layer)]),
    )


def _name(space: SearchSpace, layer: _Layer, state: State) -> str:
    parts = []
    for c, value in zip(layer.kept, state, strict=True):
        choice = space.choices[c]
        if value == INACTIVE:
            parts.append(f"{choice.name} off")
        else:
            sign = "=" if c in layer.full else ">="
            parts.append(f"{choice.name}{sign}{choice.options[value]}")
    name = space.choices[layer.number].name
    return f"{name} | {', '.join(parts)}" if parts else name


def _too_large(space: SearchSpace, layer: _Layer, most: int) -> DataError:
    names = [space.choices[c].name for c in layer.full]
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return DataError(
        f"the chain would need more than {most:,} operations",
        where=f"choice {space.choices[layer.number].name}",
        expected="factors that couple few choices, or choices that stand near each other",
        got=f"{len(names)} choices that must be remembered together: {shown}",
        fix="drop a coupling, or move coupled choices next to each other",
    )
