"""From a supernet to portable graphs of some of its paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from tipsc.elastic.looking import at_rest
from tipsc.elastic.statistics import Statistics
from tipsc.elastic.supernet import Supernet, in_batches
from tipsc.elastic.trace import input_labels
from tipsc.engine import Manifest, write_engine
from tipsc.engine.manifest import entry_ids
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
        batches: by path id, how many examples it takes at once; those that are not there take one.
    """

    weights: bytes
    graphs: Mapping[str, bytes]
    sizes: Mapping[str, PathBytes]
    signature: Signature
    remark: str = ""
    batches: Mapping[str, int] = field(default_factory=dict)

    def write(self, file: FilePath, manifest: Manifest) -> None:
        """Writes an engine with these paths."""
        write_engine(file, manifest, self.weights, self.graphs)


def lower(
    supernet: Supernet,
    paths: Sequence[Path],
    statistics: Mapping[str, Statistics] | None = None,
    *,
    batches: Sequence[int] = (1,),
    progress: Callable[[int, int], None] | None = None,
) -> Lowered:
    """Exports all operations once for each size of a batch, and makes graphs by surgery.

    Args:
        paths: of the supernet's space.
        statistics: by path id, from calibration; needed where the supernet has batch norms.
        batches: of so many examples each path gets a graph, under the ids that
            :func:`tipsc.engine.manifest.entry_ids` gives.
        progress: called with (done, all) after each path.

    Raises:
        LoweringError: the supernet, or one of the paths, cannot be expressed.
    """
    if not paths:
        raise LoweringError("there is no path to lower", fix="give at least one")
    statistics = statistics or {}
    store, graphs, sizes = WeightStore(), {}, {}
    with at_rest(supernet):
        signature = supernet.signature
        for place, batch in enumerate(batches):
            sized = in_batches(supernet, batch)
            planner = Planner(sized)
            given = dict(zip(input_labels(sized.inputs), sized.examples(), strict=True))
            templates = export_templates([planner.plan(p) for p in sized.spanning], given)
            for path in paths:
                plan = planner.plan(path, statistics.get(path.id))
                name = list(entry_ids(path.id, batches))[place]
                whole = signature.with_batch(batch)
                graphs[name], sizes[name] = build_graph(name, plan, templates, store, whole), batch
                if progress:
                    progress(len(graphs), len(paths) * len(batches))
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
        batches=sizes,
    )
