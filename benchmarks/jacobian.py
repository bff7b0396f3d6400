"""Does a high topological path score mean well-behaved Jacobians?

    python benchmarks/jacobian.py [--json FILE]

TIPS (arXiv 2305.08021) argues that topologically important paths propagate gradients better, seen
in the mean singular value of the layers' Jacobians. Here a path is cut at its residual stream,
where all that follows depends on one tensor alone. For each segment between two cuts the Jacobian
of its output by its input is computed at some images, and the mean of its singular values; a path
has the mean over its segments. Networks are as they are before training, each path with batch-norm
statistics of its own. Beside the rank correlation with TPS stand those with what TPS is close to,
MACs and depth; and what is left of it among paths of the same depth, and with MACs held fixed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import random
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats
from torch import Tensor, fx

from tipsc import dtmc
from tipsc.elastic import CostModel, Supernet, extract, family
from tipsc.paths import Path
from tipsc.profile import read_system
from tipsc.train.calibrate import measure

PATHS, SUBNETWORKS, IMAGES = 60, 100, 2
_STAGE = {"depths": (1, 2, 3), "expansions": (1, 3, 6)}
FAMILIES: Mapping[str, dict[str, Any]] = {
    "mobilenet": {
        "classes": 10,
        "input_shape": (3, 12, 12),
        "stem": 8,
        "stages": ({"channels": 8, **_STAGE}, {"channels": 16, "stride": 2, **_STAGE}),
        "head": 32,
    },
    "transformer": {"classes": 10, "input_shape": (3, 12, 12), "patch": 4, "width": 48},
    "temporal": {"classes": 7, "input_shape": (6, 32), "channels": (12, 16)},
}


def cuts(module: fx.GraphModule) -> list[fx.Node]:
    """The nodes through which everything flows, in order; the last one is the output's."""
    nodes = [node for node in module.graph.nodes if node.op != "output"]
    place = {node: number for number, node in enumerate(nodes)}
    last_use = [max((place.get(user, len(nodes)) for user in n.users), default=-1) for n in nodes]
    carries = [n.op != "get_attr" for n in nodes]  # parameters do not depend on the input
    found, reach = [], -1
    for number, node in enumerate(nodes):
        if carries[number] and reach <= number:
            found.append(node)
        if carries[number]:
            reach = max(reach, last_use[number])
    return found


class Segment(fx.Interpreter):
    """Runs a traced module from one cut to a later one."""

    def through(self, start: fx.Node, end: fx.Node, value: Tensor) -> Tensor:
        self.env: dict[fx.Node, Any] = {start: value}
        started = False
        for node in self.module.graph.nodes:  # type: ignore[union-attr]
            if node is start:
                started = True
            elif started or node.op == "get_attr":
                self.env[node] = self.run_node(node)
            if node is end:
                break
        return self.env[end]


def mean_singular_value(module: fx.GraphModule, images: Tensor) -> float:
    """Over all segments that compute with weights, and over the images."""
    found: list[float] = []
    nodes = cuts(module)
    weighted = _segments_with_weights(module, nodes)
    for image in images:
        with torch.no_grad():
            values = _values(module, image[None], nodes)
        for start, end in weighted:
            value = values[start]

            def run(x: Tensor, start: fx.Node = start, end: fx.Node = end) -> Tensor:
                return Segment(module).through(start, end, x)

            jacobian = torch.autograd.functional.jacobian(run, value, vectorize=True)
            matrix = jacobian.reshape(-1, value.numel())
            found.append(float(torch.linalg.svdvals(matrix).mean()))
    return float(np.mean(found))


def _values(module: fx.GraphModule, image: Tensor, nodes: list[fx.Node]) -> dict[fx.Node, Tensor]:
    interpreter = fx.Interpreter(module, garbage_collect_values=False)
    interpreter.run(image)
    return {node: interpreter.env[node] for node in nodes}


def _segments_with_weights(
    module: fx.GraphModule, nodes: list[fx.Node]
) -> list[tuple[fx.Node, fx.Node]]:
    """Pairs of cuts that lie around at least one matrix; what only pools or reshapes is joined."""
    order = list(module.graph.nodes)
    pairs, start, heavy = [], nodes[0], False
    for node in order[order.index(nodes[0]) + 1 :]:
        if node.op == "call_module":
            parameters = module.get_submodule(str(node.target)).parameters()
            heavy = heavy or any(p.dim() > 1 for p in parameters)
        if node in nodes and heavy:
            pairs.append((start, node))
            start, heavy = node, False
    return pairs


def study(name: str, seed: int) -> dict[str, float]:
    """Rank correlations of one family."""
    torch.manual_seed(seed)
    supernet: Supernet = family(name, **FAMILIES[name]).eval()
    space, costs, generator = supernet.space, CostModel(supernet), random.Random(seed)
    sampled = [space.largest, space.smallest]
    sampled += [space.sample_options(generator) for _ in range(SUBNETWORKS - 2)]
    union = dtmc.supergraph([costs.trace(path).steps for path in sampled])
    scores = dtmc.tas(union)
    tps = dict(zip(sampled, dtmc.tps(union, scores).tolist(), strict=True))
    paths = list(tps)[:PATHS]
    chance = torch.Generator().manual_seed(seed)
    batch = torch.randn((128, *supernet.inputs[0].shape[1:]), generator=chance)
    rows = []
    for path in track(paths, name):
        module = extract(supernet, path)
        measure(supernet, module, path, [batch], own_scale=True)
        for parameter in module.parameters():
            parameter.requires_grad_(False)
        sigma = mean_singular_value(module, batch[:IMAGES])
        rows.append((tps[path], sigma, costs.of(path).macs, _depth(path)))
    return _correlations(np.array(rows))


def _depth(path: Path) -> int:
    return sum(value for name, value in path.items if name.endswith("depth"))


def _correlations(rows: NDArray[np.float64]) -> dict[str, float]:
    tps, sigma, macs, depth = rows.T
    within, weights = [], []
    for level in np.unique(depth):
        same = depth == level
        if same.sum() >= 8:
            within.append(stats.spearmanr(tps[same], sigma[same]).statistic)
            weights.append(int(same.sum()))
    result = stats.spearmanr(tps, sigma)
    return {
        "paths": float(len(rows)),
        "tps": float(result.statistic),
        "p": float(result.pvalue),
        "macs": float(stats.spearmanr(macs, sigma).statistic),
        "depth": float(stats.spearmanr(depth, sigma).statistic),
        "tps_same_depth": float(np.average(within, weights=weights)) if within else float("nan"),
        "tps_given_macs": _partial(tps, sigma, macs),
        "sigma_mean": float(sigma.mean()),
        "sigma_deviation": float(sigma.std()),
    }


def _partial(a: NDArray[np.float64], b: NDArray[np.float64], given: NDArray[np.float64]) -> float:
    """Rank correlation of a and b with the ranks of `given` regressed out."""
    x, y, z = (stats.rankdata(v) - (len(v) + 1) / 2 for v in (a, b, given))
    x, y = (v - z * (v @ z) / (z @ z) for v in (x, y))
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=FilePath, help="write the figures to this file")
    options = parser.parse_args()
    table = Table(title="Spearman rank correlation with the mean singular value of a path")
    heads = (
        "family",
        "seed",
        "TPS",
        "MACs",
        "depth",
        "TPS, same depth",
        "TPS, given MACs",
        "sigma",
    )
    for head in heads:
        table.add_column(head, justify="left" if head == "family" else "right", no_wrap=True)
    results = []
    for name in FAMILIES:
        for seed in range(options.seeds):
            f = study(name, seed)
            results.append({"family": name, "seed": seed, **f})
            keys = ("tps", "macs", "depth", "tps_same_depth", "tps_given_macs")
            cells = [f"{f[key]:+.2f}" for key in keys]
            spread = f"{f['sigma_mean']:.3f} ± {f['sigma_deviation']:.3f}"
            table.add_row(name, str(seed), *cells, spread)
    Console(width=100).print(table)
    if options.json:
        content = {
            "command": "python benchmarks/jacobian.py",
            "machine": {"cpu": read_system().cpu, "torch": torch.__version__},
            "results": results,
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
