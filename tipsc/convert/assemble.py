"""The supernet that computes a program on any path of a plan."""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, fx, nn

from tipsc.convert.analysis import Analysis
from tipsc.convert.axes import Axis
from tipsc.convert.blame import blamed_on
from tipsc.convert.choices import Plan
from tipsc.convert.converted import Bypass, Call, ConvertedSupernet, Leave
from tipsc.convert.functions import Function, Size, Slot
from tipsc.convert.heads import add_head, leaves_of
from tipsc.convert.names import Names
from tipsc.convert.ops import op_of
from tipsc.convert.outputs import OutputTree
from tipsc.convert.program import Program, bound, is_tensors, name_of, place_of, scope_of
from tipsc.elastic import fitted
from tipsc.elastic.dims import Dim
from tipsc.elastic.layers import (
    ElasticLayer,
)
from tipsc.elastic.resolution import ElasticResize
from tipsc.errors import ConversionError
from tipsc.signature import Signature

Gates: TypeAlias = tuple[tuple[str, int], ...]
"""(choice, least option) that switch an operation on, all of them."""


def assemble(
    program: Program,
    analysis: Analysis,
    plan: Plan,
    values: Mapping[str, Tensor],
    signature: Signature,
    outputs: OutputTree,
) -> ConvertedSupernet:
    """The supernet with these weights (permuted copies of the program's tensors)."""
    net = ConvertedSupernet(plan.space, signature, outputs)
    Assembly(program, analysis, plan, values, net).run()
    return net


class Assembly:
    def __init__(
        self,
        program: Program,
        analysis: Analysis,
        plan: Plan,
        values: Mapping[str, Tensor],
        net: ConvertedSupernet,
    ) -> None:
        self.program = program
        self.analysis = analysis
        self.plan = plan
        self.values = values
        self.net = net
        self.numbers = {node: number for number, node in enumerate(program.inputs)}
        self.known: dict[object, str] = {}
        self.calls: list[Call | Bypass | Leave] = net._calls
        self.prefix = ""
        self._fresh = itertools.count(len(program.inputs))
        layers = (self._layer_name(node) for node in program.nodes() if self._is_layer(node))
        self.names = Names(layers, net)
        self.gates: dict[fx.Node, Gates] = {}
        for node in program.nodes():
            gate = plan.exits.gate([node])
            if gate is not None:
                self.gates[node] = (gate,)
        for stage, choice in plan.stages:
            for index, block in enumerate(stage.blocks):
                if index >= stage.kept[0]:
                    for node in block.nodes:
                        self.gates[node] = (*self.gates.get(node, ()), (choice.name, index + 1))
        self.bypasses = {
            block.exit: (block.entry, (choice.name, index + 1))
            for stage, choice in plan.stages
            for index, block in enumerate(stage.blocks)
            if index >= stage.kept[0]
        }

    def run(self) -> None:
        if self.plan.resolutions is not None:  # all else reads the resized input as value 0
            place = self.place("resize", ElasticResize(self.plan.resolutions.choice))
            self.calls.append(Call(place, (0,), 0, "last", ()))
        leaves = leaves_of(self.program, self.plan.exits)
        for node in self.program.nodes():
            self.program.check_time(node)
            with blamed_on(node):
                self.add(node)
            if node in self.bypasses:
                source, gate = self.bypasses[node]
                self.calls.append(Bypass(self.numbers[node], self.numbers[source], gate))
            for leave in leaves.get(node, ()):
                add_head(self, leave, self.plan.exits)
        self.net._finish([self.value(node) for node in self.program.outputs])

    def within(self, prefix: str) -> Assembly:
        """One that goes on from here, but for itself: calls, names and layers are its own."""
        inner = copy.copy(self)
        inner.numbers, inner.known, inner.calls, inner.gates = dict(self.numbers), {}, [], {}
        inner.prefix = prefix
        return inner

    def add(self, node: fx.Node) -> None:
        """The calls of one operation."""
        if node.target is operator.getitem and not is_tensors(node.meta.get("val")):
            return
        op = op_of(node)
        if op.build is None or (op.is_layer is not None and not self._is_layer(node)):
            self.same(node)
        else:
            op.build(self, node, bound(node))

    def _is_layer(self, node: fx.Node) -> bool:
        is_layer = op_of(node).is_layer
        return is_layer is not None and is_layer(self, bound(node))

    # ---- pieces -------------------------------------------------------------------------------

    def dims(self, node: fx.Node) -> tuple[Dim, ...]:
        return tuple(self.plan.dim(axis) for axis in self.analysis.axes[node])

    def tensor(self, node: fx.Node | None) -> Tensor | None:
        return None if node is None else self.values[self.program.tensors[node]]

    def place(self, name: str, module: nn.Module) -> str:
        """Registers a module under this name, or one like it that is free."""
        return self._put(self.names.new(self.prefix + name), module)

    def place_layer(self, node: fx.Node, module: nn.Module) -> str:
        """Registers the module of a layer, under the name that it has in the model."""
        return self._put(self.names.of_layer(self.prefix + self._layer_name(node)), module)

    def _put(self, name: str, module: nn.Module) -> str:
        owner: nn.Module = self.net
        *parents, leaf = name.split(".")
        for parent in parents:
            if parent not in owner._modules:
                owner.add_module(parent, nn.Module())
            owner = cast(nn.Module, owner._modules[parent])
        owner.add_module(leaf, module)
        return name

    def _layer_name(self, node: fx.Node) -> str:
        args = bound(node)
        named = args["weight"] if args["weight"] is not None else args["running_mean"]
        return _layer_name(self.program.tensors[named])

    def call(self, node: fx.Node, module: str, inputs: Iterable[fx.Node], with_path: str) -> None:
        read = tuple(self.value(n) for n in inputs)
        self.numbers[node] = self._called(module, read, with_path, self.gates.get(node, ()))

    def emit(self, name: str, module: nn.Module, inputs: tuple[int, ...], with_path: str) -> int:
        """A call that the program does not have; gives the number of its value."""
        return self._called(self.place(name, module), inputs, with_path, ())

    def _called(self, module: str, inputs: tuple[int, ...], with_path: str, gates: Gates) -> int:
        number = next(self._fresh)
        self.calls.append(Call(module, inputs, number, with_path, gates))
        return number

    def value(self, node: fx.Node) -> int:
        """The number of a node's value; a tensor that is read by itself becomes a call first."""
        if node not in self.numbers:
            name = self.program.tensors[node]
            module = fitted.FittedTensor(cast(Tensor, self.tensor(node)), self.dims(node))
            place = self.place(name, module)
            gates = _common([self.gates.get(user, ()) for user in node.users])
            self.numbers[node] = self._called(place, (), "last", gates)
        return self.numbers[node]

    def layer(
        self,
        node: fx.Node,
        key: object,
        make: Callable[[], tuple[nn.Module, nn.Module | None]],
        x: fx.Node,
    ) -> None:
        """A layer with weights: the same module for the same weights and settings."""
        if key not in self.known:
            elastic, plain = make()
            module = elastic
            if plain is not None and isinstance(elastic, fitted.FittedLayer):
                plain.train()
                for name, value in (*elastic._parameters.items(), *elastic._buffers.items()):
                    if isinstance(value, nn.Parameter) or value is None:
                        plain.register_parameter(name, cast(Any, value))
                    else:
                        plain._parameters.pop(name, None)
                        plain.register_buffer(name, value)
                module = plain
            self.known[key] = self.place_layer(node, module)
        name = self.known[key]
        is_elastic = isinstance(self.net.get_submodule(name), ElasticLayer)
        self.call(node, name, [x], "last" if is_elastic else "")

    # ---- operations without weights -----------------------------------------------------------

    def same(self, node: fx.Node) -> None:
        """The operation as it is, on what a path has."""
        self.function(node, node.target, node.args, node.kwargs)

    def function(
        self,
        node: fx.Node,
        target: Any,
        arguments: Sequence[Any],
        named: Mapping[str, Any] | None = None,
    ) -> None:
        """A function in an operation's place; nodes among its arguments are what it reads."""
        inputs: list[fx.Node] = []

        def slot(source: fx.Node) -> Any:
            if source not in inputs:
                inputs.append(source)
            return Slot(inputs.index(source))

        filled = fx.node.map_arg((tuple(arguments), dict(named or {})), slot)
        self.module(node, name_of(node), Function(target, *filled), inputs)

    def module(
        self, node: fx.Node, leaf: str, module: nn.Module, inputs: Sequence[fx.Node]
    ) -> None:
        """A module that is given the path, in an operation's place."""
        read = tuple(self.value(n) for n in inputs)
        self.numbers[node] = self.step(node, leaf, module, read)

    def step(self, node: fx.Node, leaf: str, module: nn.Module, inputs: tuple[int, ...]) -> int:
        """A module that is given the path, for an operation; gives the number of its value."""
        name = ".".join(filter(None, (scope_of(node), leaf.strip("_") or "operation")))
        return self._called(self.place(name, module), inputs, "first", self.gates.get(node, ()))

    def size(self, axis: Axis) -> int | Size:
        """Of an axis on a path, as an argument of a function."""
        return _size(self.plan.dim(axis))

    def shape(self, node: fx.Node) -> list[int | Size]:
        """Of an operation's output on a path, -1 for the batch, as an argument of a function."""
        dims = self.plan.shape(node, self.analysis.axes[node])
        if dims is None:
            raise ConversionError(
                "an axis holds channels and places, so that its size follows width and resolution",
                where=place_of(node),
                fix="leave resolutions out, or pool before the channels are flattened",
            )
        return [
            -1 if isinstance(size, torch.SymInt) else _size(dim)
            for size, dim in zip(node.meta["val"].shape, dims, strict=True)
        ]


def _common(gates: Sequence[Gates]) -> Gates:
    """What switches on a value that several operations read: what each of them needs at least."""
    each = [dict(gate) for gate in gates]
    return tuple(
        (choice, min(gate[choice] for gate in each))
        for choice in (each[0] if each else ())
        if all(choice in gate for gate in each)
    )


def _size(dim: Dim) -> int | Size:
    return dim if isinstance(dim, int) else Size(dim)


def _layer_name(tensor: str) -> str:
    owner, _, leaf = tensor.rpartition(".")
    if leaf in ("weight", "running_mean") and owner:
        return owner
    head, _, tail = tensor.rpartition("_weight")
    return head + tail if head else tensor
