"""Names of the modules of a supernet: valid, unique, and never in each other's way.

A name is wanted: the layer's in the user's model, or an operation's in the scope where it stands.
That scope may be a layer itself (a norm that holds its activation, a convolution whose forward
pass goes on), and any word may be one that torch or tipsc uses.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Container, Iterable

from torch import fx, nn

_OF_MODULES = frozenset(dir(nn.Module()))
_OF_GRAPHS = frozenset((*dir(fx.GraphModule), *vars(fx.GraphModule(nn.Module(), fx.Graph()))))


def cleaned(name: str) -> str:
    """A dotted name of ASCII letters, digits and underscores; no part of it is empty."""
    parts = (re.sub(r"\W", "_", part, flags=re.ASCII) for part in name.split("."))
    return ".".join(f"{part}_" if part in ("", *keyword.kwlist) else part for part in parts)


def attributes_of(module: nn.Module) -> frozenset[str]:
    """All names that a module uses for itself, be they set yet or not."""
    bases = type(module).__mro__
    stated = (name for base in bases for name in vars(base).get("__annotations__", ()))
    return frozenset({*dir(module), *stated, *_OF_MODULES})


class Names:
    """Gives each module of a supernet a name of its own.

    A name is never beneath that of another module, never one that holds others, and never that
    of an attribute of the module that it is put into.

    Args:
        layers: names that the model's layers want: no other module takes one, or is put there.
        net: the supernet, without modules yet.
    """

    def __init__(self, layers: Iterable[str], net: nn.Module) -> None:
        self._of_net = attributes_of(net) | _OF_GRAPHS
        self._modules: set[str] = set()
        self._holders: set[str] = set()
        self._kept: set[str] = set()
        self._wanted: dict[str, str] = {}
        for layer in sorted(dict.fromkeys(layers), key=lambda name: name.count(".")):
            self._wanted[layer] = name = self._free(layer)
            self._kept.add(name)
            self._hold(name)

    def of_layer(self, wanted: str) -> str:
        """The name that was kept for a layer, the first time; then others like it."""
        return self._use(self._wanted.pop(wanted, "") or self._free(wanted))

    def new(self, wanted: str) -> str:
        """A name that is this one, or like it."""
        return self._use(self._free(wanted))

    def _use(self, name: str) -> str:
        self._kept.discard(name)
        self._modules.add(name)
        self._hold(name)
        return name

    def _hold(self, name: str) -> None:
        parts = name.split(".")[:-1]
        self._holders |= {".".join(parts[: end + 1]) for end in range(len(parts))}

    def _free(self, wanted: str) -> str:
        *parents, leaf = cleaned(wanted).split(".")
        owner = start = ""
        for parent in parents:
            part = self._apart(f"{start}{parent}", owner)
            if self._is_module(_joined(owner, part)):
                start = f"{part}_"  # nothing is put into a module: beside it
            else:
                owner, start = _joined(owner, part), ""
        leaf = self._apart(f"{start}{leaf}", owner)
        name, count = leaf, 2
        while self._is_taken(_joined(owner, name), name, owner):
            name, count = f"{leaf}_{count}", count + 1
        return _joined(owner, name)

    def _apart(self, part: str, owner: str) -> str:
        """The part of a name, or one like it that is no attribute of its owner."""
        while part in self._reserved(owner):
            part += "_"
        return part

    def _reserved(self, owner: str) -> Container[str]:
        return _OF_MODULES if owner else self._of_net

    def _is_module(self, name: str) -> bool:
        return name in self._modules or name in self._kept

    def _is_taken(self, name: str, leaf: str, owner: str) -> bool:
        return self._is_module(name) or name in self._holders or leaf in self._reserved(owner)


def _joined(owner: str, part: str) -> str:
    return f"{owner}.{part}" if owner else part
