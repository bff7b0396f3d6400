"""The graph of an ONNX file as a torch module."""

from __future__ import annotations

import copy
import inspect
import keyword
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tipsc.errors import ConversionError, TipscError, first_line
from tipsc.from_onnx.known import KNOWN
from tipsc.from_onnx.layers import LAYERS
from tipsc.from_onnx.operators import OPERATORS
from tipsc.from_onnx.values import Node, NotReadable, Value, is_known, tensor

SAME = 1e-4
"""Largest difference allowed from ONNX Runtime, relative to the largest output."""
ROUNDING = 10
"""Or this many times what float32 rounds in torch: deep models amplify it."""


@dataclass(frozen=True)
class Graph:
    """What a file holds, constants computed.

    Attributes:
        file: where it was read.
        inputs, outputs: names of values.
        nodes: in an order in which they can be computed.
        weights: arrays of float32, by name; statistics of norms among them.
        statistics: the names of those.
        known: all other constants, by name.
    """

    file: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    weights: Mapping[str, np.ndarray]
    statistics: frozenset[str]
    known: Mapping[str, np.ndarray]


class OnnxModel(nn.Module):
    """Computes what the graph does; made by :func:`tipsc.from_onnx.read_onnx`.

    It takes the inputs in the order of the file, or by name, and gives a tensor, or of several
    outputs a dict by their names. Its parameters have the names that they have in the file.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self.places = dict(_placed(self, graph))

    @staticmethod
    def of(graph: Graph) -> OnnxModel:
        """One whose forward pass has the inputs' names."""
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = ("self", *_identifiers(graph.inputs))

        def forward(self: OnnxModel, *given: Tensor, **named: Tensor) -> Any:
            order = [*given, *(named[name] for name in names[1 + len(given) :])]
            found = self.run(order)
            return found if len(found) > 1 else next(iter(found.values()))

        forward.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, kind) for name in names]
        )
        made: OnnxModel = type("OnnxModel", (OnnxModel,), {"forward": forward})(graph)
        return made

    def run(self, inputs: Sequence[Tensor]) -> dict[str, Tensor]:
        """The outputs by name, for these inputs."""
        graph = self.graph
        values: dict[str, Value] = {**graph.known, "": None}
        values |= {name: _found(self, place) for name, place in self.places.items()}
        values |= dict(zip(graph.inputs, inputs, strict=True))
        for node in graph.nodes:
            given = compute(node, [values[name] for name in node.inputs], graph.file)
            values |= dict(zip(node.outputs, given, strict=False))
        return {name: tensor(values[name]) for name in graph.outputs}

    def check(self, example: Any) -> None:
        """Compares with ONNX Runtime.

        Args:
            example: one, as the model is called: a tensor, a tuple of them, or a dict.

        Raises:
            ConversionError: the outputs differ, so that the file was read wrongly; or ONNX Runtime
                cannot run it.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        inputs = self._in_order(example)
        try:
            session = onnxruntime.InferenceSession(self.graph.file, options)
            feeds = {n: x.numpy() for n, x in zip(self.graph.inputs, inputs, strict=True)}
            expected = session.run(list(self.graph.outputs), feeds)
        except Exception as error:
            raise ConversionError(
                "ONNX Runtime cannot run this file on an example of the data",
                where=str(self.graph.file),
                got=first_line(error),
                fix="correct the file, or the shape and type of the data",
            ) from error
        exact = copy.deepcopy(self).double()
        with torch.no_grad():
            found = self.run(inputs)
            rounded = exact.run([x.double() if x.is_floating_point() else x for x in inputs])
        for name, wanted in zip(self.graph.outputs, expected, strict=True):
            apart = _apart(found[name], torch.from_numpy(np.asarray(wanted)))
            rounding = _apart(found[name], rounded[name])
            if not apart <= max(SAME, ROUNDING * rounding):
                raise ConversionError(
                    "what was read of the file computes something else than ONNX Runtime",
                    where=f"{self.graph.file}, output {name}",
                    expected=f"a relative difference of at most {SAME:g}",
                    got=f"{apart:.3g}",
                    fix="give the model as torch code (model.callable), and report this file",
                )

    def _in_order(self, example: Any) -> list[Tensor]:
        if isinstance(example, Mapping):
            return [example[name] for name in _identifiers(self.graph.inputs)]
        return list(example) if isinstance(example, tuple | list) else [example]


def _apart(got: Tensor, wanted: Tensor) -> float:
    """Largest difference, relative to the largest value; infinite for other shapes."""
    if got.shape != wanted.shape:
        return float("inf")
    got, wanted = got.double(), wanted.double()
    scale = wanted.abs().max().clamp_min(1e-12) if wanted.numel() else 1.0
    return float((got - wanted).abs().max() / scale) if wanted.numel() else 0.0


def compute(node: Node, inputs: Sequence[Value], file: Path) -> list[Value]:
    """What a node gives.

    Raises:
        ConversionError: it cannot be computed here; names the node.
    """
    try:
        return _computed(node, inputs)
    except TipscError:
        raise
    except NotReadable as error:
        raise unreadable(node, file, str(error)) from error
    except (TypeError, ValueError, IndexError, KeyError, AttributeError) as error:
        raise unreadable(node, file, first_line(error)) from error


def _computed(node: Node, inputs: Sequence[Value]) -> list[Value]:
    given = list(inputs)
    while given and given[-1] is None:
        given.pop()
    if given and all(is_known(value) for value in given) and node.operator in KNOWN:
        return [KNOWN[node.operator](node, *given)]
    function = LAYERS.get(node.operator) or OPERATORS.get(node.operator)
    if function is None:
        raise NotReadable("there is no such operator in tipsc")
    found = function(node, *given)
    return list(found) if isinstance(found, tuple) else [found]


def unreadable(node: Node, file: Path, why: str) -> ConversionError:
    return ConversionError(
        "this node cannot be read as torch",
        where=f"{file}, node {node.name} ({node.operator}, operator set {node.version})",
        got=why,
        fix="give the model as torch code (model.callable), or export it without this operator",
    )


def _identifiers(names: Sequence[str]) -> list[str]:
    """Names of arguments for names of values."""
    found: list[str] = []
    for name in names:
        wanted = re.sub(r"\W", "_", name, flags=re.ASCII)
        if not wanted or wanted[0].isdigit() or keyword.iskeyword(wanted) or wanted == "self":
            wanted = f"input_{wanted}"
        while wanted in found:
            wanted += "_"
        found.append(wanted)
    return found


def _placed(model: nn.Module, graph: Graph) -> Iterator[tuple[str, str]]:
    """Registers all weights, each in a module as its dots say, and gives their places."""
    for name, array in graph.weights.items():
        value = torch.from_numpy(np.array(array))
        *parents, leaf = [part for part in name.strip("/").split(".") if part] or ["weight"]
        owner = model
        for parent in parents:
            if not hasattr(owner, parent):
                owner.add_module(parent, nn.Module())
            inner = getattr(owner, parent)
            if not isinstance(inner, nn.Module):  # a name that torch or another weight has
                owner, leaf = model, "_".join((*parents, leaf))
                parents = []
                break
            owner = inner
        while hasattr(owner, leaf):
            leaf += "_"
        if name in graph.statistics:
            owner.register_buffer(leaf, value)
        else:
            owner.register_parameter(leaf, nn.Parameter(value))
        yield name, ".".join((*parents, leaf))


def _found(model: nn.Module, place: str) -> Tensor:
    owner, _, leaf = place.rpartition(".")
    found: Tensor = getattr(model.get_submodule(owner), leaf)
    return found
