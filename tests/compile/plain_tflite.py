"""Small .tflite files and engines of them, made by hand: what needs no converter needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tipsc.engine import Latency, Manifest, PathEntry, write_tflite_engine
from tipsc.engine.tflite import flatbuffer
from tipsc.paths import Choice, SearchSpace
from tipsc.signature import Signature, TensorSpec

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
SHAPE = (1, 4, 4, 8)  # of the input, channels last

#: weights [O, H, W, I] and bias [O] of a convolution
Layer = tuple[np.ndarray, np.ndarray]


def convolutions(layers: Sequence[Layer]) -> bytes:
    """A .tflite of one signature: convolutions one after the other, each with a ReLU."""
    graph = schema.SubGraphT(tensors=[], operators=[], inputs=[0], name="main")
    model = schema.ModelT(
        version=3,
        operatorCodes=[
            schema.OperatorCodeT(
                deprecatedBuiltinCode=schema.BuiltinOperator.CONV_2D,
                builtinCode=schema.BuiltinOperator.CONV_2D,
                version=1,
            )
        ],
        subgraphs=[graph],
        buffers=[schema.BufferT()],
    )

    def tensor(shape: Sequence[int], value: np.ndarray | None = None) -> int:
        if value is not None:
            data = np.frombuffer(value.astype(np.float32).tobytes(), np.uint8)
            model.buffers.append(schema.BufferT(data=data))
        graph.tensors.append(
            schema.TensorT(
                shape=list(shape),
                type=schema.TensorType.FLOAT32,
                buffer=0 if value is None else len(model.buffers) - 1,
                name=f"t{len(graph.tensors)}",
            )
        )
        return len(graph.tensors) - 1

    last = tensor(SHAPE)
    for weights, bias in layers:
        inputs = [last, tensor(weights.shape, weights), tensor(bias.shape, bias)]
        last = tensor((*SHAPE[:3], len(bias)))
        options = schema.Conv2DOptionsT(
            padding=schema.Padding.SAME,
            strideH=1,
            strideW=1,
            fusedActivationFunction=schema.ActivationFunctionType.RELU,
        )
        graph.operators.append(
            schema.OperatorT(
                opcodeIndex=0,
                inputs=inputs,
                outputs=[last],
                builtinOptionsType=schema.BuiltinOptions.Conv2DOptions,
                builtinOptions=options,
            )
        )
    graph.outputs = [last]
    model.signatureDefs = [
        schema.SignatureDefT(
            inputs=[schema.TensorMapT(name="x", tensorIndex=0)],
            outputs=[schema.TensorMapT(name="y", tensorIndex=last)],
            signatureKey="main",
            subgraphIndex=0,
        )
    ]
    return flatbuffer(model)


def two_widths() -> dict[str, bytes]:
    """Two paths; the weights of the narrow one begin those of the wide one, all biases are zero.

    The layer in the middle has as many inputs as outputs. XNNPACK's weight cache tells shapes
    apart by the exclusive or of the two, which is 0 for 16 as for 32.
    """
    generator = np.random.default_rng(0)
    expand = generator.standard_normal((32, 1, 1, 8))
    middle = generator.standard_normal(32 * 32)
    project = generator.standard_normal((8, 1, 1, 32))

    def path(width: int) -> bytes:
        square = middle[: width * width].reshape(width, 1, 1, width)
        return convolutions(
            [
                (expand[:width], np.zeros(width)),
                (square, np.zeros(width)),
                (project[..., :width], np.zeros(8)),
            ]
        )

    return {"narrow": path(16), "wide": path(32)}


def biased(model: schema.ModelT) -> list[tuple[schema.TensorT, schema.TensorT]]:
    """Weights and bias of each operation that has them."""
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    return [
        (graph.tensors[op.inputs[1]], graph.tensors[op.inputs[2]])
        for graph in model.subgraphs
        for op in graph.operators
        if names[codes[op.opcodeIndex]] in WEIGHTED
    ]


def with_shared_biases(merged: bytes) -> bytes:
    """A merged .tflite with each bias stored once, and those that begin others within them.

    It means the same as before, but operations may now find weights and bias at one place.
    """
    model = schema.ModelT.InitFromPackedBuf(merged, 0)
    start = min(buffer.offset for buffer in model.buffers if buffer.offset > 1)
    biases = [bias for _, bias in biased(model)]
    kept: dict[int, bytes] = {}
    for bias in sorted(biases, key=lambda tensor: -model.buffers[tensor.buffer].size):
        buffer = model.buffers[bias.buffer]
        value = merged[buffer.offset : buffer.offset + buffer.size]
        for other, longer in kept.items():
            if value == longer:
                bias.buffer = other
                break
            if longer.startswith(value):
                buffer.offset = model.buffers[other].offset
                break
        kept.setdefault(bias.buffer, value)
    head = flatbuffer(model)
    assert len(head) <= start
    return head + bytes(start - len(head)) + merged[start:]


def engine_of(
    file: Path, model: bytes, paths: Sequence[str], latency: Latency | None = None
) -> Path:
    """An engine with this .tflite, whose signatures are `paths`, all with this latency."""
    entries = tuple(
        PathEntry(path, {"width": width}, None, latency, 0, 0, 0, 0)
        for width, path in enumerate(paths, 1)
    )
    height, width, channels = SHAPE[1:]
    manifest = Manifest(
        name="plain",
        target="mobile-cpu",
        backend="litert",
        signature=Signature.plain(
            [TensorSpec("input", "float32", (1, channels, height, width), "NCHW")],
            [TensorSpec("output", "float32", SHAPE, "NHWC")],
        ),
        paths=entries,
        space=list(SearchSpace((Choice("width", (1, 2)),)).to_json()),
    )
    write_tflite_engine(file, manifest, model)
    return file
