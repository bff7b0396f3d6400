"""The graph of a supernet: feature maps are nodes, operations are edges.

It is built from traces. Tracing a supernet along one path gives its steps in topological order;
the union of the traces of several paths is the supernet's :class:`FeatureGraph`, and each path is
a subset of its edges (:class:`Supergraph`). That is the model of TIPS (ICML 2023, arXiv
2305.08021, section 3): subnetworks are made by removing operations from the supernet.
"""

from __future__ import annotations

import graphlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tipsc.errors import DataError

INPUT = "input"
OUTPUT = "output"


class Step(Protocol):
    """One executed operation of a path.

    A step may also carry, and the graph then tells narrow paths from wide ones:

    * ``channel_groups: int``: how many width groups of its output are active on this path. Group
      g of a feature map is a node of its own, there on all paths that are wide enough. A layer of
      width options 16, 24, 32 has one, two or three groups. Default 1.
    * ``channelwise: bool``: group g of the output reads only group g of its inputs (depthwise
      convolution, norm, activation, addition). Default False: it reads all of them.
    """

    @property
    def label(self) -> str:
        """The same in every path that runs the operation, unique among the steps of a path."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Labels of earlier steps, or ``"input"`` for the network's input.

        A step without inputs (a parameter that is added, say) is a feature map that no operation
        of the graph writes.
        """


@dataclass(frozen=True, eq=False)
class FeatureGraph:
    """A directed acyclic graph from the network's input to its output.

    Args:
        nodes: N names of feature maps, each once, in topological order. Group g > 0 of a feature
            map of elastic width is called ``label[g]``.
        tail: (E,) the node that each edge reads.
        head: (E,) the node that it writes; ``tail < head``.
        operations: E labels: the step an edge belongs to (an addition has two edges).
        input: index of the network's input.
        output: index of its output.

    Raises:
        DataError: sizes do not agree, or an edge does not lead forward.
    """

    nodes: tuple[str, ...]
    tail: NDArray[np.int64]
    head: NDArray[np.int64]
    operations: tuple[str, ...]
    input: int
    output: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        object.__setattr__(self, "operations", tuple(self.operations))
        for name in ("tail", "head"):
            object.__setattr__(self, name, _read_only(getattr(self, name), np.int64))
        count, edges = len(self.nodes), len(self.operations)
        if self.tail.shape != (edges,) or self.head.shape != (edges,):
            raise DataError(
                "the arrays of a graph do not fit",
                expected=f"tail and head of shape ({edges},), one entry for each operation",
                got=f"{self.tail.shape} and {self.head.shape}",
            )
        if len(self.index) != count:
            raise DataError("two feature maps have one name", fix="make the names unique")
        if edges and (self.tail.min() < 0 or self.head.max() >= count):
            raise DataError("an edge ends outside the graph", expected=f"0 <= node < {count}")
        if np.any(self.tail >= self.head):
            wrong = int(np.flatnonzero(self.tail >= self.head)[0])
            raise DataError(
                f"operation {self.operations[wrong]!r} does not lead forward",
                fix="list the feature maps in topological order",
            )
        if not (0 <= self.input < count and 0 <= self.output < count):
            raise DataError("input or output is not a node", expected=f"0 <= node < {count}")

    @cached_property
    def index(self) -> dict[str, int]:
        """Name of a feature map to its number."""
        return {name: number for number, name in enumerate(self.nodes)}


@dataclass(frozen=True, eq=False)
class Supergraph:
    """T subnetworks of one supernet.

    Args:
        graph: the supernet, with E edges and N nodes.
        active: (T, E), whether subnetwork k runs the operation of edge e.
    """

    graph: FeatureGraph
    active: NDArray[np.bool_]

    def __post_init__(self) -> None:
        object.__setattr__(self, "active", _read_only(self.active, np.bool_))
        edges = len(self.graph.operations)
        if self.active.ndim != 2 or self.active.shape[1] != edges or not self.active.any():
            raise DataError(
                "these are not subnetworks of the graph",
                expected=f"a boolean array (T, {edges}) with at least one active edge",
                got=f"shape {self.active.shape}, {int(self.active.sum())} active",
            )

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """(T, N), whether a feature map has an active operation in subnetwork k."""
        present = np.zeros((len(self.active), len(self.graph.nodes)), dtype=np.bool_)
        for row, edges in zip(present, self.active, strict=True):
            row[self.graph.tail[edges]] = True
            row[self.graph.head[edges]] = True
        return present


def feature_graph(steps: Sequence[Step]) -> FeatureGraph:
    """The graph of one traced path; see :func:`supergraph`."""
    return supergraph([steps]).graph


def supergraph(traces: Sequence[Sequence[Step]]) -> Supergraph:
    """The union of the traces of T paths, and which edges each path uses.

    The output is the last step. Where paths end in different steps (early exits), a feature map
    ``"output"`` behind all of them joins them.

    Raises:
        DataError: no steps, an input that no earlier step writes, a label used twice in a path,
            or labels that change their order between paths.
    """
    if not traces or not all(traces):
        raise DataError("there is no step to make a graph of", expected="at least one a path")
    ends = list(dict.fromkeys(trace[-1].label for trace in traces))
    paths = [list(_edges(trace)) for trace in traces]
    if len(ends) > 1:
        for path, trace in zip(paths, traces, strict=True):
            path.append((trace[-1].label, OUTPUT, OUTPUT))
    number = {edge: place for place, edge in enumerate(dict.fromkeys(e for p in paths for e in p))}

    readers: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for tail, head, _ in number:
        readers.add(head, tail)
    try:
        nodes = tuple(readers.static_order())
    except graphlib.CycleError as error:
        raise DataError(
            "feature maps depend on each other in a circle",
            got=" -> ".join(error.args[1][:6]),
            fix="give a step the same label in every path, and different steps different ones",
        ) from error
    place = {name: position for position, name in enumerate(nodes)}
    end = OUTPUT if len(ends) > 1 else ends[0]
    if INPUT not in place or end not in place:
        raise DataError(
            "no step reads the network's input, or none writes its output",
            expected=f"operations from {INPUT!r} to {end!r}",
        )
    active = np.zeros((len(paths), len(number)), dtype=np.bool_)
    for row, path in zip(active, paths, strict=True):
        row[[number[edge] for edge in path]] = True
    graph = FeatureGraph(
        nodes=nodes,
        tail=np.array([place[tail] for tail, _, _ in number]),
        head=np.array([place[head] for _, head, _ in number]),
        operations=tuple(operation for _, _, operation in number),
        input=place[INPUT],
        output=place[end],
    )
    return Supergraph(graph, active)


def feature_maps(steps: Sequence[Step]) -> tuple[str, ...]:
    """Names of the nodes of one traced path: the input, then the outputs of its steps."""
    return (INPUT, *(name for s in steps for name in _groups(s.label, _channel_groups(s))))


def _channel_groups(step: Step) -> int:
    return int(getattr(step, "channel_groups", 1))


def _groups(label: str, count: int) -> list[str]:
    # Group 0 carries the plain label, so that a path that never widens looks the same.
    return [label if group == 0 else f"{label}[{group}]" for group in range(count)]


def _edges(steps: Sequence[Step]) -> Iterator[tuple[str, str, str]]:
    """(tail, head, operation) of one trace."""
    written = {INPUT: 1}
    for step in steps:
        groups = _channel_groups(step)
        if step.label in written or step.label == OUTPUT or groups < 1:
            raise DataError(
                f"step {step.label!r} is not usable",
                expected="a label of its own and at least one channel group",
            )
        for source in dict.fromkeys(_known(label) for label in step.inputs):
            if source not in written:
                raise DataError(
                    f"step {step.label!r} reads {source!r}, which no earlier step writes",
                    fix="list the steps in the order in which they run",
                )
            tails = _groups(source, written[source])
            for group, head in enumerate(_groups(step.label, groups)):
                if getattr(step, "channelwise", False):
                    yield tails[min(group, len(tails) - 1)], head, step.label
                else:
                    yield from ((tail, head, step.label) for tail in tails)
        written[step.label] = groups


def _known(label: str) -> str:
    """Several inputs are one feature map."""
    return INPUT if label.startswith(f"{INPUT}:") else label


def _read_only(array: Any, dtype: Any) -> NDArray[Any]:
    copy = np.array(array, dtype=dtype)
    copy.setflags(write=False)
    return copy
