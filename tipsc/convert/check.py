"""Whether what came out of a conversion is the same model."""

from __future__ import annotations

import copy
import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.convert.capture import outputs_of
from tipsc.convert.given import Given
from tipsc.elastic.cost import CostModel
from tipsc.elastic.extract import extract_traced
from tipsc.elastic.looking import looking
from tipsc.elastic.resolution import ElasticResize
from tipsc.elastic.supernet import Supernet
from tipsc.errors import ConversionError
from tipsc.paths import Choice, Path

TOLERANCE = 1e-5
"""Largest difference allowed, relative to the largest output."""

_DOUBLE = 1e-3  # of the tolerance, in double precision, whose rounding is 1e-9 of float32's
_ALONE = 1e-4  # for batches of other sizes kernels sum in another order
_PATHS = 2
_EXAMPLES = 2  # of the batch: arithmetic and memory grow with them, what is checked does not


def difference(got: Any, expected: Any) -> float:
    """Largest absolute difference over the largest absolute value, of the worst of all outputs.

    Infinite if their trees, shapes or types differ.
    """
    (tree, found), (other, wanted) = outputs_of(got), outputs_of(expected)
    if tree != other:
        return float("inf")
    return max(itertools.starmap(_difference, zip(found, wanted, strict=True)), key=_or_inf)


def _or_inf(value: float) -> float:
    return float("inf") if math.isnan(value) else value


def _difference(got: Tensor, expected: Tensor) -> float:
    if got.shape != expected.shape or got.dtype != expected.dtype:
        return float("inf")
    if not got.is_floating_point():
        got, expected = got.double(), expected.double()
    scale = expected.abs().max().clamp_min(1e-12)
    return float(((got - expected).abs().max() / scale).item())


def check_same(model: nn.Module, supernet: Supernet, given: Given) -> float:
    """The largest path against the model in eval mode, on the example.

    Raises:
        ConversionError: they differ.
    """
    few = given.first(_EXAMPLES)
    found = _compare(model, supernet, given, few, few, supernet.space.largest)
    _check_alone(model, supernet, given, few)
    return found


def check_resolutions(model: nn.Module, supernet: Supernet, given: Given, choice: Choice) -> None:
    """The full path at each resolution against the model on the resized example.

    Raises:
        ConversionError: they differ.
    """
    (example,) = given.first(_EXAMPLES)
    for size in choice.options:
        path = supernet.space.path({**supernet.space.largest.options, choice.name: size})
        seen = ElasticResize(choice)(example, path)
        _compare(model, supernet, given, [example], [seen], path)


def _compare(
    model: nn.Module,
    supernet: Supernet,
    given: Given,
    example: Sequence[Tensor],
    seen: Sequence[Tensor],
    path: Path,
) -> float:
    """A path on the example against the model in eval mode on what it sees of it."""
    with looking(model, supernet):
        expected = given.call(model, seen)
        got = supernet(*example, path)
    found = _apart(got, expected)
    if not found <= TOLERANCE:
        _check_answers(model, given, seen, expected)
        precise = _in_double(model, supernet, given, example, seen, path)
        if not precise <= TOLERANCE * _DOUBLE:
            raise ConversionError(
                "the converted model computes something else",
                where=type(model).__name__,
                expected=f"a relative difference of at most {TOLERANCE:g}",
                got=f"{found:.3g}, in double precision {precise:.3g}",
                fix="report this model",
            )
    return found


def _in_double(
    model: nn.Module,
    supernet: Supernet,
    given: Given,
    example: Sequence[Tensor],
    seen: Sequence[Tensor],
    path: Path,
) -> float:
    """The difference without float32's rounding, which is large in deep models; or infinity."""
    try:
        copies = [copy.deepcopy(net).double() for net in (model, supernet)]
        with looking(*copies):
            expected = given.call(copies[0], _doubled(seen))
            return _apart(copies[1](*_doubled(example), path), expected)
    except (RuntimeError, TypeError, ValueError):
        return float("inf")


def _apart(got: Any, expected: Any) -> float:
    """The difference from a model's answer; its maps at less resolution are restored first."""
    (tree, found), (other, wanted) = outputs_of(got), outputs_of(expected)
    if tree != other:
        return float("inf")
    return difference(found, [_restored(a, b.shape) for a, b in zip(wanted, found, strict=True)])


def _restored(answer: Tensor, shape: torch.Size) -> Tensor:
    """As :class:`tipsc.elastic.resolution.ElasticRestore` does it."""
    if answer.dim() != 4 or answer.shape[2:] == shape[2:]:
        return answer
    return F.interpolate(answer, tuple(shape[2:]), mode="bilinear", align_corners=False)


def _doubled(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [x.double() if x.is_floating_point() else x for x in tensors]


def _check_alone(
    model: nn.Module, supernet: Supernet, given: Given, seen: Sequence[Tensor]
) -> None:
    """Refuses a model whose answer to an example depends on the others in the batch.

    Raises:
        ConversionError: it does.
    """
    alone = given.with_tensors(seen).first(1)
    more = [
        tensor if axis is None else torch.cat([tensor, unlike(one)], axis)
        for tensor, one, axis in zip(seen, alone, given.batch_axes, strict=True)
    ]
    apart = _apart_alone(model, supernet, given, alone, more)
    if not apart <= _ALONE:
        try:  # deep models amplify what another order of sums changes in float32
            exact = copy.deepcopy(model).double()
            apart = _apart_alone(exact, supernet, given, _doubled(alone), _doubled(more))
        except (RuntimeError, TypeError, ValueError):
            pass
    require_alone(model, apart)


def require_alone(model: nn.Module, apart: float) -> None:
    """Refuses a model whose answer to an example differs in a batch with others.

    Args:
        apart: relative difference of the two answers.

    Raises:
        ConversionError: it is more than sums in another order make.
    """
    if not apart <= _ALONE:
        raise ConversionError(
            "the model's answer to an example depends on the other examples of the batch",
            where=type(model).__name__,
            expected=f"a relative difference of at most {_ALONE:g} from its answer to it alone",
            got=f"{apart:.3g}",
            fix="compute means, norms and sums over the axes of one example only",
        )


def unlike(one: Tensor) -> Tensor:
    """Another example, in scale too: those of one source are alike."""
    other = one.roll(1, -1)
    return 3 * other if other.is_floating_point() else other


def _apart_alone(
    model: nn.Module,
    supernet: Supernet,
    given: Given,
    alone: Sequence[Tensor],
    more: Sequence[Tensor],
) -> float:
    with looking(model):
        by_itself = outputs_of(given.call(model, alone))[1]
        among_others = outputs_of(given.call(model, more))[1]
    first = [
        value if spec.batch_axis is None else value.narrow(spec.batch_axis, 0, 1)
        for value, spec in zip(among_others, supernet.signature.outputs, strict=True)
    ]
    return difference(by_itself, first)


def _check_answers(model: nn.Module, given: Given, seen: Sequence[Tensor], first: Any) -> None:
    """Refuses a model with which no other can be compared.

    Raises:
        ConversionError: its answer is not finite, or another one each time.
    """
    where = type(model).__name__
    if not all(value.isfinite().all() for value in outputs_of(first)[1]):
        raise ConversionError(
            "the model's output for an example of the data holds NaN or infinity",
            where=where,
            fix="look at the weights that it loads, and at the scale of the data",
        )
    with looking(model):  # both in one, as what is drawn by chance begins anew with each
        apart = difference(given.call(model, seen), given.call(model, seen))
    if not apart <= TOLERANCE:
        raise ConversionError(
            "the model gives another answer to the same input",
            where=where,
            expected=f"a relative difference of at most {TOLERANCE:g}",
            got=f"{apart:.3g}",
            fix="let nothing in it be drawn by chance, or be counted, in eval mode",
        )


def check_paths(supernet: Supernet, costs: CostModel, example: Sequence[Tensor]) -> None:
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
                got = supernet(*example, path)
                expected = extract_traced(supernet, costs.trace(path))(*example)
        except (RuntimeError, IndexError, ValueError) as error:
            raise ConversionError(
                f"a path does not run: {error}", where=str(path), fix="report this model"
            ) from error
        if not difference(got, expected) <= TOLERANCE:
            raise ConversionError(
                "a path does not equal its extraction", where=str(path), fix="report this model"
            )
