"""From a supernet to portable graphs of some of its paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

from tipsc.elastic.looking import at_rest
from tipsc.elastic.statistics import Statistics
from tipsc.elastic.supernet import Supernet
from tipsc.elastic.trace import input_labels
from tipsc.engine import Manifest, write_engine
from tipsc.errors import LoweringError
from tipsc.lower.places import PathBytes
from tipsc.lower.plan import Planner
from tipsc.lower.surgery import build_graph
from tipsc.lower.template import export_templates
from tipsc.lower.weights import WeightStore
from tipsc.paths import Path
from tipsc.signature import Signature


@dataclass(frozen=True)
class Lowered:
    """Portable graphs of paths over one weight store.

    Attributes:
        weights: the store.
        graphs: by path id; a serialised ONNX ModelProto each.
        sizes: by path id.
        signature: what each graph takes and gives, in a batch of one.
        remark: what should be known of the graphs; empty for nothing.
    """

    weights: bytes
    graphs: Mapping[str, bytes]
    sizes: Mapping[str, PathBytes]
    signature: Signature
    remark: str = ""

    def write(self, file: FilePath, manifest: Manifest) -> None:
        """Writes an engine with these paths."""
        write_engine(file, manifest, self.weights, self.graphs)


def lower(
    supernet: Supernet,
    paths: Sequence[Path],
    statistics: Mapping[str, Statistics] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Lowered:
    """Exports all operations once, and makes the graph of each path by surgery.

    Args:
        paths: of the supernet's space.
        statistics: by path id, from calibration; needed where the supernet has batch norms.
        progress: called with (done, all) after each path.

    Raises:
        LoweringError: the supernet, or one of the paths, cannot be expressed.
    """
    if not paths:
        raise LoweringError("there is no path to lower", fix="give at least one")
    statistics = statistics or {}
    with at_rest(supernet):
        planner = Planner(supernet)
        signature = supernet.signature
        given = dict(zip(input_labels(supernet.inputs), supernet.examples(), strict=True))
        templates = export_templates([planner.plan(p) for p in supernet.spanning], given)
        store = WeightStore()
        graphs = {}
        for done, path in enumerate(paths, 1):
            plan = planner.plan(path, statistics.get(path.id))
            graphs[path.id] = build_graph(path.id, plan, templates, store, signature)
            if progress:
                progress(done, len(paths))
    readers = Counter(
        offset for graph in graphs.values() for offset in {use.offset for use in graph.uses}
    )
    return Lowered(
        store.to_bytes(),
        {path_id: graph.model for path_id, graph in graphs.items()},
        {
            path_id: PathBytes(
                sum(use.used for use in graph.uses if readers[use.offset] > 1),
                sum(use.used for use in graph.uses if readers[use.offset] == 1),
            )
            for path_id, graph in graphs.items()
        },
        signature,
    )
