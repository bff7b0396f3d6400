"""Residual branches that can be left out, and stages of repeated ones.

A *unit* is what lies between a point of the residual stream and the next: the branch, the addition,
and an activation or norm after it. Leaving it out hands the stream on as it is. Units that follow
each other and repeat are a stage; a path leaves out units from its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import fx

from tipsc.convert.names import cleaned
from tipsc.convert.ops import Role, op_of
from tipsc.convert.program import Program, hint, name_of, scope_of

_GOING_ON = (Role.NORM, Role.DROPOUT, Role.ELEMENTWISE, Role.ADDITION)
_LONGEST_PERIOD = 4
_FEW = 3


@dataclass(frozen=True)
class Unit:
    """A part of the graph with one input, one output of the same shape, that can be left out."""

    entry: fx.Node
    exit: fx.Node
    nodes: frozenset[fx.Node]


@dataclass(frozen=True)
class Stage:
    """Blocks in a row, the last of which can be left out; a block is one or a few units.

    Attributes:
        name: of its choice.
        kept: options: how many blocks a path computes, smallest first.
    """

    name: str
    blocks: tuple[Unit, ...]
    kept: tuple[int, ...]

    @property
    def end(self) -> str:
        """The module at whose end it ends."""
        stays = self.kept == (len(self.blocks),)
        return scope_of(self.blocks[-1].exit) if stays else scope(self.blocks[-1:])


def residual_additions(program: Program) -> dict[fx.Node, tuple[fx.Node, frozenset[fx.Node]]]:
    """For each addition that closes a skip: where the skip begins, and the nodes of the branch."""
    nodes = program.nodes()
    number = {node: i for i, node in enumerate(nodes)}
    ancestors: dict[fx.Node, int] = {}
    for node in nodes:
        mask = 0
        for source in node.all_input_nodes:
            mask |= ancestors.get(source, 0)
            if source in number:
                mask |= 1 << number[source]
            elif source in program.inputs:
                mask |= 1 << len(nodes) + program.inputs.index(source)
        ancestors[node] = mask
    place = number | {node: len(nodes) + i for i, node in enumerate(program.inputs)}
    found = {}
    for node in nodes:
        if op_of(node).role is not Role.ADDITION or len(node.args) < 2:
            continue
        first, second = node.args[:2]
        for skip, branch in ((first, second), (second, first)):
            if not (isinstance(skip, fx.Node) and isinstance(branch, fx.Node)):
                continue
            if skip not in place or branch not in ancestors or _shape(skip) != _shape(node):
                continue  # a mask, a bias: what has fewer axes is no stream that is handed on
            if not ancestors[branch] >> place[skip] & 1:
                continue
            inner = _exclusive(program, node, branch, skip)
            between = {n for n in nodes if ancestors[branch] >> number[n] & 1} | {branch}
            between = {n for n in between if _depends(ancestors, place, n, skip)}
            if any(_has_weights(program, n) for n in between):
                found[node] = (skip, frozenset(inner))
    return found


def _depends(
    ancestors: dict[fx.Node, int], place: dict[fx.Node, int], node: fx.Node, on: fx.Node
) -> bool:
    return bool(ancestors[node] >> place[on] & 1)


def _has_weights(program: Program, node: fx.Node) -> bool:
    """A scale for each channel is none, however many axes of one it has."""
    return any(
        source in program.tensors and sum(hint(size) > 1 for size in source.meta["val"].shape) > 1
        for source in node.all_input_nodes
    )


def _exclusive(program: Program, addition: fx.Node, branch: fx.Node, skip: fx.Node) -> set[fx.Node]:
    """What is computed for this branch only."""
    inside = {addition}
    for node in _backwards(branch, skip):
        if node.op != "call_function" or node in program.outputs:
            continue
        if all(user in inside for user in node.users):
            inside.add(node)
    return inside


def _backwards(branch: fx.Node, skip: fx.Node) -> list[fx.Node]:
    """Ancestors of `branch` up to `skip`, later ones first."""
    found, stack = {branch}, [branch]
    while stack:
        for source in stack.pop().all_input_nodes:
            if source is not skip and source not in found:
                found.add(source)
                stack.append(source)
    order = {node: i for i, node in enumerate(branch.graph.nodes)}
    return sorted(found, key=lambda n: -order[n])


def find_stages(
    program: Program, additions: dict[fx.Node, tuple[fx.Node, frozenset[fx.Node]]]
) -> list[Stage]:
    """The stages of a program, in order."""
    units = _units(program, additions)
    stages: list[tuple[Unit, ...]] = []
    for chain in _chains(units):
        signatures = [_signature(program, unit) for unit in chain]
        at = 0
        while at < len(chain):
            period, repeats = _best_period(signatures[at:])
            blocks = tuple(
                _joined(chain[at + r * period : at + (r + 1) * period]) for r in range(repeats)
            )
            stages.append(blocks)
            at += period * repeats
    return named(stages)


def named(stages: Sequence[tuple[Unit, ...]]) -> list[Stage]:
    """Stages of these blocks, with names of their own."""
    names: set[str] = set()
    return [
        Stage(
            _unique(cleaned(f"{scope(blocks)}.depth".lstrip(".")), names),
            blocks,
            _kept(len(blocks)),
        )
        for blocks in stages
    ]


def _units(
    program: Program, additions: dict[fx.Node, tuple[fx.Node, frozenset[fx.Node]]]
) -> list[Unit]:
    entries = {skip for skip, _ in additions.values()}
    units: list[Unit] = []
    trailing: list[str] = []
    for addition, (skip, nodes) in additions.items():
        others = set(additions) - {addition}
        if skip in program.inputs or nodes & others or len(nodes) < 2:
            continue
        if _shape(skip) != _shape(addition):
            continue
        after = _trailing(program, addition, entries)
        if after and after[-1] not in entries and trailing != [name_of(n) for n in after]:
            after = []
        trailing = [name_of(n) for n in after]
        last = after[-1] if after else addition
        units.append(Unit(skip, last, nodes | set(after)))
    return units


def _trailing(program: Program, addition: fx.Node, entries: set[fx.Node]) -> list[fx.Node]:
    """Activations and norms between the addition and the next point of the stream."""
    found: list[fx.Node] = []
    node = addition
    while node not in entries and len(node.users) == 1 and node not in program.outputs:
        (following,) = node.users
        data = [n for n in following.all_input_nodes if n not in program.tensors]
        if data != [node] or not goes_on(following):
            break
        if _shape(following) != _shape(node):
            break
        found.append(following)
        node = following
    return found


def goes_on(node: fx.Node) -> bool:
    """Whether an operation belongs to the layer before it: a norm, an activation."""
    return op_of(node).role in _GOING_ON


def _chains(units: Sequence[Unit]) -> list[list[Unit]]:
    chains: list[list[Unit]] = []
    for unit in units:
        chain = next((c for c in chains if c[-1].exit is unit.entry), None)
        if chain is None:
            chains.append([unit])
        else:
            chain.append(unit)
    return chains


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(hint(size) for size in node.meta["val"].shape)


def _signature(program: Program, unit: Unit) -> tuple[object, ...]:
    shapes = sorted(
        tuple(source.meta["val"].shape)
        for node in unit.nodes
        for source in node.all_input_nodes
        if program.tensors.get(source)
    )
    return (_shape(unit.entry), tuple(shapes))


def _best_period(signatures: Sequence[object]) -> tuple[int, int]:
    """Period and repeats of the longest repetition at the front; (1, 1) if nothing repeats."""
    best = (1, 1)
    for period in range(1, _LONGEST_PERIOD + 1):
        repeats = 1
        while list(signatures[repeats * period : (repeats + 1) * period]) == list(
            signatures[:period]
        ):
            repeats += 1
        if repeats > 1 and period * repeats > best[0] * best[1]:
            best = (period, repeats)
    return best


def _joined(units: Sequence[Unit]) -> Unit:
    return Unit(units[0].entry, units[-1].exit, frozenset().union(*(unit.nodes for unit in units)))


def _kept(blocks: int) -> tuple[int, ...]:
    if blocks <= _FEW:
        return tuple(range(blocks + 1))
    return tuple(sorted({max(1, round(blocks * quarter / 4)) for quarter in (1, 2, 3, 4)}))


def scope(blocks: Sequence[Unit]) -> str:
    """The module that holds these blocks: what the names of their operations have in common."""
    scopes = [scope_of(node).split(".") for block in blocks for node in block.nodes]
    common: list[str] = []
    for parts in zip(*scopes, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return ".".join(common)


def _unique(name: str, taken: set[str]) -> str:
    candidate, count = name, 2
    while candidate in taken:
        candidate, count = f"{name}{count}", count + 1
    taken.add(candidate)
    return candidate
