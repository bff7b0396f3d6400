"""Weights that a model computes anew in each forward pass, such as those of weight norm."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils import parametrize

from tipsc.errors import ConversionError, first_line


def without_parametrizations(model: nn.Module) -> nn.Module:
    """The model, or a copy of it in which each such weight is a parameter with its present value.

    It computes the same. What is trained afterwards is that weight, not what it was made of.
    """
    if not any(parametrize.is_parametrized(module) for module in model.modules()):
        return model
    try:
        plain = copy.deepcopy(model).eval()  # spectral norm takes steps of its own in training mode
    except RuntimeError as error:
        raise ConversionError(
            "this model with parametrized weights cannot be copied",
            where=type(model).__name__,
            got=first_line(error),
            fix="call remove_weight_norm or remove_parametrizations on its layers first",
        ) from error
    for module in plain.modules():
        if parametrize.is_parametrized(module):
            _settle(module)
    return plain


def _settle(module: nn.Module) -> None:
    # Not by torch's remove_parametrizations: it takes the attributes from the class, which the
    # copy shares with the user's own module.
    made_of = module.get_submodule("parametrizations")
    with torch.no_grad():
        values = {name: getattr(module, name).clone() for name, _ in made_of.named_children()}
    learned = {
        name: any(p.requires_grad for p in child.parameters())
        for name, child in made_of.named_children()
    }
    module.__class__ = type(module).__bases__[0]
    del module._modules["parametrizations"]
    for name, value in values.items():
        module.register_parameter(name, nn.Parameter(value, requires_grad=learned[name]))
