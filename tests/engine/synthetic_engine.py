"""Portable path graphs as the compiler side hands them over, made with onnx.helper alone.

A MobileNetV2-like net: inner widths and depths elastic, every path a slice of the same tensors,
projections stored transposed, each path with its own float16 biases.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import TensorProto, helper

from tipsc.engine import Latency, Manifest, PathEntry
from tipsc.quality import Quality
from tipsc.signature import Signature, TensorSpec

ALIGNMENT = 64
#: expansion, channels, blocks, stride of each stage of MobileNetV2
MOBILENET = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
             (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
TINY = ((2, 8, 2, 2), (2, 16, 2, 2))


@dataclass
class Store:
    """The weight store while it grows: tensor name to (offset, array)."""

    blob: bytearray = field(default_factory=bytearray)
    where: dict[str, tuple[int, np.ndarray]] = field(default_factory=dict)

    def add(self, name: str, array: np.ndarray) -> None:
        self.blob += bytes(-len(self.blob) % ALIGNMENT)
        self.where[name] = (len(self.blob), array)
        self.blob += array.tobytes()

    def external(self, name: str) -> onnx.TensorProto:
        offset, array = self.where[name]
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=array.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "weights"), ("offset", offset), ("length", array.nbytes)):
            tensor.external_data.add(key=key, value=str(value))
        return tensor


class Net:
    """A supernet of inverted residual blocks; `graph` gives one path of it."""

    def __init__(
        self,
        stages: Sequence[tuple[int, int, int, int]] = MOBILENET,
        *,
        stem: int = 32,
        head: int = 1280,
        classes: int = 1000,
        image: int = 224,
    ) -> None:
        self.stages, self.stem, self.head = stages, stem, head
        self.classes, self.image = classes, image
        self.store = Store()
        rng = np.random.default_rng(0)

        def add(name: str, *shape: int, fan_in: int) -> None:
            array = rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)
            self.store.add(name, array.astype(np.float32))

        add("stem", stem, 3, 3, 3, fan_in=27)
        width = stem
        for s, (expansion, channels, blocks, _) in enumerate(stages):
            for b in range(blocks):
                inner = width * expansion
                if expansion > 1:
                    add(f"{s}.{b}.expand", inner, width, 1, 1, fan_in=width)
                add(f"{s}.{b}.depthwise", inner, 1, 3, 3, fan_in=9)
                add(f"{s}.{b}.project", inner, channels, 1, 1, fan_in=2 * inner)
                width = channels
        add("head", head, width, 1, 1, fan_in=width)
        add("classifier", head, classes, fan_in=head)

    def graph(self, options: Sequence[tuple[int, tuple[int, ...]]], seed: int = 0) -> bytes:
        """One path: for each stage its depth and the thirds of the inner width of its blocks."""
        rng = np.random.default_rng(seed)
        nodes: list[onnx.NodeProto] = []
        small: dict[str, np.ndarray] = {}
        used: list[str] = []

        def constant(name: str, values: Sequence[int]) -> str:
            small[name] = np.asarray(values, np.int64)
            return name

        def weight(name: str, rows: int, *, transposed: bool = False) -> str:
            used.append(name)
            out = name
            if rows != self.store.where[name][1].shape[0]:
                begin, end = constant("zero", [0]), constant(f"to{rows}", [rows])
                nodes.append(helper.make_node("Slice", [out, begin, end], [f"{name}.slice"]))
                out = f"{name}.slice"
            if transposed:
                nodes.append(helper.make_node("Transpose", [out], [f"{name}.t"], perm=[1, 0, 2, 3]))
                out = f"{name}.t"
            return out

        def conv(x: str, name: str, w: str, channels: int, *, act: bool, **attributes) -> str:
            small[f"{name}.bias16"] = (rng.standard_normal(channels) * 0.1).astype(np.float16)
            nodes.append(
                helper.make_node("Cast", [f"{name}.bias16"], [f"{name}.bias"], to=TensorProto.FLOAT)
            )
            nodes.append(
                helper.make_node("Conv", [x, w, f"{name}.bias"], [f"{name}.y"], **attributes)
            )
            if not act:
                return f"{name}.y"
            small["low"], small["high"] = np.float32(0), np.float32(6)
            nodes.append(helper.make_node("Clip", [f"{name}.y", "low", "high"], [f"{name}.z"]))
            return f"{name}.z"

        three = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        x = conv("image", "stem", weight("stem", self.stem), self.stem, act=True,
                 strides=[2, 2], **three)  # fmt: skip
        width = self.stem
        for s, ((expansion, channels, _, stride), (depth, thirds)) in enumerate(
            zip(self.stages, options, strict=True)
        ):
            for b in range(depth):
                name, residual = f"{s}.{b}", x
                inner = width * expansion
                if expansion > 1:
                    inner = max(8, inner * thirds[b] // 3 // 8 * 8)
                    x = conv(x, f"{name}.expand", weight(f"{name}.expand", inner), inner, act=True,
                             kernel_shape=[1, 1])  # fmt: skip
                step = stride if b == 0 else 1
                x = conv(x, f"{name}.depthwise", weight(f"{name}.depthwise", inner), inner,
                         act=True, group=inner, strides=[step, step], **three)  # fmt: skip
                x = conv(x, f"{name}.project", weight(f"{name}.project", inner, transposed=True),
                         channels, act=False, kernel_shape=[1, 1])  # fmt: skip
                if b > 0:
                    nodes.append(helper.make_node("Add", [residual, x], [f"{name}.sum"]))
                    x = f"{name}.sum"
                width = channels
        x = conv(x, "head", weight("head", self.head), self.head, act=True, kernel_shape=[1, 1])
        nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
        nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
        small["classifier.bias16"] = (rng.standard_normal(self.classes) * 0.1).astype(np.float16)
        nodes.append(
            helper.make_node(
                "Cast", ["classifier.bias16"], ["classifier.bias"], to=TensorProto.FLOAT
            )
        )
        # Stored [in, out]: for one row of input, the product that needs no packing to be fast.
        gemm = ["flat", weight("classifier", self.head), "classifier.bias"]
        nodes.append(helper.make_node("Gemm", gemm, ["logits"]))
        initializers = [self.store.external(name) for name in used]
        initializers += [onnx.numpy_helper.from_array(a, name) for name, a in small.items()]
        graph = helper.make_graph(
            nodes,
            "path",
            [helper.make_tensor_value_info("image", 1, [1, 3, self.image, self.image])],
            [helper.make_tensor_value_info("logits", 1, [1, self.classes])],
            initializers,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return model.SerializeToString()

    def options(self, thirds: int | None, rng: random.Random | None = None, *, full: bool = True):
        """Depth and thirds of each stage: the same everywhere, or drawn from `rng`."""
        options = []
        for _, _, blocks, _ in self.stages:
            depth = rng.randint(1, blocks) if rng else (blocks if full else 1)
            widths = tuple(rng.randint(1, 3) if rng else thirds or 3 for _ in range(blocks))
            options.append((depth, widths))
        return options

    def paths(self, count: int) -> dict[str, bytes]:
        """`count` path graphs: smallest, largest and random ones between."""
        rng = random.Random(0)
        picks = [self.options(1, full=False), self.options(3)]
        picks += [self.options(None, rng) for _ in range(count - 2)]
        return {f"{i:08x}": self.graph(pick, seed=i) for i, pick in enumerate(picks[:count])}

    def manifest(self, ids: Sequence[str]) -> Manifest:
        """A manifest with made-up latencies: the i-th path takes i + 1 ms, and is as accurate."""
        return Manifest(
            name="synthetic",
            target="host",
            backend="onnxruntime",
            signature=Signature.plain(
                [TensorSpec("image", "float32", (1, 3, self.image, self.image), "NCHW")],
                [TensorSpec("logits", "float32", (1, self.classes), "N-")],
            ),
            paths=tuple(
                PathEntry(
                    id=name,
                    options={"width": i},
                    quality=Quality("accuracy", 0.5 + i / 100, "share"),
                    latency=Latency(i + 0.9, i + 1.0, i + 1.2),
                    macs=1000 * (i + 1),
                    parameters=100 * (i + 1),
                    shared_bytes=400 * (i + 1),
                    private_bytes=40,
                )
                for i, name in enumerate(ids)
            ),
            space=[
                {"name": "width", "options": list(range(len(ids))), "gate": None, "gate_from": 0}
            ],
            provenance={"tipsc": "test"},
        )


def tiny_net() -> Net:
    """A net of a few thousand parameters that runs in microseconds."""
    return Net(TINY, stem=8, head=32, classes=10, image=16)
