"""What a path can have for itself rather than share, and what each part of it costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from tipsc.elastic.extract import plain_modules
from tipsc.elastic.supernet import Supernet
from tipsc.elastic.trace import Trace, skeleton, trace
from tipsc.lower.plan import foldable_norms
from tipsc.paths import Path


@dataclass(frozen=True)
class Part:
    """Parameters that a path gets together.

    Attributes:
        label: of the layer, or what they are.
        names: of the parameters, in the supernet.
        values: numbers that the weight store holds more for them.
    """

    label: str
    names: tuple[str, ...]
    values: int


@dataclass(frozen=True)
class Parts:
    """All that a path computes with, in parts that do not overlap.

    Norms that are folded into a layer leave a bias to each path, which therefore costs nothing;
    their scale is in the layer's weights, and comes with them.

    Attributes:
        biases: of layers and norms.
        scales: other vectors, of norms that are not folded above all.
        head: weights of the layers that make the outputs.
        layers: all other layers with weights, in the order of computation.
    """

    biases: Part
    scales: Part
    head: Part
    layers: tuple[Part, ...]

    @property
    def whole(self) -> Part:
        """All of them."""
        return together("all", (self.biases, self.scales, self.head, *self.layers))


def together(label: str, parts: tuple[Part, ...]) -> Part:
    """Several parts as one."""
    names = tuple(name for part in parts for name in part.names)
    return Part(label, names, sum(part.values for part in parts))


def parts_of(supernet: Supernet, path: Path) -> Parts:
    """The parts of what `path` computes with; what the supernet does not train is in none.

    Raises:
        LoweringError: the supernet cannot be traced.
    """
    bare = skeleton(supernet)
    traced = trace(bare, path)
    modules = plain_modules(bare, traced, None)
    by_label = {step.label: step.module for step in traced.steps}
    norms = {by_label[layer]: by_label[n] for n, layer in foldable_norms(traced, modules).items()}
    trained = {
        layer: {n: v for n, v in _parameters(layer, module) if _trains(supernet, n)}
        for layer, module in modules.items()
    }
    biases: list[Part] = []
    scales: list[Part] = []
    layers: dict[str, Part] = {}
    for layer, parameters in trained.items():
        if layer in norms.values():
            continue
        weights = [name for name, value in parameters.items() if value.dim() > 1]
        values = sum(parameters[name].numel() for name in weights)
        inside: list[str] = []
        if layer in norms:  # whose bias says all that a bias of the layer could
            of_norm = trained[norms[layer]]
            biases += [Part(name, (name,), 0) for name in of_norm if name.endswith("bias")]
            inside = [name for name in of_norm if name.endswith("weight")]
        else:
            for name in sorted(parameters.keys() - weights):
                part = Part(name, (name,), parameters[name].numel())
                (biases if name.endswith("bias") else scales).append(part)
        if weights:
            layers[layer] = Part(layer, (*weights, *inside), values)
    last = [layer for layer in layers if layer in set(_last(traced, layers))]
    return Parts(
        together("bias", tuple(biases)),
        together("norm scale", tuple(scales)),
        together("head", tuple(layers[layer] for layer in last)),
        tuple(part for layer, part in layers.items() if layer not in last),
    )


def _trains(supernet: Supernet, name: str) -> bool:
    return supernet.get_parameter(name).requires_grad


def _parameters(name: str, module: object) -> Iterator[tuple[str, Tensor]]:
    """Full names and values, of a layer or of a parameter that is read by itself."""
    if isinstance(module, nn.Module):
        yield from ((f"{name}.{key}", value) for key, value in module.named_parameters())
    elif isinstance(module, nn.Parameter):
        yield name, module


def _last(traced: Trace, layers: Mapping[str, Part]) -> Iterator[str]:
    """The layers with weights behind which none stands, seen from each output."""
    steps = {step.label: step for step in traced.steps}
    ahead, seen = list(traced.outputs), set()
    while ahead:
        label = ahead.pop()
        if label in seen or label not in steps:
            continue
        seen.add(label)
        step = steps[label]
        if step.module in layers:
            yield step.module
        else:
            ahead += step.inputs
