"""What the operations of a program depend on, and what they cost."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor, fx

from tipsc.convert.ops.record import shape_of
from tipsc.convert.program import Program, is_tensors, name_of, scope_of
from tipsc.elastic import operations
from tipsc.elastic.trace import sources


class Flow:
    """What each operation of a program depends on, and what it costs."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes = program.nodes()
        self._number = {node: i for i, node in enumerate(self.nodes)}
        self._before = dict.fromkeys(program.inputs, 1 << len(self.nodes))
        self.maps: set[fx.Node] = set()  # feature maps: of the input, after a layer with weights
        for node in self.nodes:
            mask = 1 << self._number[node]
            for source in node.all_input_nodes:
                mask |= self._before.get(source, 0)
            self._before[node] = mask
            if _is_float(node) and self.after(node, program.input):
                weighted = any(
                    s in program.tensors and s.meta["val"].dim() > 1 for s in node.all_input_nodes
                )
                if weighted or any(s in self.maps for s in node.all_input_nodes):
                    self.maps.add(node)

    def after(self, node: fx.Node, source: fx.Node) -> bool:
        """Whether `node` is `source` or depends on it."""
        place = self._number.get(source, len(self.nodes))
        return bool(self._before[node] >> place & 1)

    def up_to(self, *ends: fx.Node) -> frozenset[fx.Node]:
        """These operations and all that they depend on."""
        return frozenset(n for n in self.nodes if any(self.after(end, n) for end in ends))

    def later(self, source: fx.Node) -> list[fx.Node]:
        """The operations that are not needed for `source`."""
        return [n for n in self.nodes if not self.after(source, n)]

    def why_not_alone(self, source: fx.Node) -> str | None:
        """What else later layers see of the input than `source`; None if nothing."""
        later = set(self.later(source))
        for node in self.nodes:
            if node is source or node not in self.maps:
                continue
            if node not in later and later & set(node.users):
                return f"later layers read {_where(node)} too, across it"
            if node in later and not self.after(node, source):
                return f"layers beside it are read later: {_where(node)}"
        return None

    @cached_property
    def macs(self) -> int:
        return sum(map(macs_of, self.nodes))

    def share(self, nodes: frozenset[fx.Node]) -> float:
        """Of the program's MACs."""
        return sum(map(macs_of, nodes)) / max(1, self.macs)


def _is_float(node: fx.Node) -> bool:
    value = node.meta.get("val")
    first = value[0] if isinstance(value, tuple | list) and is_tensors(value) else value
    return isinstance(first, Tensor) and first.is_floating_point()


def _where(node: fx.Node) -> str:
    return scope_of(node) or name_of(node)


def macs_of(node: fx.Node) -> int:
    """Multiply-accumulates of a layer or a product, for the exported batch; of others 0."""
    if not is_tensors(node.meta.get("val")):
        return 0
    result = shape_of(node) if isinstance(node.meta["val"], Tensor) else ()
    read = [source for source in sources(node) if isinstance(source.meta.get("val"), Tensor)]
    equation = next((text for text in node.args if isinstance(text, str)), "")
    return operations.macs_of(name_of(node), [*map(shape_of, read)], result, equation)
