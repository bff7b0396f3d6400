"""Whether a compiled path computes what the torch subnetwork computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tipsc.errors import VerificationError

TOLERANCE = 1e-4
"""Largest difference allowed, relative to the largest output: float32 sums in another order."""


@dataclass(frozen=True)
class Difference:
    """Of the compiled path from torch, over some inputs.

    Attributes:
        largest: largest absolute difference divided by the largest absolute output of torch.
        agreement: share of inputs with the same highest output.
        inputs: how many were compared.
    """

    largest: float
    agreement: float
    inputs: int

    def check(self, where: str, tolerance: float = TOLERANCE) -> None:
        """Raises VerificationError if the difference exceeds `tolerance`."""
        # Not "largest > tolerance": a NaN must fail as well.
        if not self.largest <= tolerance:
            raise VerificationError(
                "the compiled path computes something else than torch does",
                where=where,
                expected=f"a relative difference of at most {tolerance:g}",
                got=f"{self.largest:.3g} over {self.inputs} inputs",
                fix="do not ship this engine; report the model",
            )


def compare(
    run: Callable[[np.ndarray], np.ndarray], module: nn.Module, examples: Iterable[Tensor]
) -> Difference:
    """Runs both on the same inputs.

    Args:
        run: the compiled path, for a batch of one.
        module: the extracted subnetwork in eval mode.
        examples: inputs with a batch axis of one.
    """
    worst, scale, same, count = 0.0, 0.0, 0, 0
    with torch.no_grad():
        for example in examples:
            expected = module(example).numpy()
            got = np.asarray(run(example.numpy()))
            worst = float(np.maximum(worst, np.abs(expected - got).max()))  # keeps a NaN
            scale = max(scale, float(np.abs(expected).max()))
            same += int((expected.argmax(-1) == got.argmax(-1)).all())
            count += 1
    return Difference(worst / max(scale, 1e-12), same / max(count, 1), count)
