"""An engine gives standard files back."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime as ort

from tipsc.engine import Manifest, unpack


def test_the_files_run_in_plain_onnxruntime(engine_file, net, graphs, image, tmp_path):
    files = unpack(engine_file, tmp_path / "out")
    assert {f.name for f in files} == {f"{name}.onnx" for name in graphs} | {
        "weights.bin",
        "manifest.json",
    }
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "weights").write_bytes(net.store.blob)
    for name, graph in graphs.items():
        (tmp_path / "raw" / "graph").write_bytes(graph)
        outputs = [
            ort.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(
                None, {"image": image}
            )[0]
            for file in (tmp_path / "raw" / "graph", tmp_path / "out" / f"{name}.onnx")
        ]
        assert np.array_equal(*outputs)
        onnx.checker.check_model(str(tmp_path / "out" / f"{name}.onnx"))


def test_the_manifest_is_there_as_json(engine_file, net, graphs, tmp_path):
    unpack(engine_file, tmp_path)
    value = json.loads((tmp_path / "manifest.json").read_text())
    assert Manifest.from_json(value) == net.manifest(list(graphs))
