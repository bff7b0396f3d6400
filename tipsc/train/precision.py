"""In which precision a training multiplies: torch's autocast, and its scaler for float16.

Weights, gradients, norms and losses stay in float32; convolutions and matrix products are computed
in 16 bits, which is what a GPU has most of its speed for. Gradients in float16 would vanish below
6e-8: losses are scaled up before they are propagated (arXiv 1710.03740).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from tipsc.batch import Tensors, mapped

PRECISIONS: Mapping[str, torch.dtype | None] = {
    "fp32": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class Precision:
    """How the steps of one training compute.

    Args:
        name: of :data:`PRECISIONS`.
        device: that they compute on.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self._type, self._dtype = device.type, PRECISIONS[name]
        self._scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def forward(self) -> AbstractContextManager[object]:
        """Inside, models run in this precision. One for each path: what autocast keeps of weights
        belongs to one backward pass."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._type, self._dtype)

    def outputs(self, value: Tensors) -> Tensors:
        """As losses take them: in float32."""
        return value if self._dtype is None else mapped(_widened, value)

    def backward(self, loss: Tensor) -> None:
        """Adds the gradients of a loss, scaled where the precision needs it."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def step(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter],
        clip_norm: float | None,
    ) -> None:
        """Moves the weights; a step whose gradients are not finite in float16 is left out.

        Args:
            clip_norm: gradients of a larger norm, over all parameters, are scaled down to it.
        """
        if clip_norm is not None:
            if self._scaler is not None:
                self._scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(parameters, clip_norm)
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()

    def state(self) -> dict[str, float]:
        """For a checkpoint; nothing where gradients are not scaled."""
        return {} if self._scaler is None else dict(self._scaler.state_dict())

    def load_state(self, state: Mapping[str, float]) -> None:
        """The inverse of :meth:`state`."""
        if self._scaler is not None and state:
            self._scaler.load_state_dict(dict(state))


#: of steps that say nothing else
FULL = Precision("fp32", torch.device("cpu"))


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
