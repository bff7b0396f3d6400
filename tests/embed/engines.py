"""Small engines with what the tiny net does not have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from tipsc.engine import Latency, Manifest, PathEntry, write_engine
from tipsc.signature import Signature, TensorSpec

WIDTH = 40


def entry(name: str, batch: int, p50_ms: float) -> PathEntry:
    latency = Latency(0.9 * p50_ms, p50_ms, 1.2 * p50_ms, 0.1)
    return PathEntry(name, {}, None, latency, 10 * batch, 10, 0, 10, batch)


def with_batches(file: Path) -> Path:
    """Two inputs and three outputs of several types and ranks, for one example and for four."""
    weights = np.random.default_rng(0).standard_normal((8, WIDTH)).astype(np.float32)
    graphs = {f"path{'' if n == 1 else 'x4'}": graph(n, weights) for n in (1, 4)}
    signature = Signature.plain(
        [TensorSpec("x", "float32", (1, 8), "N-"), TensorSpec("n", "int64", (1,), "N")],
        [
            TensorSpec("y", "float32", (1, WIDTH), "N-"),
            TensorSpec("above", "bool", (1, WIDTH), "N-"),
            TensorSpec("most", "float32", (), ""),
        ],
    )
    paths = tuple(entry(name, n, float(n)) for name, n in zip(graphs, (1, 4), strict=True))
    manifest = Manifest("batches", "host", "onnxruntime", signature, paths, [])
    write_engine(file, manifest, bytearray(weights.tobytes()), graphs)
    return file


def graph(batch: int, weights: np.ndarray) -> bytes:
    w = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=weights.shape)
    w.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights"), ("offset", 0), ("length", weights.nbytes)):
        w.external_data.add(key=key, value=str(value))
    zero = onnx.numpy_helper.from_array(np.float32(0), "zero")
    shape = onnx.numpy_helper.from_array(np.int64([batch, 1]), "shape")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Cast", ["n"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "shape"], ["column"]),
        helper.make_node("Add", ["product", "column"], ["y"]),
        helper.make_node("Add", ["zero", "zero"], ["none"]),  # of constants
        helper.make_node("Greater", ["y", "none"], ["above"]),
        helper.make_node("ReduceMax", ["y"], ["most"], keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 8]),
        helper.make_tensor_value_info("n", TensorProto.INT64, [batch]),
    ]
    outputs = [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, WIDTH]),
        helper.make_tensor_value_info("above", TensorProto.BOOL, [batch, WIDTH]),
        helper.make_tensor_value_info("most", TensorProto.FLOAT, []),
    ]
    made = helper.make_graph(nodes, "path", inputs, outputs, [w, zero, shape])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()
