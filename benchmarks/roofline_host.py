"""The second mode of benchmarks/roofline.py: two networks on this machine, by figures of its own.

What the machine does is measured first, with one thread as the engines have: a product of two
matrices, a copy of a large array, a chain of operations on eight values in ONNX Runtime. Weights
are random; they do not change a latency. ``repeat`` is the rho of two halves of the same rounds:
what no guess can be above.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from roofline import figures_of, rho

from tipsc.elastic import Supernet, additive_totals, family
from tipsc.paths import Path
from tipsc.pipeline.profile import Bench
from tipsc.profile.roofline import estimated_ms
from tipsc.project.config import load_config
from tipsc.project.loading import make_supernet
from tipsc.project.target import Roofline, load_target

Array = NDArray[np.float64]

EXAMPLE = FilePath(__file__).parent.parent / "examples" / "fashion_mnist"
PATHS, ROUNDS = 40, 24
SIDE, COPIED, CHAIN = 768, 1 << 25, 200


def run() -> dict[str, Any]:
    """Figures of this machine, and Spearman by network."""
    torch.set_num_threads(1)
    figures = calibrated()
    config, folder = load_config(EXAMPLE)
    torch.manual_seed(0)
    nets = {
        "fashion_mnist": make_supernet(config, folder).eval(),
        "transformer": family(
            "transformer", classes=10, input_shape=[3, 32, 32], patch=4, width=96
        ).eval(),
    }
    return {
        "figures": figures.model_dump(include={"tflops", "memory_gb_s", "launch_us"}),
        "paths": PATHS,
        "networks": {name: of_network(net, figures) for name, net in nets.items()},
        "orin_nano": launches(nets["fashion_mnist"]),
    }


def launches(supernet: Supernet) -> dict[str, float]:
    """Rho of the Orin Nano's estimates with MACs, and with those of other launches, in us."""
    figures = load_target("jetson-orin-nano").roofline
    assert figures is not None
    paths = drawn(supernet)
    guessed = estimated_ms(supernet, figures).of_many(paths)
    found = {"macs": rho(guessed, additive_totals(supernet)["macs"].of_many(paths))}
    for launch_us in (2.5, 10.0):
        other = figures.model_copy(update={"launch_us": launch_us})
        found[f"{launch_us:g} us"] = rho(guessed, estimated_ms(supernet, other).of_many(paths))
    return found


def drawn(supernet: Supernet) -> list[Path]:
    """Distinct random paths, always the same ones."""
    generator = random.Random(0)
    found = {p.id: p for p in (supernet.space.sample(generator) for _ in range(4 * PATHS))}
    return list(found.values())[:PATHS]


def calibrated() -> Roofline:
    """What one thread of this machine does, by the best of several tries."""
    left, right = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    tflops = 2 * SIDE**3 / _best(lambda: left @ right) / 1e12
    source, target = np.ones(COPIED, np.uint8), np.empty(COPIED, np.uint8)
    gb_s = 2 * COPIED / _best(lambda: np.copyto(target, source)) / 1e9
    launch_s = (_chain(CHAIN) - _chain(1)) / (CHAIN - 1)
    return figures_of("this machine", tflops, gb_s, 1e6 * launch_s)


def of_network(supernet: Supernet, figures: Roofline) -> dict[str, float]:
    """Spearman of what is guessed with the latencies of random paths: p10, which other work on
    the machine moves least.
    """
    totals, paths = additive_totals(supernet), drawn(supernet)
    target = load_target("host")
    measure = target.measure.model_copy(update={"rounds": ROUNDS})
    bench = Bench(
        name="roofline",
        target=target.model_copy(update={"measure": measure}),
        version="",
        supernet=supernet,
        totals=totals,
        inputs=torch.randn(8, *supernet.inputs[0].shape[1:]),
        seed=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = bench.engine(FilePath(folder) / "roofline.tipsc", paths, _silent)
        _, samples = bench.measure(file, 0, _silent)

    def p10(of: slice) -> Array:
        batches = [np.concatenate(samples.batches[path.id][of]) for path in paths]
        return np.array([np.percentile(batch, 10) for batch in batches])

    measured, half = p10(slice(None)), ROUNDS // 2
    return {
        "macs": rho(totals["macs"].of_many(paths), measured),
        "compiled": rho(estimated_ms(supernet, figures).of_many(paths), measured),
        "repeat": rho(p10(slice(half)), p10(slice(half, None))),
    }


def _chain(length: int) -> float:
    """Seconds of so many operations on eight values, one after the other."""
    names = [f"v{place}" for place in range(length + 1)]
    # Softmax is fused with nothing.
    nodes = [helper.make_node("Softmax", [read], [written]) for read, written in pairwise(names)]
    shape = [1, 8]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = {names[0]: np.ones(shape, np.float32)}
    return _best(lambda: session.run(None, given))


def _best(work: Callable[[], object], tries: int = 30) -> float:
    """Seconds of the fastest try."""
    taken = []
    for _ in range(tries):
        begin = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begin)
    return min(taken)


def _silent(done: float, total: float, note: str = "") -> None:
    pass
