"""Writes embed/fuzz/corpus: a few small files from which fuzzing starts.

python tests/embed/make_corpus.py
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
sys.path.insert(0, str(Path(__file__).parents[1] / "compile"))
sys.path.insert(0, str(Path(__file__).parents[1] / "fuzzing"))

from engines import with_batches
from fuzz_tflite import FILES, manifest_of
from plain_tflite import two_widths
from synthetic_engine import tiny_net

from tipsc.compile.tflite.merge import merge
from tipsc.engine import DevicePlan, write_engine, write_tflite_engine
from tipsc.engine.delta import CARRIED, Delta

CORPUS = Path(__file__).parents[2] / "embed" / "fuzz" / "corpus"
BASE = bytes((i * 7 + i // 256) % 256 for i in range(8192))  # as embed/fuzz/apply.c has it


def main() -> None:
    for name in ("read", "graph", "tflite", "apply"):
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
    net = tiny_net()
    graphs = net.paths(2)
    with tempfile.TemporaryDirectory() as folder:
        file = with_batches(Path(folder) / "e.tipsc")
        data = file.read_bytes()
        plans = [DevicePlan(tuple(graphs), b"a plan")]
        manifest = replace(net.manifest(list(graphs)), recipe={"plans": "x"}, built={"state": "x"})
        bare = {name: graph_without_weights(graph) for name, graph in graphs.items()}
        write_engine(file, manifest, b"", bare, plans)
        (CORPUS / "read" / "plans").write_bytes(file.read_bytes())
        model = (FILES / "sizes.tflite").read_bytes()
        write_tflite_engine(file, manifest_of(model), model)
        (CORPUS / "read" / "tflite").write_bytes(file.read_bytes())
        plain = net.manifest(list(graphs))
        paths = tuple(replace(p, energy_mj=0.5 + n) for n, p in enumerate(plain.paths))
        write_engine(file, replace(plain, paths=paths), b"", bare)
        (CORPUS / "read" / "energy").write_bytes(file.read_bytes())
    (CORPUS / "read" / "onnx").write_bytes(data)
    (CORPUS / "tflite" / "plain").write_bytes(merge(two_widths()).model)
    for name, graph in graphs.items():
        (CORPUS / "graph" / name).write_bytes(graph)
    for name, pieces, carried in (
        ("copied", [(0, 4096), (4096, 4096)], b""),
        ("mixed", [(64, 640), (CARRIED, 100), (0, 64)], bytes(range(100))),
        ("carried", [(CARRIED, 33)], b"x" * 33),
    ):
        length = sum(size for _, size in pieces)
        delta = Delta(len(BASE), bytes(32), length, bytes(32), np.array(pieces, np.uint64), carried)
        (CORPUS / "apply" / name).write_bytes(delta.to_bytes())


def graph_without_weights(graph: bytes) -> bytes:
    """The same nodes; an external tensor has no bytes."""
    import onnx

    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        for pair in tensor.external_data:
            if pair.key in ("offset", "length"):
                pair.value = "0"
    return model.SerializeToString()


if __name__ == "__main__":
    main()
