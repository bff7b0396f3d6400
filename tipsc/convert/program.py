"""A model as a list of operations, and what can be asked of one of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from tipsc.errors import ConversionError

LIMIT_S = 600  # of a conversion: ten minutes are a defect, and not the user's


@dataclass
class Program:
    """A model as operations.

    Attributes:
        graph: placeholders are the inputs and the tensors; the rest are ATen operators and
            arithmetic on sizes; no operation writes into a tensor of another one.
        inputs: the nodes of the inputs.
        outputs: the nodes that give the outputs; one may give several.
        tensors: node of each parameter, buffer or constant -> its name.
        values: the tensors by name.
        notes: what was seen on the way, (layer, remark).
        sources: for weights that were computed of parameters: the name of one of the same shape.
        begun: when its conversion began, in seconds of the monotonic clock.
    """

    graph: fx.Graph
    inputs: tuple[fx.Node, ...]
    outputs: tuple[fx.Node, ...]
    tensors: dict[fx.Node, str]
    values: dict[str, Tensor]
    notes: list[tuple[str, str]] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)

    @property
    def input(self) -> fx.Node:
        """The first input whose first axis are the examples."""
        return next(
            node for node in self.inputs if isinstance(node.meta["val"].shape[0], torch.SymInt)
        )

    def replace(self, old: fx.Node, new: fx.Node) -> None:
        """Whatever reads `old` reads `new`, and what `old` gave `new` gives."""
        old.replace_all_uses_with(new)
        self.outputs = tuple(new if node is old else node for node in self.outputs)

    def check_time(self, node: fx.Node) -> None:
        """Raises ConversionError if the conversion has come as far as this in too long a time."""
        require_time(self.begun, partial(place_of, node))

    def operations(self) -> Iterator[str]:
        """Each operation with its arguments, in order, as text that is the same in all processes.

        Two models with the same operations and the same :attr:`values` compute the same.
        """
        numbers: dict[fx.Node, str] = {}
        for node in self.graph.nodes:
            numbers[node] = f"%{len(numbers)}"
            arguments = fx.node.map_arg((node.args, node.kwargs), lambda n: numbers[n])
            named = "input" if node in self.inputs else self.tensors.get(node, "")
            target = node.target if node.op == "call_function" else ""
            yield f"{node.op} {target} {named} {arguments}"
        yield f"output {' '.join(numbers[node] for node in self.outputs)}"

    def nodes(self) -> list[fx.Node]:
        """All that computes, in order."""
        return [n for n in self.graph.nodes if n.op == "call_function"]

    def add_tensor(self, wanted: str, value: Tensor, like: fx.Node) -> fx.Node:
        """A tensor of its own, under a name that is this one or like it.

        Args:
            like: an operation in whose place, or for which, it was made.
        """
        name, count = wanted, 2
        while name in self.values:
            name, count = f"{wanted}_{count}", count + 1
        with self.graph.inserting_before(next(iter(self.graph.nodes))):
            node = self.graph.placeholder(name.replace(".", "_"))
        mode = self.input.meta["val"].fake_mode
        node.meta["val"] = mode.from_tensor(value.detach(), static_shapes=True)
        self.tensors[node], self.values[name] = name, value
        return node


def require_time(begun: float, place: Callable[[], str]) -> None:
    """Ends a conversion that takes too long.

    Args:
        begun: when it began, in seconds of the monotonic clock.
        place: says how far it has come.

    Raises:
        ConversionError: it does.
    """
    taken = time.monotonic() - begun
    if taken > LIMIT_S:
        raise ConversionError(
            "the conversion takes too long",
            where=place(),
            expected=f"at most {LIMIT_S} s",
            got=f"{taken:.0f} s",
            fix="convert a smaller part of the model, or with fewer options",
        )


def name_of(node: fx.Node) -> str:
    """The operator's name without its overload: ``add`` for ``aten.add.Tensor``."""
    return str(getattr(node.target, "__name__", node.target)).partition(".")[0]


_NO_SCOPE = "_empty_nn_module_stack"  # what torch calls the scope of what it writes itself


def scope_of(node: fx.Node) -> str:
    """The module in whose forward pass the node stands, "" for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    scopes = [path for path, _ in stack.values()]
    scope = scopes[-1] if scopes else ""
    return "" if scope.startswith(_NO_SCOPE) else scope.partition("@")[0]


_FRAME = re.compile(r'File "(.+)", line (\d+), in ')
_TORCH = str(Path(torch.__file__).parent)


def place_of(node: fx.Node) -> str:
    """Where an operation stands: layer, operation, and the line of the user's file."""
    found = f"{scope_of(node) or 'the model itself'}, {name_of(node)}"
    lines = _FRAME.findall(node.meta.get("stack_trace") or "")
    own = [(file, line) for file, line in lines if not is_of_torch(file)]
    return f"{found} ({own[-1][0]}, line {own[-1][1]})" if own else found


def is_of_torch(file: str) -> bool:
    """Whether a line of code is not the user's."""
    return file.startswith(_TORCH)


def hint(size: Any) -> int:
    """A size of the exported example, symbolic or not."""
    return int(size.node.hint) if isinstance(size, torch.SymInt) else int(size)


def is_tensors(value: Any) -> bool:
    """Whether a node gives a tensor, or several."""
    if isinstance(value, tuple | list):
        return bool(value) and all(isinstance(item, Tensor) for item in value)
    return isinstance(value, Tensor)


def bound(node: fx.Node) -> dict[str, Any]:
    """The arguments of an ATen operation by name, defaults filled in."""
    schema = node.target._schema  # type: ignore[union-attr]
    arguments = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    names = [a.name for a in schema.arguments]
    arguments |= dict(zip(names, node.args, strict=False))
    return arguments | node.kwargs
