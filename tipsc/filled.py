"""Examples in batches of a fixed size, as engines take them: the last one is filled up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tipsc.signature import TensorSpec


def filled(arrays: Sequence[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    """Batches of the examples, the first axis of each array; the last example fills the last one.

    Args:
        arrays: (N, ...) each, at least one example.
        size: examples of a batch.
    """
    for start in range(0, len(arrays[0]), size):
        yield [_of_size(array[start : start + size], size) for array in arrays]


def calls_for(examples: int, size: int) -> int:
    """How many batches that are."""
    return -(-examples // size)


def together(
    answers: Sequence[Sequence[np.ndarray]], specs: Sequence[TensorSpec], examples: int
) -> tuple[np.ndarray, ...]:
    """Each output of all batches, without what filled up the last.

    One that the examples share is that of the first batch.

    Args:
        specs: of the outputs.
        examples: how many there are.
    """
    return tuple(
        same[0]
        if spec.batch_axis is None
        else np.concatenate(same, spec.batch_axis).take(range(examples), spec.batch_axis)
        for spec, same in zip(specs, zip(*answers, strict=True), strict=True)
    )


def _of_size(array: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(array)
    if not missing:
        return array
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
