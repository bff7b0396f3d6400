"""Whether a compiled path computes what the torch subnetwork computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from tipsc.batch import Tensors, arrays, count, flat, split
from tipsc.errors import TipscError, VerificationError
from tipsc.filled import filled, together
from tipsc.signature import Signature, TensorSpec
from tipsc.tasks import Quality, Task
from tipsc.tree import Tree

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
        largest: largest absolute difference divided by the largest absolute output of torch; of
            several outputs, that of the worst.
        typical: root of the mean square of the differences, divided by that of torch's outputs;
            likewise.
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
                fix=f"allow it by build.quantised_loss: {math.ceil(self.lost * 1000) / 1000} (only "
                "the last stage is done again), build for a target in fp32, or train longer",
            )


@dataclass(frozen=True, eq=False)
class Outputs:
    """Of torch and of the compiled path, on the same inputs.

    Attributes:
        expected, got: of each output one array, with all examples on the axis that it has for them.
        gives: the tree of the outputs.
        examples: how many there are.
    """

    expected: tuple[np.ndarray, ...]
    got: tuple[np.ndarray, ...]
    gives: Tree
    examples: int

    def difference(self, targets: Tensors, task: Task) -> Difference:
        """How they differ; targets are those of the task."""
        torchs, compiled = self._tree(self.expected), self._tree(self.got)
        quality = _quality(task, compiled, targets)
        return Difference(
            largest=_worst(_largest, self.expected, self.got),
            typical=_worst(_typical, self.expected, self.got),
            agreement=task.agree(compiled, torchs),
            quality=quality,
            lost=_quality(task, torchs, targets).above(quality),
            inputs=self.examples,
        )

    def apart(self, other: Outputs) -> float:
        """How far what was compiled is from what torch gives for another path, as a share of its
        own.
        """
        parts = zip(other.expected, self.got, self.expected, strict=True)
        return float(np.max([_rms(_apart(o, g)) / max(_rms(e), 1e-12) for o, g, e in parts]))

    def _tree(self, arrays: Sequence[np.ndarray]) -> Any:
        return self.gives.build([torch.from_numpy(array) for array in arrays])


def run_both(
    run: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]],
    module: nn.Module,
    inputs: Tensors,
    signature: Signature,
    progress: Callable[[int, int], None] | None = None,
    where: str = "",
    batch: int = 1,
) -> Outputs:
    """Runs both on the same inputs: torch in batches of its own, the compiled path in its.

    Args:
        run: the compiled path: from the tensors of one call, in the order of the signature's
            inputs, to those of its outputs.
        module: the extracted subnetwork in eval mode.
        inputs: (N, *shape), or a tree of such tensors; at least one example.
        signature: of the model.
        progress: called with (done, all) now and then.
        where: which path it is, for the error.
        batch: examples of one call.

    Raises:
        VerificationError: the compiled path gives another shape.
    """
    total = count(inputs)
    with torch.inference_mode():
        batches = [_arrays(module(*flat(batch)), signature) for batch in split(inputs, _BATCH)]
        expected = together(batches, signature.outputs, total)
    answers = []
    for index, examples in enumerate(filled(arrays(inputs), batch)):
        try:
            answer = run(examples)
        except TipscError:
            raise
        except Exception as error:  # a backend's own
            said = " ".join(str(error).split())
            raise VerificationError(
                f"the compiled path does not run: {type(error).__name__}: {said}",
                where=where,
                fix="do not ship this engine; report the model",
            ) from error
        for spec, wanted, array in zip(signature.outputs, expected, answer, strict=True):
            shape = _in_batch(spec, wanted.shape, batch)
            if array.shape != shape:  # NumPy would spread one value over all outputs
                raise VerificationError(
                    "the compiled path gives outputs of another shape than torch",
                    where=where if len(expected) == 1 else f"{where}, {spec.name}",
                    expected=shape,
                    got=array.shape,
                    fix="do not ship this engine; report the model",
                )
        answers.append(tuple(answer))
        if progress and index % _BATCH == 0:
            progress(index * batch, total)
    got = together(answers, signature.outputs, total)
    return Outputs(expected, got, signature.gives, total)


def compare(
    run: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]],
    module: nn.Module,
    inputs: Tensors,
    targets: Tensors,
    signature: Signature,
    task: Task,
) -> Difference:
    """Runs both (see :func:`run_both`), and says how their outputs differ."""
    return run_both(run, module, inputs, signature).difference(targets, task)


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
        away = {other: outputs.apart(o) for other, o in paths.items()}
        nearest = min(away, key=lambda other: away[other])
        if away[nearest] < 0.5 * away[name]:
            raise VerificationError(
                "the compiled path computes what another path does",
                where=f"path {name} of {file}",
                got=f"outputs of path {nearest}",
                fix="do not ship this engine; report the model",
            )


def _arrays(outputs: Any, signature: Signature) -> tuple[np.ndarray, ...]:
    return tuple(tensor.numpy() for tensor in signature.gives.flat(outputs, "the output"))


def _in_batch(spec: TensorSpec, shape: tuple[int, ...], batch: int) -> tuple[int, ...]:
    at = spec.batch_axis
    return shape if at is None else (*shape[:at], batch, *shape[at + 1 :])


def _quality(task: Task, outputs: Any, targets: Tensors) -> Quality:
    tally = task.score()
    tally.add(outputs, targets)
    return tally.quality


def _worst(
    measure: Callable[[np.ndarray, np.ndarray], float],
    expected: Sequence[np.ndarray],
    got: Sequence[np.ndarray],
) -> float:
    """Over all outputs; NaN if one is."""
    return float(np.max([measure(e, g) for e, g in zip(expected, got, strict=True)]))


def _largest(expected: np.ndarray, got: np.ndarray) -> float:
    return float(np.abs(_apart(expected, got)).max() / max(np.abs(_wide(expected)).max(), 1e-12))


def _typical(expected: np.ndarray, got: np.ndarray) -> float:
    return _rms(_apart(expected, got)) / max(_rms(expected), 1e-12)


def _apart(expected: np.ndarray, got: np.ndarray) -> np.ndarray:
    return np.asarray(_wide(expected) - _wide(got))


def _wide(values: np.ndarray) -> np.ndarray:
    """Truth values and whole numbers cannot be subtracted as they are."""
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
