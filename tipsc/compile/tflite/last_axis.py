"""Weights that paths cut on their last axis, stored so that a cut is a prefix of the bytes.

TFLite has filters as [outputs, height, width, inputs], and those of depthwise convolutions as
[1, height, width, channels]. Fewer outputs are a prefix of the bytes. Fewer inputs, as of the
projection that ends a narrower block, and fewer channels are not: each width would be stored by
itself. But a *sparse* tensor may keep its axes in any order, and need not leave anything out: with
the last axis first, every width begins the widest. The operation DENSIFY gives the usual order
back, once, when the file is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

#: bytes that a DENSIFY and its tensor take in the flatbuffer
_OVERHEAD = 256
_PROBE = 64


def worth_turning(weights: Mapping[int, np.ndarray]) -> dict[int, bytes]:
    """The bytes, last axis first, of those weights that share more so than they cost.

    Args:
        weights: by any number that names them.
    """
    turned = {}
    for name, weight in weights.items():
        content = np.moveaxis(weight, -1, 0).tobytes()
        if len(content) >= _PROBE and content != weight.tobytes():
            turned[name] = content
    families: dict[bytes, list[list[int]]] = {}
    for name in sorted(turned, key=lambda name: -len(turned[name])):
        likely = families.setdefault(turned[name][:_PROBE], [])
        for family in likely:
            if turned[family[0]].startswith(turned[name]):
                family.append(name)
                break
        else:
            likely.append([name])
    chosen: dict[int, bytes] = {}
    for family in chain.from_iterable(families.values()):
        lengths = {len(turned[name]) for name in family}
        if sum(lengths) - max(lengths) > _OVERHEAD * len(family):
            chosen |= {name: turned[name] for name in family}
    return chosen


def turn(graph: Any, index: int, opcode: int, schema: Any) -> None:
    """Makes a constant of a graph one whose last axis is stored first, behind a DENSIFY.

    Args:
        graph: a ``SubGraphT``; changed.
        index: of the tensor. Its content is the caller's.
        opcode: index of DENSIFY among the model's operator codes.
        schema: the module of ``SubGraphT``.
    """
    stored = graph.tensors[index]
    order = [len(stored.shape) - 1, *range(len(stored.shape) - 1)]
    dense = schema.TensorT(shape=stored.shape, type=stored.type, buffer=0, name=f"{stored.name}d")
    stored.sparsity = schema.SparsityParametersT(
        traversalOrder=order,
        dimMetadata=[
            schema.DimensionMetadataT(
                format=schema.DimensionType.DENSE, denseSize=int(stored.shape[axis])
            )
            for axis in order
        ],
    )
    number = len(graph.tensors)
    graph.tensors.append(dense)
    for operator in graph.operators:
        operator.inputs = [number if i == index else int(i) for i in operator.inputs]
    densify = schema.OperatorT(
        opcodeIndex=opcode,
        inputs=[index],
        outputs=[number],
        builtinOptionsType=schema.BuiltinOptions.DensifyOptions,
        builtinOptions=schema.DensifyOptionsT(),
        debugMetadataIndex=-1,
    )
    graph.operators.insert(0, densify)
