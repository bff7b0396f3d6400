"""Whether a compiled path computes what the torch subnetwork computes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tipsc.errors import VerificationError

_BATCH = 128  # larger ones leave the cache
TOLERANCE = 1e-4
"""Largest difference allowed, relative to the largest output: float32 sums in another order."""
MOST_LOST = 0.01
"""Most accuracy that a path in int8 may lose, 0..1."""


@dataclass(frozen=True)
class Difference:
    """Of the compiled path from torch, over some inputs.

    Attributes:
        largest: largest absolute difference divided by the largest absolute output of torch.
        agreement: share of inputs with the same highest output.
        accuracy: share of inputs on which the compiled path names the right class.
        lost: accuracy of torch minus that of the compiled path, on the same inputs.
        inputs: how many were compared.
    """

    largest: float
    agreement: float
    accuracy: float
    lost: float
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

    def check_accuracy(self, where: str, most_lost: float = MOST_LOST) -> None:
        """Raises VerificationError if the path loses more accuracy than `most_lost`.

        For int8, whose outputs differ from torch's by far more than float32 rounds.
        """
        if not self.lost <= most_lost:
            raise VerificationError(
                "the quantised path loses too much accuracy",
                where=where,
                expected=f"at most {most_lost:.2%} less than torch",
                got=f"{self.lost:.2%} over {self.inputs} inputs",
                fix="build for a target in fp32, or train with more data",
            )


def compare(
    run: Callable[[np.ndarray], np.ndarray],
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    progress: Callable[[int, int], None] | None = None,
) -> Difference:
    """Runs both on the same inputs: torch in batches, the compiled path one by one.

    Args:
        run: the compiled path, for a batch of one; gives (1, classes).
        module: the extracted subnetwork in eval mode.
        inputs: (N, *shape), at least one.
        targets: (N,) class numbers.
        progress: called with (done, all) now and then.
    """
    with torch.inference_mode():
        expected = torch.cat([module(batch) for batch in inputs.split(_BATCH)]).numpy()
    got = np.empty_like(expected)
    for index, example in enumerate(inputs.split(1)):
        got[index] = run(example.numpy())[0]
        if progress and index % _BATCH == 0:
            progress(index, len(inputs))
    guesses = got.argmax(-1)
    return Difference(
        largest=float(np.abs(expected - got).max() / max(np.abs(expected).max(), 1e-12)),
        agreement=float((expected.argmax(-1) == guesses).mean()),
        accuracy=float((guesses == targets.numpy()).mean()),
        lost=float(
            (expected.argmax(-1) == targets.numpy()).mean() - (guesses == targets.numpy()).mean()
        ),
        inputs=len(inputs),
    )
