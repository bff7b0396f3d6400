"""Where graphs say that their weights are in the store, and graphs with other parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onnx import GraphProto, NodeProto, TensorProto

from tipsc.engine.external import External, external_data, rewrite_external
from tipsc.engine.format import WEIGHTS_LOCATION
from tipsc.lower.weights import ALIGNMENT, Stored


@dataclass(frozen=True)
class PathBytes:
    """Weight bytes of a path: used together with other paths, and its alone."""

    shared: int
    private: int


def runs(places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges of bytes that are covered without a gap inside."""
    found: list[list[int]] = []
    for offset, length in sorted(places):
        if found and offset < found[-1][1]:
            found[-1][1] = max(found[-1][1], offset + length)
        else:
            found.append([offset, offset + length])
    return [(begin, end) for begin, end in found]


def place_of(tensor: TensorProto) -> tuple[int, int]:
    """Offset and length of an external tensor."""
    facts = {entry.key: entry.value for entry in tensor.external_data}
    return int(facts["offset"]), int(facts["length"])


def external_tensor(name: str, kind: int, shape: Sequence[int], place: Stored) -> TensorProto:
    """A constant of an ONNX element type whose bytes are in the store."""
    tensor = TensorProto(name=name, dims=shape, data_location=TensorProto.EXTERNAL, data_type=kind)
    facts = {"location": WEIGHTS_LOCATION, "offset": place.offset, "length": place.length}
    for key, value in facts.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def compacted(weights: bytes, graphs: Mapping[str, bytes]) -> tuple[bytes, dict[str, bytes]]:
    """The store without what no graph refers to, and the graphs that refer to that one."""
    places = {(d.offset, d.length) for graph in graphs.values() for d in external_data(graph)}
    store = bytearray()
    moved: dict[tuple[int, int], External] = {}
    for begin, end in runs(places):
        store += bytes(-len(store) % ALIGNMENT)
        start = len(store)
        store += weights[begin:end]
        for offset, length in places:
            if begin <= offset < end:
                moved[offset, length] = External(WEIGHTS_LOCATION, start + offset - begin, length)
    return bytes(store), {
        path: rewrite_external(graph, lambda place: moved[place.offset, place.length])
        for path, graph in graphs.items()
    }


def sizes_of(graphs: Mapping[str, bytes]) -> dict[str, PathBytes]:
    """Weight bytes of each path."""
    places = {path: {(d.offset, d.length) for d in external_data(g)} for path, g in graphs.items()}
    readers = Counter(offset for of in places.values() for offset in {o for o, _ in of})
    return {
        path: PathBytes(
            sum(length for offset, length in of if readers[offset] > 1),
            sum(length for offset, length in of if readers[offset] == 1),
        )
        for path, of in places.items()
    }


def replace_nodes(
    graph: GraphProto, nodes: Sequence[NodeProto], tensors: Mapping[str, TensorProto]
) -> None:
    """Other nodes and constants for a graph, without those that nothing reads any more."""
    read = {value.name for value in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if read & set(node.output):
            kept.insert(0, node)
            read |= set(node.input)
    # Copies: what is in a graph goes with it.
    nodes = [NodeProto.FromString(node.SerializeToString()) for node in kept]
    used = [t for name, t in tensors.items() if name in read]
    constants = [TensorProto.FromString(t.SerializeToString()) for t in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
