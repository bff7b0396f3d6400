"""The most valuable walk of a graph, and the k best, exactly."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import ArrayLike

from tipsc.dtmc.dag import Dag, Floats
from tipsc.errors import DataError


def best_walk(dag: Dag, value: ArrayLike) -> tuple[float, tuple[int, ...]]:
    """The walk with the highest sum of edge values, and that sum (Viterbi, 1967)."""
    return best_walks(dag, value, 1)[0]


def best_walks(dag: Dag, value: ArrayLike, k: int) -> list[tuple[float, tuple[int, ...]]]:
    """The `k` distinct walks with the highest sums of edge values, best first; or all there are.

    The recursive enumeration algorithm (Jimenez and Marzal, 1999): a node's next best way to the
    output is found only when a better one asks for it, so that after one sweep over the edges each
    further walk costs O(length * log k), and a heap of the out-edges for each new node it passes.

    Args:
        value: (E,) finite.
        k: at least 1.

    Returns:
        (sum, edges from input to output) of each walk.
    """
    if k < 1:
        raise DataError("cannot give so few walks", expected="at least 1", got=k)
    return list(islice(ordered_walks(dag, value), k))


def ordered_walks(dag: Dag, value: ArrayLike) -> Iterator[tuple[float, tuple[int, ...]]]:
    """All walks, best first, each found when it is asked for; see :func:`best_walks`."""
    values = dag.edge_array("value", value)
    search = _Enumeration(dag, values, dag.best(values))
    rank = 0
    while search.has(dag.input, rank):
        yield search.walk(rank)
        rank += 1


class _Enumeration:
    """For each node passed so far, its best ways to the output that are already known."""

    def __init__(self, dag: Dag, value: Floats, best: Floats) -> None:
        self._dag = dag
        self._value = value
        self._best = best
        self._by_tail = np.argsort(dag.tail, kind="stable")
        self._begin = np.searchsorted(dag.tail[self._by_tail], np.arange(dag.nodes + 1))
        # A way: (its value, its first edge, the rank of the rest among the ways of the head).
        self._ways: dict[int, list[tuple[float, int, int]]] = {dag.output: [(0.0, -1, -1)]}
        self._heaps: dict[int, list[tuple[float, int, int]]] = {dag.output: []}

    def has(self, node: int, rank: int) -> bool:
        """Whether `node` has a way of this rank, at most one beyond those known; finds it."""
        self._open(node)
        if rank < len(self._ways[node]):
            return True
        # A node's next way may be the successor of its last one, which needs the next way of
        # that one's head, and so on down the graph: go down first, then settle on the way up.
        waiting = [node]
        while True:
            head, wanted = self._after_last(waiting[-1])
            self._open(head)
            if wanted < len(self._ways[head]) or head == self._dag.output:
                break
            waiting.append(head)
        for current in reversed(waiting):
            self._settle(current)
        return rank < len(self._ways[node])

    def walk(self, rank: int) -> tuple[float, tuple[int, ...]]:
        """The sum and the edges of the input's way of this rank, which is known."""
        node, edges = self._dag.input, []
        total = self._ways[node][rank][0]
        while node != self._dag.output:
            self._open(node)  # a way of rank 0 is taken without a look at its nodes
            _, edge, rank = self._ways[node][rank]
            edges.append(edge)
            node = int(self._dag.head[edge])
        return total, tuple(edges)

    def _after_last(self, node: int) -> tuple[int, int]:
        """What the successor of the node's last known way needs: a head, and a rank there."""
        _, edge, rank = self._ways[node][-1]
        return int(self._dag.head[edge]), rank + 1

    def _open(self, node: int) -> None:
        if node in self._ways:
            return
        edges = self._by_tail[self._begin[node] : self._begin[node + 1]]
        sums = self._value[edges] + self._best[self._dag.head[edges]]
        heap = [(-s, e, 0) for s, e in zip(sums.tolist(), edges.tolist(), strict=True)]
        heapq.heapify(heap)
        self._heaps[node], self._ways[node] = heap, []
        self._pop(node)

    def _settle(self, node: int) -> None:
        head, wanted = self._after_last(node)
        ways = self._ways[head]
        if wanted < len(ways):
            edge = self._ways[node][-1][1]
            total = float(self._value[edge]) + ways[wanted][0]
            heapq.heappush(self._heaps[node], (-total, edge, wanted))
        self._pop(node)

    def _pop(self, node: int) -> None:
        if self._heaps[node]:
            negative, edge, rank = heapq.heappop(self._heaps[node])
            self._ways[node].append((-negative, edge, rank))
