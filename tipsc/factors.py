"""Functions of a path that are sums of small tables: costs in ms or MACs, and utilities.

A :class:`Factor` is a table over the options of one or a few choices. It counts only on paths on
which all of its choices are active. One choice: what an option costs by itself. Several: choices
whose costs depend on each other, such as a width and the kernel that runs over it, the widths of
two blocks that follow each other, or the input resolution and everything else.

An :class:`Additive` is a constant plus a sum of factors. It is what the cost-folded chain carries
exactly, and the form in which a latency predictor or a count of MACs reaches the chain.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tipsc.errors import DataError
from tipsc.paths import Path, SearchSpace

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_Lookup = tuple[tuple[tuple[str, int], ...], tuple[str, ...], dict[tuple[int, ...], float]]

INACTIVE = -1
"""Stands in option numbers for a choice that has no effect on the path."""


@dataclass(frozen=True, eq=False)
class Factor:
    """A table over the options of some choices, counted where all of them are active.

    Args:
        choices: names of distinct choices, at least one.
        table: one axis for each of them, in the order of its options; finite; kept read-only.
    """

    choices: tuple[str, ...]
    table: Floats

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))
        table = np.array(self.table, dtype=np.float64)
        table.setflags(write=False)
        object.__setattr__(self, "table", table)
        where = f"factor of {', '.join(self.choices) or 'no choice'}"
        if not self.choices or len(set(self.choices)) < len(self.choices):
            raise DataError(
                "the choices of a factor must be distinct, and at least one",
                where=where,
                fix="put what depends on no choice into the constant",
            )
        if table.ndim != len(self.choices):
            raise DataError(
                "a factor's table has one axis for each choice",
                where=where,
                expected=f"{len(self.choices)} axes",
                got=f"shape {table.shape}",
            )
        if not np.isfinite(table).all():
            raise DataError("a factor's table must be finite", where=where)


@dataclass(frozen=True, eq=False)
class Additive:
    """``constant + sum of the factors that are active``, for each path of a space.

    Factors over the same choices are merged, and stand in the space's order.

    Raises:
        DataError: a factor does not fit the space.
    """

    space: SearchSpace
    constant: float = 0.0
    factors: tuple[Factor, ...] = ()

    def __post_init__(self) -> None:
        if not math.isfinite(self.constant):
            raise DataError("the constant of a sum must be finite", got=self.constant)
        merged: dict[tuple[str, ...], Floats] = {}
        for factor in self.factors:
            placed = self._placed(factor)
            before = merged.get(placed.choices)
            merged[placed.choices] = placed.table if before is None else before + placed.table
        numbers = self._numbers
        ordered = sorted(merged, key=lambda scope: [numbers[name] for name in scope])
        object.__setattr__(self, "constant", float(self.constant))
        object.__setattr__(self, "factors", tuple(Factor(s, merged[s]) for s in ordered))

    def _placed(self, factor: Factor) -> Factor:
        """The factor with its axes in the order of the space's choices, checked."""
        shape = tuple(len(self.space[name].options) for name in factor.choices)
        if factor.table.shape != shape:
            raise DataError(
                "a factor's table does not fit its choices",
                where=f"factor of {', '.join(factor.choices)}",
                expected=f"shape {shape}, the numbers of their options",
                got=f"shape {factor.table.shape}",
            )
        order = sorted(range(len(shape)), key=lambda axis: self._numbers[factor.choices[axis]])
        names = tuple(factor.choices[axis] for axis in order)
        return Factor(names, factor.table.transpose(order))

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {choice.name: number for number, choice in enumerate(self.space.choices)}

    @property
    def scopes(self) -> tuple[tuple[str, ...], ...]:
        """The choices of each factor."""
        return tuple(factor.choices for factor in self.factors)

    def of(self, path: Path) -> float:
        """The value for one path; some microseconds, because training asks in every step."""
        if len(path.items) != len(self.space.choices) or not self._items.issuperset(path.items):
            return float(self.of_many([path])[0])  # says what is wrong with the path
        options, total = path.options, self.constant
        for gates, names, values in self._lookup:
            if all(options[gate] >= least for gate, least in gates):
                total += values[tuple([options[name] for name in names])]
        return total

    @cached_property
    def _items(self) -> frozenset[tuple[str, int]]:
        return frozenset((c.name, option) for c in self.space.choices for option in c.options)

    @cached_property
    def _lookup(self) -> list[_Lookup]:
        """Of each factor what must hold for it to count, its choices, and options to value."""
        rows: list[_Lookup] = []
        for factor in self.factors:
            gates: dict[str, int] = {}
            waiting = [self.space[name] for name in factor.choices]
            while waiting:
                choice = waiting.pop()
                if choice.gate is not None:
                    least = gates.get(choice.gate, choice.gate_from)
                    gates[choice.gate] = max(choice.gate_from, least)
                    waiting.append(self.space[choice.gate])
            options = itertools.product(*(self.space[name].options for name in factor.choices))
            values = dict(zip(options, factor.table.ravel().tolist(), strict=True))
            rows.append((tuple(gates.items()), factor.choices, values))
        return rows

    def of_many(self, paths: Sequence[Path]) -> Floats:
        """(n,) the values for many paths."""
        return self.of_numbers(option_numbers(self.space, paths))

    def of_numbers(self, numbers: Integers) -> Floats:
        """(n,) the values for paths given as (n, choices) :func:`option_numbers`."""
        total = np.full(len(numbers), self.constant)
        for factor in self.factors:
            columns = numbers[:, [self._numbers[name] for name in factor.choices]]
            on = (columns != INACTIVE).all(axis=1)
            total[on] += factor.table[tuple(columns[on].T)]
        return total

    def __add__(self, other: Additive | float) -> Additive:
        if not isinstance(other, Additive):
            return Additive(self.space, self.constant + other, self.factors)
        if other.space != self.space:
            raise DataError("cannot add functions of two different search spaces")
        constant = self.constant + other.constant
        return Additive(self.space, constant, (*self.factors, *other.factors))

    __radd__ = __add__

    def __mul__(self, scale: float) -> Additive:
        factors = tuple(Factor(f.choices, f.table * float(scale)) for f in self.factors)
        return Additive(self.space, self.constant * float(scale), factors)

    __rmul__ = __mul__

    def __neg__(self) -> Additive:
        return self * -1.0

    def __sub__(self, other: Additive | float) -> Additive:
        return self + (-1.0) * other


def option_numbers(space: SearchSpace, paths: Iterable[Path]) -> Integers:
    """(n, choices) the place of each path's option in its choice, -1 where it is inactive."""
    places = [{option: at for at, option in enumerate(c.options)} for c in space.choices]
    number = {choice.name: at for at, choice in enumerate(space.choices)}
    gates = [None if c.gate is None else number[c.gate] for c in space.choices]
    rows = []
    for path in paths:
        if len(path.items) != len(places):
            raise DataError(
                f"path {path.id} is not of this search space",
                expected=f"{len(places)} choices",
                got=len(path.items),
            )
        row: list[int] = []
        for choice, gate, place, (name, option) in zip(
            space.choices, gates, places, path.items, strict=True
        ):
            if name != choice.name or option not in place:
                raise DataError(
                    f"path {path.id} is not of this search space", got=f"{name}={option}"
                )
            # A gate stands before what it gates, so its own activity is known here.
            on = gate is None or (row[gate] != INACTIVE and path.items[gate][1] >= choice.gate_from)
            row.append(place[option] if on else INACTIVE)
        rows.append(row)
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(places))


def unary(space: SearchSpace, effects: Mapping[str, ArrayLike]) -> Additive:
    """The sum of one effect for each option of each active choice named."""
    factors = (Factor((n,), np.asarray(v, dtype=np.float64)) for n, v in effects.items())
    return Additive(space, 0.0, tuple(factors))


def linear_cost(
    space: SearchSpace,
    *,
    constant: float,
    totals: Sequence[Additive] = (),
    weights: Sequence[float] = (),
    effects: Mapping[tuple[str, int], float] | None = None,
) -> Additive:
    """A linear model of a path as one :class:`Additive`: how a fitted latency reaches the chain.

    It is ``constant + sum_i weights[i] * totals[i](path) + sum_j effects[j, path[j]]``. The
    effects are those of one-hot regression on ``Path.values``: an *inactive* choice counts there
    with its smallest option, and therefore does so here.

    Args:
        constant: what every path costs.
        totals: whole-path features, such as MACs, parameters or launches.
        weights: one for each total, not standardised.
        effects: for (choice, option); 0 where missing.

    Raises:
        DataError: weights do not match the totals, or an effect is of no option of the space.
    """
    if len(weights) != len(totals):
        raise DataError("weights do not match the totals", expected=len(totals), got=len(weights))
    tables = {c.name: np.zeros(len(c.options)) for c in space.choices}
    for (name, option), effect in (effects or {}).items():
        choice = space[name]
        if option not in choice.options:
            raise DataError(
                f"choice {name} has no option {option}", expected=f"one of {list(choice.options)}"
            )
        tables[name][choice.options.index(option)] = effect
    for name, table in tables.items():
        if space[name].gate is not None:
            constant += table[0]
            tables[name] = table - table[0]
    used = {name: table for name, table in tables.items() if table.any()}
    result = unary(space, used) + float(constant)
    for total, weight in zip(totals, weights, strict=True):
        result = result + total * float(weight)
    return result
