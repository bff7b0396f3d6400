"""MACs and other totals of a supernet as exact sums of factors, found by tracing a few paths.

Each step of a path contributes to a total, and what it contributes depends on few choices: its
*scope*. Which ones is found by changing one choice at a time. Then the tables are filled; steps
with different scopes are read off the same trace, so that the number of traces is about the size
of the largest table, not the sum of all. A step of a block that is switched off contributes
nothing, which is what a factor of the block's own choices says: gates need no place in its scope.

Nothing here is taken on trust: random paths are traced and compared, a scope that proves too small
is widened, and what is not exact after that raises.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from tipsc.elastic.cost import CostModel
from tipsc.elastic.supernet import Supernet
from tipsc.errors import LoweringError
from tipsc.factors import Additive, Factor, Floats, Integers, option_numbers
from tipsc.paths import Path, SearchSpace

Part: TypeAlias = tuple[str, str]
"""(total, label of a step)."""

Scope: TypeAlias = tuple[str, ...]

Measure: TypeAlias = Callable[[Path], Mapping[Part, float]]
"""What each step of a path contributes to each total; what is missing contributes 0."""

TOTALS = (
    "macs",
    "dense_macs",
    "depthwise_macs",
    "parameters",
    "activation_values",
    "launches",
    "live_additions",
)
"""Of one example: MACs, of all but depthwise layers, of those; weights used; values written by all
steps; steps with MACs; additions of two feature maps (in a residual net, the live blocks)."""

CHECKS = 24  # paths drawn to compare, in each round
ROUNDS = 10
LARGEST_TABLE = 4096


def additive_totals(
    supernet: Supernet, *, generator: random.Random | None = None
) -> dict[str, Additive]:
    """Each of :data:`TOTALS` as a function of the path.

    Args:
        generator: draws the paths that are compared; default: the same ones each time.

    Raises:
        LoweringError: a path cannot be traced, or a total is no sum of small tables.
    """
    model = CostModel(supernet)

    def measure(path: Path) -> dict[Part, float]:
        return _step_totals(model, path)

    return additive_parts(supernet.space, measure, TOTALS, generator=generator)


def _step_totals(model: CostModel, path: Path) -> dict[Part, float]:
    parts: dict[Part, float] = {}
    for cost in model.by_step(path):
        step = cost.step
        depthwise = bool(step.module) and step.channelwise
        values = (
            cost.macs,
            0 if depthwise else cost.macs,
            cost.macs if depthwise else 0,
            cost.parameters,
            sum(math.prod(shape) for shape in step.parts or (step.shape,)),
            int(cost.macs > 0),
            int(step.operation in ("add", "iadd")),
        )
        for total, value in zip(TOTALS, values, strict=True):
            if value:
                parts[total, step.label] = value
    return parts


def additive_parts(
    space: SearchSpace,
    measure: Measure,
    totals: Iterable[str],
    *,
    generator: random.Random | None = None,
) -> dict[str, Additive]:
    """Totals of a path as sums of factors, from a function that traces one path.

    Args:
        measure: contributions of a path's steps to the totals.
        totals: their names.
        generator: draws the paths that are compared; default: the same ones each time.

    Raises:
        LoweringError: a step depends on too many choices, or the sums are still wrong after
            some rounds of widening.
    """
    generator = generator or random.Random(0)
    traces = _Traces(space, measure)
    traces.look_around(space.largest)
    traces.look_around(space.sample_options(generator))
    names = tuple(totals)
    for _ in range(ROUNDS):
        found = traces.sums(names)
        drawn = [space.sample_options(generator) for _ in range(CHECKS)]
        wrong = traces.first_wrong(found, [*drawn, space.smallest])
        if wrong is None:
            return found
        traces.widen()
    raise LoweringError(
        "the cost of a path is not the sum of small tables that tracing suggests",
        where=f"path {wrong}",
        expected="steps whose cost depends on few choices",
        fix="let each layer's size follow from a few choices",
    )


class _Traces:
    """What is known of the parts so far: all traces, and which choices change which part."""

    def __init__(self, space: SearchSpace, measure: Measure) -> None:
        self._space = space
        self._measure = measure
        self._seen: dict[Path, Mapping[Part, float]] = {}
        self._changes: dict[Part, set[str]] = {}

    def of(self, path: Path) -> Mapping[Part, float]:
        if path not in self._seen:
            self._seen[path] = self._measure(path)
        return self._seen[path]

    def look_around(self, path: Path) -> None:
        """Change one choice at a time from `path` on, and note which parts change."""
        here = self.of(path)
        for part in here:
            self._changes.setdefault(part, set())
        for choice in self._space.choices:
            for option in choice.options if self._is_on(choice.name, path) else ():
                self._compare(path, choice.name, option)

    def _compare(self, path: Path, name: str, option: int) -> Path:
        """Change one choice of `path` and note which parts change; the path that comes out."""
        other = self._space.path({**path.options, name: option})
        here, there = self.of(path), self.of(other)
        for part in here.keys() | there.keys():
            if here.get(part, 0) != there.get(part, 0):
                self._changes.setdefault(part, set()).add(name)
        return other

    def widen(self) -> None:
        """Where two paths agree on a part's scope but not on the part, find what else it needs.

        On the way from one to the other, one choice at a time, the part has to change somewhere.
        """
        for part in {part for parts in self._seen.values() for part in parts}:
            names = self._changes.setdefault(part, set())
            scope, shown = self._scope(part, names), dict[tuple[int, ...], Path]()
            for path, parts in list(self._seen.items()):
                first = shown.setdefault(tuple(path[name] for name in scope), path)
                if self._seen[first].get(part, 0) == parts.get(part, 0):
                    continue
                if any(self._is_on(n, first) != self._is_on(n, path) for n in scope):
                    continue  # a scope without its gates: 0 where a choice is inactive
                for name, option in path.items:
                    first = self._compare(first, name, option)
                break

    def first_wrong(self, found: Mapping[str, Additive], drawn: Sequence[Path]) -> Path | None:
        """One of the paths seen or `drawn` whose totals are not what the sums say."""
        for path in [*self._seen, *drawn]:
            truth: dict[str, float] = defaultdict(float)
            for (total, _), value in self.of(path).items():
                truth[total] += value
            for name, function in found.items():
                # Whole numbers are exact; the tolerance is for measures that are not.
                if not math.isclose(function.of(path), truth[name], rel_tol=1e-12, abs_tol=1e-9):
                    return path
        return None

    def sums(self, totals: Sequence[str]) -> dict[str, Additive]:
        """The sums of factors that the traces suggest; a few more paths are traced for them."""
        scopes = {part: self._scope(part, names) for part, names in self._changes.items()}
        self._fill(set(scopes.values()))
        constants: dict[str, float] = defaultdict(float)
        factors: dict[str, list[Factor]] = defaultdict(list)
        numbers = option_numbers(self._space, self._seen)
        paths = list(self._seen)
        rows = {scope: self._rows(scope, numbers) for scope in set(scopes.values())}
        for (total, label), scope in scopes.items():
            values = [self._seen[paths[row]].get((total, label), 0) for row in rows[scope]]
            shape = tuple(len(self._space[name].options) for name in scope)
            for inner, table in self._split(scope, np.array(values, np.float64).reshape(shape)):
                if not inner:
                    constants[total] += float(table)
                elif table.any():
                    factors[total].append(Factor(inner, table))
        return {
            name: Additive(self._space, constants[name], tuple(factors[name])) for name in totals
        }

    def _scope(self, part: Part, names: set[str]) -> Scope:
        """The choices that a part depends on, without their gates if those are implied.

        They are if the part is 0 wherever one of the choices is inactive, and depends on nothing
        else where all are active. Otherwise all gates stand in the scope.
        """
        gates = {gate for name in names for gate in self._gates(name)}
        scope = self._ordered(names - gates)
        values: dict[tuple[int, ...], float] = {}
        for path, parts in self._seen.items():
            value = parts.get(part, 0)
            if not all(self._is_on(name, path) for name in scope):
                implied = value == 0
            else:
                implied = values.setdefault(tuple(path[name] for name in scope), value) == value
            if not implied:
                return self._ordered(names | gates)
        return scope

    def _fill(self, scopes: set[Scope]) -> None:
        """Trace paths until each scope was seen with each combination of its options."""
        missing = [setting for scope in sorted(scopes) for setting in self._settings(scope)]
        while missing:
            options: dict[str, int] = {}
            waiting = []
            for setting in missing:
                if all(options.get(name, option) == option for name, option in setting.items()):
                    options |= setting
                else:
                    waiting.append(setting)
            self.of(self._space.path({**self._space.largest.options, **options}))
            missing = waiting

    def _settings(self, scope: Scope) -> Iterator[dict[str, int]]:
        """Each combination of the options, with the gates outside the scope open."""
        combinations = math.prod(len(self._space[name].options) for name in scope)
        if combinations > LARGEST_TABLE:
            raise LoweringError(
                "the cost of one step depends on too many choices",
                where=", ".join(scope),
                expected=f"at most {LARGEST_TABLE:,} combinations",
                got=f"{combinations:,}",
                fix="let its size follow from fewer choices",
            )
        gates = {gate: self._space[gate].largest for name in scope for gate in self._gates(name)}
        for options in itertools.product(*(self._space[name].options for name in scope)):
            yield gates | dict(zip(scope, options, strict=True))

    def _rows(self, scope: Scope, numbers: Integers) -> list[int]:
        """For each combination of the scope's options the number of a path that shows it."""
        places = {choice.name: at for at, choice in enumerate(self._space.choices)}
        columns = [places[name] for name in scope]
        shown = {tuple(row): at for at, row in enumerate(numbers[:, columns].tolist())}
        settings = [
            self._space.path({**self._space.largest.options, **setting})
            for setting in self._settings(scope)
        ]
        wanted = option_numbers(self._space, settings)[:, columns].tolist()
        return [shown[tuple(row)] for row in wanted]

    def _split(self, scope: Scope, table: Floats) -> Iterator[tuple[Scope, Floats]]:
        """Factors that sum to the table, also where choices of the scope are inactive.

        Where no choice gates another it is the table itself. Otherwise the anchored decomposition
        (Kuo, Sloan, Wasilkowski and Wozniakowski, 2010), with the smallest options as the anchor:
        each of its terms is 0 where one of its choices has its smallest option, which is what an
        inactive choice holds. So it does not matter that a factor counts active choices only.
        """
        if not any(gate in scope for name in scope for gate in self._gates(name)):
            yield scope, table
            return
        axes = range(len(scope))
        for size in range(len(scope) + 1):
            for inner in itertools.combinations(axes, size):
                term = table[tuple(slice(None) if a in inner else 0 for a in axes)]
                for axis in range(size):
                    term = term - term.take([0], axis=axis)
                yield tuple(scope[a] for a in inner), term

    def _is_on(self, name: str, path: Path) -> bool:
        return self._space.is_active(name, path.options)

    def _gates(self, name: str) -> Iterator[str]:
        gate = self._space[name].gate
        while gate is not None:
            yield gate
            gate = self._space[gate].gate

    def _ordered(self, names: set[str]) -> Scope:
        return tuple(choice.name for choice in self._space.choices if choice.name in names)
