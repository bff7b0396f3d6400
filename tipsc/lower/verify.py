"""Whether a compiled path computes what the torch subnetwork computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tipsc.errors import VerificationError
from tipsc.tasks import Quality, Task

_BATCH = 128  # larger ones leave the cache
TOLERANCE = 1e-4
"""Largest difference allowed, relative to the largest output: float32 sums in another order."""
MOST_LOST = 0.01
"""Most quality that a path in int8 or fp16 may lose, in its unit."""
MOST_OFF = 0.5
"""Largest typical difference of a path in int8 or fp16. Rounding stays far below it; half of an
output, or twice an output, is above, and would pass by quality alone."""


@dataclass(frozen=True)
class Difference:
    """Of the compiled path from torch, over some inputs.

    Attributes:
        largest: largest absolute difference divided by the largest absolute output of torch.
        typical: root of the mean square of the differences, divided by that of torch's outputs.
        agreement: share of inputs on which both say the same, as the task has it.
        quality: of the compiled path.
        lost: by how much torch's quality is better, on the same inputs.
        inputs: how many were compared.
    """

    largest: float
    typical: float
    agreement: float
    quality: Quality
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

    def check_rounded(self, where: str, most_lost: float = MOST_LOST) -> None:
        """For a path in int8 or fp16, whose outputs are further from torch's than float32 rounds.

        Raises:
            VerificationError: it loses more quality than `most_lost`, or its outputs are not
                torch's but for rounding.
        """
        if not self.typical <= MOST_OFF:
            raise VerificationError(
                "the compiled path computes something else than torch does",
                where=where,
                expected=f"a typical relative difference of at most {MOST_OFF:g}",
                got=f"{self.typical:.3g} over {self.inputs} inputs",
                fix="do not ship this engine; build for a target in fp32, and report the model",
            )
        if not self.lost <= most_lost:
            raise VerificationError(
                f"the quantised path loses too much {self.quality.name}",
                where=where,
                expected=f"at most {most_lost:.2%} less than torch",
                got=f"{self.lost:.2%} over {self.inputs} inputs",
                fix="build for a target in fp32, or train with more data",
            )


@dataclass(frozen=True, eq=False)
class Outputs:
    """Of torch and of the compiled path, (N, ...) each, on the same inputs."""

    expected: np.ndarray
    got: np.ndarray

    def difference(self, targets: Tensor, task: Task) -> Difference:
        """How they differ; targets (N, ...) are those of the task."""
        expected = self.expected
        torchs, compiled = torch.from_numpy(expected), torch.from_numpy(self.got)
        quality = _quality(task, compiled, targets)
        return Difference(
            largest=float(np.abs(expected - self.got).max() / max(np.abs(expected).max(), 1e-12)),
            typical=_rms(expected - self.got) / max(_rms(expected), 1e-12),
            agreement=task.agree(compiled, torchs),
            quality=quality,
            lost=_quality(task, torchs, targets).above(quality),
            inputs=len(expected),
        )


def run_both(
    run: Callable[[np.ndarray], np.ndarray],
    module: nn.Module,
    inputs: Tensor,
    progress: Callable[[int, int], None] | None = None,
    where: str = "",
) -> Outputs:
    """Runs both on the same inputs: torch in batches, the compiled path one by one.

    Args:
        run: the compiled path, for a batch of one; gives (1, ...).
        module: the extracted subnetwork in eval mode.
        inputs: (N, *shape), at least one.
        progress: called with (done, all) now and then.
        where: which path it is, for the error.

    Raises:
        VerificationError: the compiled path gives another shape.
    """
    with torch.inference_mode():
        expected = torch.cat([module(batch) for batch in inputs.split(_BATCH)]).numpy()
    got = np.empty_like(expected)
    for index, example in enumerate(inputs.split(1)):
        output = run(example.numpy())
        if output.shape != expected[:1].shape:  # NumPy would spread one value over all outputs
            raise VerificationError(
                "the compiled path gives outputs of another shape than torch",
                where=where,
                expected=expected[:1].shape,
                got=output.shape,
                fix="do not ship this engine; report the model",
            )
        got[index] = output[0]
        if progress and index % _BATCH == 0:
            progress(index, len(inputs))
    return Outputs(expected, got)


def compare(
    run: Callable[[np.ndarray], np.ndarray],
    module: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    task: Task,
) -> Difference:
    """Runs both (see :func:`run_both`), and says how their outputs differ."""
    return run_both(run, module, inputs).difference(targets, task)


def check_distinct(paths: Mapping[str, Outputs], file: str) -> None:
    """That no compiled path is much nearer to another path than to its own.

    For int8 and fp16: two paths that changed places may both be as good as was expected.
    Twice as near, since the outputs of like paths may lie closer together than rounding moves them.

    Args:
        paths: by path id, all on the same inputs.

    Raises:
        VerificationError: names both paths.
    """
    for name, outputs in paths.items():
        away = {other: _rms(outputs.got - o.expected) for other, o in paths.items()}
        nearest = min(away, key=lambda other: away[other])
        if away[nearest] < 0.5 * away[name]:
            raise VerificationError(
                "the compiled path computes what another path does",
                where=f"path {name} of {file}",
                got=f"outputs of path {nearest}",
                fix="do not ship this engine; report the model",
            )


def _quality(task: Task, outputs: Tensor, targets: Tensor) -> Quality:
    tally = task.score()
    tally.add(outputs, targets)
    return tally.quality


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
