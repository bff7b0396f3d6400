"""Writes operations in the place of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from tipsc.convert.program import Program, bound, name_of, scope_of

aten = torch.ops.aten


class Writer:
    """Writes operations in the place of one.

    Args:
        node: the operation; what is written has its scope and its line.
    """

    def __init__(self, program: Program, node: fx.Node) -> None:
        self.program = program
        self.node = node
        self.args = bound(node)

    def __call__(self, target: Any, *args: Any, **named: Any) -> fx.Node:
        """An operation before the one that is replaced."""
        with self.program.graph.inserting_before(self.node):
            made = self.program.graph.call_function(target, args, named)
        kept = ("nn_module_stack", "stack_trace")
        made.meta = {key: self.node.meta[key] for key in kept if key in self.node.meta}
        values = fx.node.map_arg((args, named), lambda n: n.meta["val"])
        with torch.no_grad(), self.program.input.meta["val"].fake_mode:
            made.meta["val"] = target(*values[0], **values[1])
        return made

    def tensor(self, key: str, value: Tensor) -> fx.Node:
        """A constant, named after the operation."""
        names = filter(None, (scope_of(self.node), name_of(self.node).strip("_"), key))
        return self.program.add_tensor(".".join(names), value, self.node)

    @property
    def shape(self) -> Sequence[int | torch.SymInt]:
        """Of the operation's output."""
        shape: Sequence[int | torch.SymInt] = self.node.meta["val"].shape
        return shape

    def size(self, of: fx.Node, axis: int) -> int | fx.Node:
        """A size of a tensor, as an argument of an operation."""
        size = of.meta["val"].shape[axis]
        return self(aten.sym_size.int, of, axis) if isinstance(size, torch.SymInt) else int(size)
