"""The supernet that computes a program on any path of a plan."""

from __future__ import annotations

import copy
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, fx, nn

from tipsc.elastic import fitted
from tipsc.elastic.conversion.analysis import Analysis, bound, is_tensors
from tipsc.elastic.conversion.assemble_layers import LAYERS
from tipsc.elastic.conversion.capture import Program, hint, name_of, scope_of
from tipsc.elastic.conversion.choices import Plan
from tipsc.elastic.conversion.converted import Bypass, Call, ConvertedSupernet, Leave
from tipsc.elastic.conversion.functions import Attention, Function, LookUp, Size, Slot
from tipsc.elastic.conversion.heads import add_head, leaves_of
from tipsc.elastic.conversion.names import Names
from tipsc.elastic.conversion.resolutions import VIEWS
from tipsc.elastic.conversion.rules_shapes import SPLITS, around_slice
from tipsc.elastic.dims import Dim
from tipsc.elastic.layers import (
    ElasticLayer,
)
from tipsc.elastic.resolution import ElasticResize
from tipsc.errors import ConversionError

_FACTORIES = ("zeros", "ones", "full")
Gates: TypeAlias = tuple[tuple[str, int], ...]
"""(choice, least option) that switch an operation on, all of them."""


def assemble(
    program: Program,
    analysis: Analysis,
    plan: Plan,
    values: Mapping[str, Tensor],
    example: Tensor,
) -> ConvertedSupernet:
    """The supernet with these weights (permuted copies of the program's tensors)."""
    net = ConvertedSupernet(plan.space, tuple(example.shape[1:]), example.dtype)
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
        self.numbers: dict[fx.Node, int] = {program.input: 0}
        self.known: dict[object, str] = {}
        self.calls: list[Call | Bypass | Leave] = net._calls
        self.prefix = ""
        self._fresh = itertools.count(1)
        layers = (self._layer_name(node) for node in program.nodes() if self._is_layer(node))
        self.names = Names(layers, type(net))
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
            self.add(node)
            if node in self.bypasses:
                source, gate = self.bypasses[node]
                self.calls.append(Bypass(self.numbers[node], self.numbers[source], gate))
            for leave in leaves.get(node, ()):
                add_head(self, leave, self.plan.exits)
        self.net._finish(self.numbers[self.program.output])

    def within(self, prefix: str) -> Assembly:
        """One that goes on from here, but for itself: calls, names and layers are its own."""
        inner = copy.copy(self)
        inner.numbers, inner.known, inner.calls, inner.gates = dict(self.numbers), {}, [], {}
        inner.prefix = prefix
        return inner

    def add(self, node: fx.Node) -> None:
        """The calls of one operation."""
        name = name_of(node)
        if name == "getitem" and not is_tensors(node.meta.get("val")):
            return
        if self._is_layer(node):
            LAYERS[name](self, node, bound(node))
        elif name in ("dropout", "feature_dropout", "alpha_dropout") and not bound(node)["train"]:
            self._dropout(node, name)
        elif name == "scaled_dot_product_attention" and self._understood(node):
            self._attention(node, bound(node))
        else:
            self._function(node)

    def _understood(self, node: fx.Node) -> bool:
        args = bound(node)
        return not args["dropout_p"] and not args.get("enable_gqa")

    def _is_layer(self, node: fx.Node) -> bool:
        if name_of(node) not in LAYERS:
            return False
        args = bound(node)
        weight: Any = args.get("weight")
        x: Any = args.get("input", args.get("self", args.get("indices")))
        if name_of(node) == "batch_norm":
            return not args["training"] and args["running_mean"] in self.program.tensors
        if name_of(node) in ("layer_norm", "group_norm", "rms_norm") and (
            weight is None or (name_of(node) == "group_norm" and args["bias"] is None)
        ):
            return False
        bias = args.get("bias")
        return (
            weight in self.program.tensors
            and (bias is None or bias in self.program.tensors)
            and x not in self.program.tensors
            and len(self.analysis.axes[x]) >= 2 - (name_of(node) == "embedding")
            and (
                name_of(node)[:4] != "conv"
                or len(self.analysis.axes[x]) == len(self.analysis.axes[weight])
            )
        )

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
        if name_of(node) != "batch_norm":
            return _layer_name(self.program.tensors[args["weight"]])
        named = args["weight"] if args["weight"] is not None else args["running_mean"]
        return self.program.tensors[named].rpartition(".")[0] or "batch_norm"

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

    def _dropout(self, node: fx.Node, name: str) -> None:
        args = bound(node)
        rank = len(node.meta["val"].shape)
        kinds = {3: nn.Dropout1d, 4: nn.Dropout2d, 5: nn.Dropout3d}
        kind = {"dropout": nn.Dropout, "alpha_dropout": nn.AlphaDropout}.get(
            name, kinds.get(rank, nn.Dropout)
        )
        place = self.place(scope_of(node) or "dropout", kind(args["p"]))
        self.call(node, place, [args["input"]], "")

    def _attention(self, node: fx.Node, args: Mapping[str, Any]) -> None:
        query, key, mask = args["query"], args["key"], args["attn_mask"]
        sizes = [hint(n.meta["val"].shape[-2]) for n in (query, key)]
        scale = args.get("scale") or 1 / math.sqrt(hint(query.meta["val"].shape[-1]))
        causal = None
        if args["is_causal"]:
            keep = torch.ones(sizes, dtype=torch.bool).tril()
            causal = torch.zeros(sizes).masked_fill(~keep, float("-inf"))
        kind = "none"
        if mask is not None:
            kind = "keep" if mask.meta["val"].dtype == torch.bool else "add"
        place = self.place(
            f"{scope_of(node)}.attention".lstrip("."), Attention(scale, kind, causal)
        )
        inputs = [query, key, args["value"], *([mask] if mask is not None else [])]
        self.call(node, place, inputs, "first")

    def _function(self, node: fx.Node) -> None:
        name = name_of(node)
        inputs: list[fx.Node] = []

        def slot(source: fx.Node) -> Any:
            if source not in inputs:
                inputs.append(source)
            return Slot(inputs.index(source))

        target: Any = node.target
        arguments: Any
        named: Any = {}
        args = bound(node) if isinstance(node.target, torch._ops.OpOverload) else {}
        if name in VIEWS and self._batches(node) <= 1:
            target = torch.reshape
            arguments = (slot(args["self"]), self._shape(node))
        elif name in SPLITS and self._batches_in(args["self"], args["dim"]) == 0:
            axis = args["dim"] % len(self.analysis.axes[args["self"]])
            sizes = [_size(self.plan.dim(axes[axis])) for axes in self.analysis.axes[node]]
            target, arguments = torch.split, (slot(args["self"]), sizes, axis)
        elif name in _FACTORIES and not node.kwargs.get("layout"):
            target, named = f"new_{name}", {"dtype": node.meta["val"].dtype}
            arguments = (slot(self.program.input), *fx.node.map_arg(node.args, slot))
        elif name == "index" and (chosen := self._one_index(args)) is not None:
            axis, index = chosen
            if index.meta["val"].dim() > 1 and self._batches(node) <= 1:
                self._look_up(node, args["self"], axis, index)
                return
            if index.meta["val"].dim() == 1:
                target, arguments = torch.index_select, (slot(args["self"]), axis, slot(index))
            else:
                arguments = fx.node.map_arg(node.args, slot)
        elif name == "slice" and self._elastic_slice(args):
            self._as_split(node, args)
            return
        elif name in ("expand", "expand_as"):
            target = torch.ops.aten.expand.default
            source = args["self"]
            lacking = len(node.meta["val"].shape) - len(source.meta["val"].shape)
            shape = []
            for place, size in enumerate(node.meta["val"].shape):
                own = place - lacking
                kept = own >= 0 and hint(source.meta["val"].shape[own]) == hint(size)
                if kept:
                    shape.append(-1)
                elif isinstance(size, torch.SymInt) and name == "expand":
                    shape.append(fx.node.map_arg(args["size"][place], slot))
                elif isinstance(size, torch.SymInt):
                    shape = None  # type: ignore[assignment]
                    break
                else:
                    shape.append(_size(self.plan.dim(self.analysis.axes[node][place])))
            if shape is None:
                target, arguments = node.target, fx.node.map_arg(node.args, slot)
            else:
                arguments = (slot(source), shape)
        else:
            arguments = fx.node.map_arg(node.args, slot)
            named = fx.node.map_arg(node.kwargs, slot)
        scope = scope_of(node)
        leaf = name.strip("_") or "operation"
        module = self.place(
            ".".join(filter(None, (scope, leaf))), Function(target, arguments, named)
        )
        self.call(node, module, inputs, "first")

    def _one_index(self, args: Mapping[str, Any]) -> tuple[int, fx.Node] | None:
        """Axis and index, if one axis is looked up by places from its beginning: a gather."""
        chosen = [(place, i) for place, i in enumerate(args["indices"]) if i is not None]
        if len(chosen) != 1 or chosen[0][1].meta["val"].dtype != torch.int64:
            return None
        known = self.program.values.get(self.program.tensors.get(chosen[0][1], ""))
        return None if known is not None and bool((known < 0).any()) else chosen[0]

    def _look_up(self, node: fx.Node, x: fx.Node, axis: int, index: fx.Node) -> None:
        leaf = ".".join(filter(None, (scope_of(node), "index")))
        module = self.place(leaf, LookUp(axis, self._shape(node)))
        self.call(node, module, [x, index], "first")

    def _shape(self, node: fx.Node) -> list[Any]:
        dims = self.plan.shape(node, self.analysis.axes[node])
        if dims is None:
            raise ConversionError(
                "an axis holds channels and places, so that its size follows width and resolution",
                where=scope_of(node) or "the model",
                fix="leave resolutions out, or pool before the channels are flattened",
            )
        return [
            -1 if isinstance(size, torch.SymInt) else _size(dim)
            for size, dim in zip(node.meta["val"].shape, dims, strict=True)
        ]

    def _batches(self, node: fx.Node) -> int:
        return sum(isinstance(size, torch.SymInt) for size in node.meta["val"].shape)

    def _batches_in(self, node: fx.Node, axis: int) -> int:
        return int(isinstance(node.meta["val"].shape[axis], torch.SymInt))

    def _elastic_slice(self, args: Mapping[str, Any]) -> bool:
        axes = self.analysis.axes[args["self"]]
        return not isinstance(self.plan.dim(axes[args["dim"]]), int)

    def _as_split(self, node: fx.Node, args: Mapping[str, Any]) -> None:
        """A slice of an axis that depends on the path: a split, of which one piece is taken."""
        source, axis = args["self"], args["dim"] % len(self.analysis.axes[args["self"]])
        whole, size = self.analysis.axes[source][axis], hint(node.meta["val"].shape[axis])
        pieces = around_slice(whole, args["start"] or 0, size)
        kept = [i for i, piece in enumerate(pieces) if piece]
        scope = scope_of(node)
        if len(kept) == 1:
            self.numbers[node] = self.value(source)
            return
        sizes = [_size(self.plan.dim(pieces[i])) for i in kept]
        split = Function(torch.split, (Slot(0), sizes, axis), {})
        place = self.place(".".join(filter(None, (scope, "slice"))), split)
        gates = self.gates.get(node, ())
        number = self._called(place, (self.value(source),), "first", gates)
        pick = Function(operator.getitem, (Slot(0), kept.index(1)), {})
        place = self.place(".".join(filter(None, (scope, "piece"))), pick)
        self.numbers[node] = self._called(place, (number,), "first", gates)


def _common(gates: Sequence[Gates]) -> Gates:
    """What switches on a value that several operations read: what each of them needs at least."""
    each = [dict(gate) for gate in gates]
    return tuple(
        (choice, min(gate[choice] for gate in each))
        for choice in (each[0] if each else ())
        if all(choice in gate for gate in each)
    )


def _size(dim: Dim) -> Any:
    return dim if isinstance(dim, int) else Size(dim)


def _layer_name(tensor: str) -> str:
    owner, _, leaf = tensor.rpartition(".")
    if leaf == "weight" and owner:
        return owner
    head, _, tail = tensor.rpartition("_weight")
    return head + tail if head else tensor
