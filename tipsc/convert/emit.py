"""Adds operations to a supernet, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, fx, nn

from tipsc.convert.converted import Bypass, Call, ConvertedSupernet, Leave
from tipsc.convert.functions import Function, Size, Slot
from tipsc.convert.names import Names
from tipsc.convert.program import Program, bound, name_of, place_of, scope_of
from tipsc.convert.sizes import Sizes
from tipsc.convert.units import Axis, Structure
from tipsc.elastic import fitted
from tipsc.elastic.dims import Dim
from tipsc.elastic.layers import ElasticLayer
from tipsc.errors import ConversionError

Gates: TypeAlias = tuple[tuple[str, int], ...]
"""(choice, least option) that switch an operation on, all of them."""


@dataclass
class Emitter:
    """What operations are added by; how each is built again stands in its record.

    Attributes:
        program: whose operations they are.
        structure, sizes: of its axes.
        values: its tensors, by name.
        net: the supernet.
        names: of its modules.
        gates: of the operations that not all paths compute.
        calls: what was added.
        numbers: of the values of operations that were added; the first ones are the inputs.
        fresh: numbers of the values to come.
        known: names of layers that were added, by what makes two of them one.
        prefix: of the names of modules.
    """

    program: Program
    structure: Structure
    sizes: Sizes
    values: Mapping[str, Tensor]
    net: ConvertedSupernet
    names: Names
    gates: Mapping[fx.Node, Gates]
    calls: list[Call | Bypass | Leave]
    numbers: dict[fx.Node, int]
    fresh: Iterator[int]
    known: dict[object, str] = field(default_factory=dict)
    prefix: str = ""

    def within(self, prefix: str) -> Emitter:
        """One that goes on from here, but for itself: calls, names and layers are its own."""
        return replace(
            self, gates={}, calls=[], numbers=dict(self.numbers), known={}, prefix=prefix
        )

    # ---- pieces -------------------------------------------------------------------------------

    def dims(self, node: fx.Node) -> tuple[Dim, ...]:
        return tuple(self.sizes.dim(axis) for axis in self.structure.axes[node])

    def tensor(self, node: fx.Node | None) -> Tensor | None:
        return None if node is None else self.values[self.program.tensors[node]]

    def place(self, name: str, module: nn.Module) -> str:
        """Registers a module under this name, or one like it that is free."""
        return self._put(self.names.new(self.prefix + name), module)

    def place_layer(self, node: fx.Node, module: nn.Module) -> str:
        """Registers the module of a layer, under the name that it has in the model."""
        return self._put(self.names.of_layer(self.prefix + layer_name(self.program, node)), module)

    def _put(self, name: str, module: nn.Module) -> str:
        owner: nn.Module = self.net
        *parents, leaf = name.split(".")
        for parent in parents:
            if parent not in owner._modules:
                owner.add_module(parent, nn.Module())
            owner = cast(nn.Module, owner._modules[parent])
        owner.add_module(leaf, module)
        return name

    def call(self, node: fx.Node, module: str, inputs: Iterable[fx.Node], with_path: str) -> None:
        read = tuple(self.value(n) for n in inputs)
        self.numbers[node] = self._called(module, read, with_path, self.gates.get(node, ()))

    def emit(self, name: str, module: nn.Module, inputs: tuple[int, ...], with_path: str) -> int:
        """A call that the program does not have; gives the number of its value."""
        return self._called(self.place(name, module), inputs, with_path, ())

    def _called(self, module: str, inputs: tuple[int, ...], with_path: str, gates: Gates) -> int:
        number = next(self.fresh)
        self.calls.append(Call(module, inputs, number, with_path, gates))
        return number

    def value(self, node: fx.Node) -> int:
        """The number of a node's value; a tensor that is read by itself becomes a call first."""
        if node not in self.numbers:
            name = self.program.tensors[node]
            module = fitted.FittedTensor(cast(Tensor, self.tensor(node)), self.dims(node))
            place = self.place(name, module)
            is_given = node in self.program.outputs
            gates = () if is_given else _common([self.gates.get(u, ()) for u in node.users])
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
        return _size(self.sizes.dim(axis))

    def shape(self, node: fx.Node) -> list[int | Size]:
        """Of an operation's output on a path, -1 for the batch, as an argument of a function."""
        dims = self.sizes.shape(node, self.structure.axes[node])
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


def layer_name(program: Program, node: fx.Node) -> str:
    """The name that a layer has in the model: that of its weights."""
    args = bound(node)
    named = args["weight"] if args["weight"] is not None else args["running_mean"]
    tensor = program.tensors[named]
    owner, _, leaf = tensor.rpartition(".")
    if leaf in ("weight", "running_mean") and owner:
        return owner
    head, _, tail = tensor.rpartition("_weight")
    return head + tail if head else tensor


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
