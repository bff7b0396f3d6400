"""One path to one .tflite, by the converter of LiteRT. Imported in a worker process only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import fx, nn

from tipsc.engine.atomic import write_atomically

#: label, module and arguments of an operation
Layer = tuple[str, nn.Module, tuple[torch.Tensor, ...]]


def convert(module: fx.GraphModule, examples: Sequence[torch.Tensor], file: Path) -> None:
    """Writes the .tflite of `module` with one signature.

    Args:
        examples: the inputs of the module (so with their channels last), batch included.
    """
    import litert_torch

    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.making")
    with torch.no_grad():
        litert_torch.convert(module, tuple(examples)).export(str(temporary))
    content = temporary.read_bytes()
    temporary.unlink()
    write_atomically(file, [content])


def unsupported(operations: Sequence[Layer]) -> list[str]:
    """What the converter cannot lower: a line for each layer with the operations of torch."""
    try:
        unknown = _unknown(operations)
    except Exception:  # one that cannot be exported spoils all: find out which
        unknown = {}
        for layer in operations:
            try:
                unknown |= _unknown([layer])
            except Exception as error:  # torch.export has no base class of its errors
                reason = " ".join(str(error).split())[:120]
                unknown[layer[0]] = {f"cannot be exported ({type(error).__name__}: {reason})"}
    return [
        f"{label}: {', '.join(sorted(unknown[label]))}"
        for label, module, arguments in operations
        if label in unknown and not _converts(module, arguments)
    ]


class _All(nn.Module):
    """Computes each of some modules on its own arguments."""

    def __init__(self, operations: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(module for _, module, _ in operations)

    def forward(self, arguments: list[tuple[torch.Tensor, ...]]) -> list[object]:
        return [layer(*given) for layer, given in zip(self.layers, arguments, strict=True)]


def _unknown(operations: Sequence[Layer]) -> dict[str, set[str]]:
    """Operations of torch that have no lowering, by the label of the layer."""
    from litert_torch import fx_infra
    from litert_torch.backend import lowerings

    with torch.no_grad():
        every = _All(operations).eval()
        program = torch.export.export(every, ([arguments for _, _, arguments in operations],))
        program = program.run_decompositions(fx_infra.decomp.pre_lower_decomp())
    found: dict[str, set[str]] = {}
    for node in program.graph.nodes:
        target = node.target
        if node.op != "call_function" or not isinstance(target, torch._ops.OpOverload):
            continue
        if lowerings.lookup(target) is None:
            stack = [name for name, _ in node.meta["nn_module_stack"].values()]
            place = next(name for name in stack if name.startswith("layers."))
            label = operations[int(place.split(".")[1])][0]
            found.setdefault(label, set()).add(str(target))
    return found


def _converts(module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> bool:
    """Whether the converter rewrites what it has no lowering for; it does with a few."""
    import litert_torch

    try:
        with torch.no_grad():
            litert_torch.convert(module, arguments)
    except Exception:  # whatever it raises, it does not convert
        return False
    return True
