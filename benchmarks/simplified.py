"""What onnxsim would save: ``python benchmarks/simplified.py --json FILE``; needs onnxsim.

tipsc exports one graph and cuts it into a template for each operation, from which the graph of
each path is put together. Two questions: does the exported graph, simplified as a whole, still say
which of its nodes belong to which operation; and what would simplifying save in the graphs of the
paths, which is the most that simplified templates could give? Of four paths of each net: nodes as
they are written and as ONNX Runtime has them once it has optimised them itself, bytes of the graphs
and of all weights (each content stored once), latency with one thread in interleaved rounds, and
how far the outputs are apart.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch and numpy start their threads

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path as File

import numpy as np
import onnx
import onnxruntime as ort
import onnxsim
import torch
from figures import best_of, machine
from onnx.external_data_helper import load_external_data_for_model
from real_size import make_real  # also puts the tests' architectures on the path
from rich.console import Console
from rich.table import Table

from architectures import make  # isort: skip
from tipsc.convert import convert
from tipsc.elastic import Supernet, family
from tipsc.engine.atomic import write_atomically
from tipsc.lower import LOCATION, lower, template
from tipsc.lower.plan import Planner
from tipsc.lower.weights import WeightStore

SEED, PATHS = 0, 4
FAMILY = "mobilenet-v2"
LARGE = ("ViT-S/16, 224",)
SMALL = ("MobileNetV3", "ShuffleNetV2", "Swin", "LSTM", "causal LM, SwiGLU")
SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True)
class Simplified:
    """Of one net; pairs are (as tipsc writes it, simplified), sums over the paths.

    Attributes:
        exported: nodes of the exported graph, as it is and simplified.
        with_scope: of those, the nodes that still say to which operation they belong.
        nodes: of the graphs of the paths.
        nodes_run: the same after ONNX Runtime's own optimisation.
        graph_bytes: of the graphs without weights.
        weight_bytes: of all weights of all paths, each content stored once.
        latency_ms: median of the largest path, as tipsc writes it.
        latency_ratio: median over paths and rounds of simplified over as it is.
        latency_low, latency_high: its 10th and 90th percentile.
        apart: largest difference of outputs, of the largest output.
        seconds: that simplifying took.
    """

    net: str
    exported: tuple[int, int]
    with_scope: tuple[int, int]
    nodes: tuple[int, int]
    nodes_run: tuple[int, int]
    graph_bytes: tuple[int, int]
    weight_bytes: tuple[int, int]
    latency_ms: float
    latency_ratio: float
    latency_low: float
    latency_high: float
    apart: float
    seconds: float


def supernet(name: str) -> Supernet:
    torch.manual_seed(SEED)
    if name == FAMILY:
        return family(name).eval()
    return convert(*(make_real(name) if name in LARGE else make(name)))


def measure(name: str, rounds: int) -> Simplified:
    net = supernet(name)
    generator = random.Random(SEED)
    space = net.space
    paths = [space.largest, space.smallest]
    paths += [space.sample_options(generator) for _ in range(PATHS - len(paths))]
    planner = Planner(net)
    plan = planner.plan(space.largest)
    whole = template._export(plan, [plan[-1].label], {"input": net.examples()[0]})
    simple, _ = onnxsim.simplify(whole)
    lowered = lower(net, paths)
    plain = {key: _with_weights(graph, lowered.weights) for key, graph in lowered.graphs.items()}
    begin = time.perf_counter()
    simplified = {key: onnxsim.simplify(model)[0] for key, model in plain.items()}
    seconds = time.perf_counter() - begin
    (spec,) = lowered.signature.inputs
    kind = np.dtype(spec.dtype)
    drawn = np.random.default_rng(SEED).normal(size=spec.shape)
    feed = {spec.name: drawn.astype(kind) if kind.kind == "f" else np.zeros(drawn.shape, kind)}
    ratios: list[float] = []
    latencies: list[float] = []
    apart = 0.0
    with tempfile.TemporaryDirectory() as folder:
        run = [0, 0]
        for key in plain:
            sessions = []
            for place, model in enumerate((plain[key], simplified[key])):
                session, count = _session(model, File(folder) / "optimised.onnx")
                sessions.append(session)
                run[place] += count
            one, two = (session.run(None, feed)[0] for session in sessions)
            apart = max(apart, float(np.abs(one - two).max() / np.abs(one).max()))
            taken = [[_seconds(s, feed) for s in sessions] for _ in range(rounds)]
            ratios += [after / before for before, after in taken]
            latencies.append(1e3 * statistics.median(before for before, _ in taken))
    low, middle, high = np.percentile(ratios, (10, 50, 90))
    return Simplified(
        name,
        (_nodes(whole), _nodes(simple)),
        (_scoped(whole), _scoped(simple)),
        _sums(plain, simplified, _nodes),
        (run[0], run[1]),
        _sums(plain, simplified, _graph_bytes),
        (_stored(plain.values()), _stored(simplified.values())),
        latencies[0],
        float(middle),
        float(low),
        float(high),
        apart,
        seconds,
    )


def _with_weights(graph: bytes, weights: bytes) -> onnx.ModelProto:
    model = onnx.load_from_string(graph)
    with tempfile.TemporaryDirectory() as folder:
        (File(folder) / LOCATION).write_bytes(weights)
        load_external_data_for_model(model, folder)
    return model


def _nodes(model: onnx.ModelProto) -> int:
    return sum(node.op_type != "Constant" for node in model.graph.node)


def _scoped(model: onnx.ModelProto) -> int:
    return sum(any(p.key == SCOPES for p in node.metadata_props) for node in model.graph.node)


def _graph_bytes(model: onnx.ModelProto) -> int:
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.initializer[:], bare.graph.value_info[:]
    return len(bare.SerializeToString())


def _sums(
    plain: Mapping[str, onnx.ModelProto],
    simplified: Mapping[str, onnx.ModelProto],
    of: Callable[[onnx.ModelProto], int],
) -> tuple[int, int]:
    return sum(map(of, plain.values())), sum(map(of, simplified.values()))


def _stored(models: Iterable[onnx.ModelProto]) -> int:
    store = WeightStore()
    for model in models:
        for tensor in model.graph.initializer:
            store.add_bytes(onnx.numpy_helper.to_array(tensor).tobytes())
    return len(store.to_bytes())


def _session(model: onnx.ModelProto, file: File) -> tuple[ort.InferenceSession, int]:
    """A session, and the nodes that it has after its own optimisation."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.optimized_model_filepath = str(file)
    options.log_severity_level = 3  # that the file is for this machine alone is known
    session = ort.InferenceSession(model.SerializeToString(), options)
    return session, _nodes(onnx.load(file))


def _seconds(session: ort.InferenceSession, feed: dict[str, np.ndarray]) -> float:
    """Of one call, as the fastest of three."""
    return best_of(3, lambda: session.run(None, feed))


def table(rows: Sequence[Simplified]) -> Table:
    shown = Table(title="as tipsc writes it -> simplified by onnxsim, sums over four paths")
    for column in ("net", "scopes", "nodes", "run", "graph kB", "weights MB", "ms", "ratio"):
        shown.add_column(column, justify="left" if column == "net" else "right")
    for row in rows:
        shown.add_row(
            row.net,
            f"{row.with_scope[0]} -> {row.with_scope[1]}",
            f"{row.nodes[0]} -> {row.nodes[1]}",
            f"{row.nodes_run[0]} -> {row.nodes_run[1]}",
            f"{row.graph_bytes[0] / 1e3:.0f} -> {row.graph_bytes[1] / 1e3:.0f}",
            f"{row.weight_bytes[0] / 1e6:.2f} -> {row.weight_bytes[1] / 1e6:.2f}",
            f"{row.latency_ms:.2f}",
            f"{row.latency_ratio:.3f} ({row.latency_low:.3f}..{row.latency_high:.3f})",
        )
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [FAMILY, *LARGE, *SMALL]
    parser.add_argument("--json", type=File, metavar="FILE", help="write the figures there too")
    parser.add_argument("--rounds", type=int, default=50, help="of each path (50)")
    parser.add_argument("--only", nargs="+", default=names, choices=names, metavar="NET")
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only:
        rows.append(measure(name, arguments.rounds))
        print(rows[-1], file=sys.stderr)
    Console(width=120).print(table(rows))
    if arguments.json:
        report = {"machine": about(), "rounds": arguments.rounds, "rows": [asdict(r) for r in rows]}
        write_atomically(arguments.json, [(json.dumps(report, indent=2) + "\n").encode()])


def about() -> dict[str, str]:
    tools = {module.__name__: module.__version__ for module in (onnx, onnxsim, ort, torch)}
    return machine() | tools


if __name__ == "__main__":
    main()
