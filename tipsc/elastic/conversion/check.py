"""Whether what came out of a conversion is the same model."""

from __future__ import annotations

import random

from torch import Tensor, nn

from tipsc.elastic.cost import CostModel
from tipsc.elastic.extract import extract_traced
from tipsc.elastic.looking import looking
from tipsc.elastic.resolution import ElasticResize
from tipsc.elastic.supernet import Supernet
from tipsc.errors import ConversionError
from tipsc.paths import Choice, Path

TOLERANCE = 1e-5
"""Largest difference allowed, relative to the largest output."""

_PATHS = 2
_EXAMPLES = 2  # of the batch: arithmetic and memory grow with them, what is checked does not


def difference(got: Tensor, expected: Tensor) -> float:
    """Largest absolute difference over the largest absolute value; infinite if shapes differ."""
    if got.shape != expected.shape:
        return float("inf")
    scale = expected.abs().max().clamp_min(1e-12)
    return float(((got - expected).abs().max() / scale).item())


def check_same(model: nn.Module, supernet: Supernet, example: Tensor) -> float:
    """The largest path against the model in eval mode, on the example.

    Raises:
        ConversionError: they differ.
    """
    few = example[:_EXAMPLES]
    return _compare(model, supernet, few, few, supernet.space.largest)


def check_resolutions(
    model: nn.Module, supernet: Supernet, example: Tensor, choice: Choice
) -> None:
    """The full path at each resolution against the model on the resized example.

    Raises:
        ConversionError: they differ.
    """
    example = example[:_EXAMPLES]
    for size in choice.options:
        path = supernet.space.path({**supernet.space.largest.options, choice.name: size})
        _compare(model, supernet, example, ElasticResize(choice)(example, path), path)


def _compare(
    model: nn.Module, supernet: Supernet, example: Tensor, seen: Tensor, path: Path
) -> float:
    """A path on the example against the model in eval mode on what it sees of it."""
    with looking(model, supernet):
        expected = model(seen)
        got = supernet(example, path)
    found = difference(got, expected)
    if not found <= TOLERANCE:
        _check_answers(model, seen, expected)
        raise ConversionError(
            "the converted model computes something else",
            where=type(model).__name__,
            expected=f"a relative difference of at most {TOLERANCE:g}",
            got=f"{found:.3g}",
            fix="report this model",
        )
    return found


def _check_answers(model: nn.Module, seen: Tensor, first: Tensor) -> None:
    """Refuses a model with which no other can be compared.

    Raises:
        ConversionError: its answer is not finite, or another one each time.
    """
    where = type(model).__name__
    if not first.isfinite().all():
        raise ConversionError(
            "the model's output for an example of the data holds NaN or infinity",
            where=where,
            fix="look at the weights that it loads, and at the scale of the data",
        )
    with looking(model):  # both in one, as what is drawn by chance begins anew with each
        apart = difference(model(seen), model(seen))
    if not apart <= TOLERANCE:
        raise ConversionError(
            "the model gives another answer to the same input",
            where=where,
            expected=f"a relative difference of at most {TOLERANCE:g}",
            got=f"{apart:.3g}",
            fix="let nothing in it be drawn by chance, or be counted, in eval mode",
        )


def check_paths(supernet: Supernet, costs: CostModel, example: Tensor) -> None:
    """The smallest path, each early exit and random paths run, and equal their extraction.

    Raises:
        ConversionError: one does not.
    """
    generator = random.Random(0)
    space = supernet.space
    drawn = [space.sample_options(generator) for _ in range(_PATHS)]
    for path in (space.smallest, *supernet.spanning[1:], *drawn):
        try:
            with looking(supernet):
                got = supernet(example[:1], path)
                expected = extract_traced(supernet, costs.trace(path))(example[:1])
        except (RuntimeError, IndexError, ValueError) as error:
            raise ConversionError(
                f"a path does not run: {error}", where=str(path), fix="report this model"
            ) from error
        if not difference(got, expected) <= TOLERANCE:
            raise ConversionError(
                "a path does not equal its extraction", where=str(path), fix="report this model"
            )
