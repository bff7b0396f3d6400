"""Weights averaged over the steps (exponential moving average).

``torch.optim.swa_utils.AveragedModel`` keeps a second model, copies all its buffers in each step,
and gives a decay that begins lower the number of steps as a tensor on the GPU, for which it waits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Average:
    """The average of some parameters, newer values with more weight.

    Args:
        parameters: whose values it starts from.
        decay: share that the average keeps in a step; in the first steps less, so that it does not
            stay with the initial weights: at most (1 + steps) / (10 + steps).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], decay: float = 0.0) -> None:
        self._parameters, self._decay = list(parameters), decay
        self.restart()

    def restart(self) -> None:
        """Forgets all but the present values."""
        self._steps = 0
        self._mean = [parameter.detach().clone() for parameter in self._parameters]

    @torch.no_grad()
    def add(self) -> None:
        """The values after a step."""
        keeps = min(self._decay, (1 + self._steps) / (10 + self._steps))
        torch._foreach_lerp_(self._mean, [p.detach() for p in self._parameters], 1 - keeps)
        self._steps += 1

    @torch.no_grad()
    def put(self) -> None:
        """Gives the parameters their averages."""
        for parameter, mean in zip(self._parameters, self._mean, strict=True):
            parameter.copy_(mean)

    def state(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        means = {str(place): mean for place, mean in enumerate(self._mean)}
        return {"steps": torch.tensor(self._steps), **means}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of :meth:`state`."""
        self._steps = int(state["steps"])
        for place, mean in enumerate(self._mean):
            mean.copy_(state[str(place)])
