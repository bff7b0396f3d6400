"""The module that a user's wrapper holds."""

from __future__ import annotations

import torch
from torch import nn

from tipsc.errors import ConversionError


def unwrapped(model: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and torch.compile.

    Raises:
        ConversionError: a part of it is TorchScript, whose operations cannot be seen.
    """
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(model, torch._dynamo.OptimizedModule):
            model = model._orig_mod
        else:
            break
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ConversionError(
                "is TorchScript, whose operations cannot be seen",
                where=name or type(model).__name__,
                fix="give the module as it was before torch.jit.script or torch.jit.trace",
            )
    return model
