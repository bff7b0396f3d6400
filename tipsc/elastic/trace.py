"""What a supernet computes on one path, as a graph of labelled steps.

The same trace serves everything that must know the network's structure: extraction, lowering,
the Markov chain's graph, and the counting of operations. It is made by torch.fx with the path as
a constant, so that the supernet's control flow has been decided and each elastic layer is one
node. Labels are stable: the same step has the same label on every path that takes it.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from tipsc.elastic.dims import group
from tipsc.elastic.layers import ElasticLayer, operation_of
from tipsc.elastic.looking import at_rest
from tipsc.elastic.operations import arithmetic_of
from tipsc.elastic.supernet import Supernet
from tipsc.errors import LoweringError, first_line
from tipsc.paths import Path
from tipsc.signature import TensorSpec
from tipsc.tree import fields_of

INPUT = "input"  # the first one; others have their name behind it: "input:mask"
_PREFIX = "net."


@dataclass(frozen=True)
class TracedStep:
    """One operation on one path.

    Attributes:
        label: stable across paths; a layer's label is its name in the supernet.
        inputs: labels of the steps whose outputs it reads; ``"input"`` is the network's input, see
            :func:`input_labels`.
        module: the layer's name in the supernet, or "" for a function of torch or a parameter.
        operation: "module", "parameter", or the function's name.
        shape: of its output, for a batch of one; () if it gives several tensors.
        parts: their shapes, if it gives several tensors (a split).
        channel_groups: how many width groups of its output are active: the k-th option of a
            width has k.
        channelwise: whether each group of the output reads only the same group of the inputs.
        equation: of an einsum; "" of all else.
    """

    label: str
    inputs: tuple[str, ...]
    module: str
    operation: str
    shape: tuple[int, ...]
    parts: tuple[tuple[int, ...], ...] = ()
    channel_groups: int = 1
    channelwise: bool = False
    equation: str = ""


@dataclass(frozen=True)
class Trace:
    """A path's steps in the order of computation.

    Attributes:
        outputs: labels of what it gives, in the order of the tree.
        constants: what is computed from shapes alone (a size, say), by label; for a batch of one.
    """

    path: Path
    steps: tuple[TracedStep, ...]
    graph: fx.Graph
    constants: Mapping[str, object]
    outputs: tuple[str, ...]

    def nodes(self) -> Iterator[tuple[fx.Node, str]]:
        """The fx nodes that compute (no placeholder, no output), with their labels."""
        for node in self.graph.nodes:
            if node.op not in ("placeholder", "output"):
                yield node, node.meta["label"]


class _Root(nn.Module):
    """Binds the path, which fx must not see as an input."""

    def __init__(self, net: Supernet, path: Path) -> None:
        super().__init__()
        self.net = net
        self._path = path
        self._count = len(net.inputs)

    def forward(self, x: Any) -> Any:
        # Of several inputs these are places in one, until :func:`_with_inputs` sees the graph.
        given = (x,) if self._count == 1 else (x[i] for i in range(self._count))
        return self.net(*given, self._path)


class _Tracer(fx.Tracer):
    def __init__(self) -> None:
        super().__init__()
        self._seen: Counter[str] = Counter()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, ElasticLayer) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(m, ElasticLayer):
            args = tuple(a for a in args if not isinstance(a, Path))
            kwargs = {k: v for k, v in kwargs.items() if not isinstance(v, Path)}
        return super().call_module(m, forward, args, kwargs)

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Mapping) and dataclasses.is_dataclass(a):  # for fx it is a dict only
            fields = {name: getattr(a, name) for name in fields_of(a) or ()}
            kept = {name: self.create_arg(v) for name, v in fields.items() if v is not None}
            return self.create_node("call_function", type(a), (), kept)
        return super().create_arg(a)

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(kind, target, *args, **kwargs)
        if kind == "placeholder":
            label = INPUT
        elif kind in ("call_module", "get_attr"):
            label = node.target = str(target).removeprefix(_PREFIX)
        else:
            scope = next(reversed(self.module_stack), "") if self.module_stack else ""
            name = _name(target)
            label = ".".join(filter(None, (scope.removeprefix("net").removeprefix("."), name)))
        self._seen[label] += 1
        count = self._seen[label]
        node.meta["label"] = label if count == 1 else f"{label}#{count}"
        return node


def input_labels(inputs: Sequence[TensorSpec]) -> tuple[str, ...]:
    """Of the network's inputs, in order."""
    return (INPUT, *(f"{INPUT}:{spec.name}" for spec in inputs[1:]))


def _with_inputs(graph: fx.Graph, inputs: Sequence[TensorSpec]) -> fx.Graph:
    """The graph with a placeholder for each of several inputs."""
    if len(inputs) == 1:
        return graph
    (given,) = (node for node in graph.nodes if node.op == "placeholder")
    items = {node.args[1]: node for node in given.users}
    for place, (spec, label) in enumerate(zip(inputs, input_labels(inputs), strict=True)):
        with graph.inserting_before(given):
            node = graph.placeholder(re.sub(r"\W", "_", spec.name))
        node.meta["label"] = label
        items[place].replace_all_uses_with(node)
        graph.erase_node(items[place])
    graph.erase_node(given)
    return graph


def _outputs(value: Any) -> Iterator[str]:
    """Labels of the tensors in what a graph gives."""
    if isinstance(value, fx.Node) and isinstance(value.target, type):  # a record of them
        yield from _outputs([*value.args, *value.kwargs.values()])
    elif isinstance(value, fx.Node):
        yield value.meta["label"]
    elif isinstance(value, Mapping):
        yield from _outputs(list(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _outputs(part)


def skeleton(supernet: Supernet) -> Supernet:
    """A copy without values: shapes can be computed on it at no cost."""
    memo: dict[int, Any] = {}
    for tensor in (*supernet.parameters(), *supernet.buffers()):
        empty = torch.empty_like(tensor, device="meta")
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
    return copy.deepcopy(supernet, memo).eval()


def trace(supernet: Supernet, path: Path) -> Trace:
    """The steps of `path`.

    Trace many paths of one supernet from its :func:`skeleton`, which spares the arithmetic.

    Raises:
        LoweringError: the forward pass cannot be traced, with the reason that torch.fx gives.
    """
    tracer = _Tracer()
    try:
        with at_rest(supernet):
            graph = _with_inputs(tracer.trace(_Root(supernet, path)), supernet.inputs)
            values = _Values(supernet, graph, path).of_nodes()
    except LoweringError:
        raise
    except Exception as error:
        raise LoweringError(
            f"the forward pass cannot be traced: {first_line(error)}",
            where=f"{type(supernet).__name__}, path {path.id}",
            fix="let control flow depend on the path only, not on the values of tensors",
        ) from error
    steps: list[TracedStep] = []
    constants: dict[str, object] = {}
    groups = dict.fromkeys(input_labels(supernet.inputs), 1)
    for node in graph.nodes:
        if node.op in ("placeholder", "output"):
            continue
        value = values[node]
        if not _is_tensors(value):
            constants[node.meta["label"]] = value
            continue
        inputs = tuple(n.meta["label"] for n in sources(node) if n.meta["label"] not in constants)
        shape, parts = _shapes(value)
        module = str(node.target) if node.op == "call_module" else ""
        groups[node.meta["label"]], channelwise = _grouping(
            supernet.get_submodule(module) if module else None, path, [groups[i] for i in inputs]
        )
        steps.append(
            TracedStep(
                node.meta["label"],
                inputs,
                module,
                _operation(node),
                shape,
                parts,
                groups[node.meta["label"]],
                channelwise,
                _equation(node),
            )
        )
    (given,) = (node for node in graph.nodes if node.op == "output")
    return Trace(path, tuple(steps), graph, constants, tuple(_outputs(given.args[0])))


def sources(node: fx.Node) -> list[fx.Node]:
    """What a node reads, in order; twice if it does so twice.

    A skip around blocks that a path leaves out joins a value with itself.
    """
    found: list[fx.Node] = []
    fx.node.map_arg((node.args, node.kwargs), found.append)
    return found


def _grouping(layer: nn.Module | None, path: Path, inputs: list[int]) -> tuple[int, bool]:
    """Width groups of an output, and whether it is computed channel by channel."""
    if isinstance(layer, ElasticLayer):
        return group(layer.width, path), layer.channelwise
    mixes = layer is not None and any(value.dim() > 1 for value in layer.parameters())
    return (1, False) if mixes else (max(inputs, default=1), True)


def _equation(node: fx.Node) -> str:
    return next((text for text in node.args if isinstance(text, str)), "")


def _shapes(value: Any) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    if isinstance(value, Tensor):
        return tuple(value.shape), ()
    return (), tuple(tuple(item.shape) for item in value)


def _is_tensors(value: object) -> bool:
    if isinstance(value, tuple | list):
        return bool(value) and all(isinstance(item, Tensor) for item in value)
    return isinstance(value, Tensor)


def _operation(node: fx.Node) -> str:
    if node.op == "call_module":
        return "module"
    if node.op == "get_attr":
        return "parameter"
    return _name(node.target)


def _name(target: Any) -> str:
    """Of a function or method; of an ATen operator without its overload."""
    return target if isinstance(target, str) else target.__name__.partition(".")[0]


def _tensors(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    return sum(isinstance(value, Tensor) for value in (*args, *kwargs.values()))


class _Values(fx.Interpreter):
    """Runs the graph for a batch of one and keeps the value of each node."""

    def __init__(self, supernet: Supernet, graph: fx.Graph, path: Path) -> None:
        super().__init__(supernet, garbage_collect_values=False, graph=graph)
        self._supernet = supernet
        self._path = path

    def of_nodes(self) -> dict[fx.Node, Any]:
        device = next(iter(self._supernet.parameters())).device
        with torch.no_grad():
            self.run(*self._supernet.examples(device=device))
        return self.env

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if arithmetic_of(_name(target).rstrip("_")).keeps_shape and _tensors(args, kwargs) == 1:
            return args[0]
        return super().call_function(target, args, kwargs)

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(target)
        if arithmetic_of(operation_of(module)).keeps_shape:
            return args[0]
        if isinstance(module, ElasticLayer):
            return module(*args, self._path, **kwargs)
        return module(*args, **kwargs)
