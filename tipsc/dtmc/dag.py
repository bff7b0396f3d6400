"""Sums and maxima over all walks of a directed acyclic graph, level by level.

The number of walks is exponential; each function here is one sweep in O(edges). All nodes of a
level are done at once by numpy, so a sweep's time is the number of edges plus a few microseconds
for each level.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tipsc.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class _Group(NamedTuple):
    """The edges of one level in the order of a sweep, and where each of its nodes begins."""

    edges: slice
    nodes: Integers
    starts: Integers
    counts: Integers


class _Sweep(NamedTuple):
    order: Integers
    groups: tuple[_Group, ...]


@dataclass(frozen=True, eq=False)
class Dag:
    """A graph from its first node, the input, to its last, the output. Parallel edges are allowed.

    Args:
        nodes: N, at least 2; numbered in topological order.
        tail, head: (E,) the nodes that each edge joins, ``tail < head``.

    Raises:
        DataError: an edge does not lead forward, or a node leads nowhere.
    """

    nodes: int
    tail: Integers
    head: Integers

    def __post_init__(self) -> None:
        for name in ("tail", "head"):
            array = np.array(getattr(self, name), dtype=np.int64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if self.tail.ndim != 1 or self.tail.shape != self.head.shape or self.nodes < 2:
            raise DataError(
                "these arrays are no graph",
                expected="at least 2 nodes, and tail and head of one shape (E,)",
                got=f"{self.nodes} nodes, {self.tail.shape} and {self.head.shape}",
            )
        wrong = (self.tail < 0) | (self.tail >= self.head) | (self.head >= self.nodes)
        if wrong.any():
            edge = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"edge {edge} does not lead forward",
                expected=f"0 <= tail < head < {self.nodes}",
                got=f"{self.tail[edge]} -> {self.head[edge]}",
                fix="number the nodes in topological order",
            )
        dead = np.bincount(self.tail, minlength=self.nodes)[:-1] == 0
        if dead.any():
            raise DataError(
                f"no edge leaves node {int(np.flatnonzero(dead)[0])}",
                expected="every node but the last leads to the output",
                fix="remove dead ends",
            )

    @property
    def input(self) -> int:
        return 0

    @property
    def output(self) -> int:
        return self.nodes - 1

    @cached_property
    def walks(self) -> int:
        """How many walks lead from the input to the output, exactly."""
        count = [0] * self.nodes
        count[-1] = 1
        order = np.argsort(-self.tail, kind="stable")
        for tail, head in zip(self.tail[order].tolist(), self.head[order].tolist(), strict=True):
            count[tail] += count[head]
        return count[0]

    @cached_property
    def level(self) -> Integers:
        """(N,) the most edges from each node to the output."""
        level = [0] * self.nodes
        order = np.argsort(-self.tail, kind="stable")
        for tail, head in zip(self.tail[order].tolist(), self.head[order].tolist(), strict=True):
            if level[head] >= level[tail]:
                level[tail] = level[head] + 1
        return np.array(level, dtype=np.int64)

    @cached_property
    def _backward(self) -> _Sweep:
        """Edges by their tail, from the output to the input."""
        return _sweep(self.tail, self.level[self.tail])

    @cached_property
    def _forward(self) -> _Sweep:
        """Edges by their head, from the input to the output."""
        return _sweep(self.head, -self.level[self.head])

    @cached_property
    def _backward_head(self) -> Integers:
        return self.head[self._backward.order]

    @cached_property
    def _forward_tail(self) -> Integers:
        return self.tail[self._forward.order]

    def log_sums(self, log_weight: Floats) -> tuple[Floats, Floats]:
        """(N,) log Z and (E,) transition probabilities.

        Z(output) = 1 and Z(v) = sum of weight(e) Z(head(e)) over the edges that leave v; an edge
        is taken with probability weight(e) Z(head(e)) / Z(v). No weight under- or overflows: each
        node is summed relative to its largest term.

        Args:
            log_weight: (E,) finite or -inf; each node has an edge that is finite.
        """
        order, head = self._backward.order, self._backward_head
        weight = log_weight[order]
        log_z, probability = np.zeros(self.nodes), np.empty(len(order))
        for edges, nodes, starts, counts in self._backward.groups:
            term = weight[edges] + log_z[head[edges]]
            top = np.maximum.reduceat(term, starts)
            term = np.exp(term - np.repeat(top, counts))
            total = np.add.reduceat(term, starts)
            log_z[nodes] = top + np.log(total)
            probability[edges] = term / np.repeat(total, counts)
        return log_z, _unsorted(probability, order)

    def best(self, value: Floats) -> Floats:
        """(N,) the highest sum of values over the walks from each node to the output."""
        order, head = self._backward.order, self._backward_head
        sorted_value = value[order]
        best = np.zeros(self.nodes)
        for edges, nodes, starts, _ in self._backward.groups:
            best[nodes] = np.maximum.reduceat(sorted_value[edges] + best[head[edges]], starts)
        return best

    def to_go(self, probability: Floats, value: Floats) -> Floats:
        """(N,) the expected sum of values from each node to the output."""
        order, head = self._backward.order, self._backward_head
        chance, term = probability[order], (probability * value)[order]
        mean = np.zeros(self.nodes)
        for edges, nodes, starts, _ in self._backward.groups:
            mean[nodes] = np.add.reduceat(term[edges] + chance[edges] * mean[head[edges]], starts)
        return mean

    def flow(self, probability: Floats, source: Floats) -> Floats:
        """(N,) what arrives at each node if `source` (N,) enters there and follows the chain.

        A unit at the input gives the probability that a walk visits each node.
        """
        order, tail = self._forward.order, self._forward_tail
        chance = probability[order]
        amount = np.array(source, dtype=np.float64)
        for edges, nodes, starts, _ in self._forward.groups:
            amount[nodes] += np.add.reduceat(chance[edges] * amount[tail[edges]], starts)
        return amount

    def edge_array(self, name: str, values: ArrayLike) -> Floats:
        """`values` as a read-only (E,) array of finite numbers.

        Raises:
            DataError: of another shape, or not finite.
        """
        array = np.array(values, dtype=np.float64)
        if array.shape != self.tail.shape or not np.isfinite(array).all():
            raise DataError(
                f"the {name} of the edges is not usable",
                expected=f"{len(self.tail)} finite numbers",
                got=f"shape {array.shape}"
                + ("" if np.isfinite(array).all() else " with values that are not finite"),
            )
        array.setflags(write=False)
        return array


def _sweep(node: Integers, rank: Integers) -> _Sweep:
    """Edges sorted by `rank`, then by `node`, and cut where either changes."""
    order = np.lexsort((node, rank))
    node, rank = node[order], rank[order]
    first = np.flatnonzero(np.diff(node, prepend=-1) | np.diff(rank, prepend=rank[0] - 1))
    ends = np.append(first[1:], len(node))
    of_level = np.flatnonzero(np.diff(rank[first], prepend=rank[0] - 1))
    groups = []
    for low, high in zip(of_level, np.append(of_level[1:], len(first)), strict=True):
        begin, end = int(first[low]), int(ends[high - 1])
        starts = first[low:high]
        groups.append(
            _Group(slice(begin, end), node[starts], starts - begin, ends[low:high] - starts)
        )
    return _Sweep(order, tuple(groups))


def _unsorted(values: Floats, order: Integers) -> Floats:
    result = np.empty_like(values)
    result[order] = values
    return result
