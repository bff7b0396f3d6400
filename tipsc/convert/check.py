"""Whether what came out of a conversion is the same model."""

from __future__ import annotations

import copy
import random

import torch
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

_DOUBLE = 1e-3  # of the tolerance, in double precision, whose rounding is 1e-9 of float32's
_ALONE = 1e-4  # for batches of other sizes kernels sum in another order
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
    found = _compare(model, supernet, few, few, supernet.space.largest)
    check_alone(model, few)
    return found


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
        expected = model(seen.clone())
        got = supernet(example, path)
    found = difference(got, expected)
    if not found <= TOLERANCE:
        _check_answers(model, seen, expected)
        precise = _in_double(model, supernet, example, seen, path)
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
    model: nn.Module, supernet: Supernet, example: Tensor, seen: Tensor, path: Path
) -> float:
    """The difference without float32's rounding, which is large in deep models; or infinity."""
    try:
        copies = [copy.deepcopy(net).double() for net in (model, supernet)]
        example, seen = (x.double() if x.is_floating_point() else x for x in (example, seen))
        with looking(*copies):
            return difference(copies[1](example, path), copies[0](seen.clone()))
    except (RuntimeError, TypeError, ValueError):
        return float("inf")


def check_alone(model: nn.Module, seen: Tensor) -> None:
    """Refuses a model whose answer to an example depends on the others in the batch.

    Raises:
        ConversionError: it does.
    """
    other = seen[:1].roll(1, -1)  # unlike it in scale, too: examples of one source are alike
    seen = torch.cat([seen, other if other.dtype == torch.int64 else 3 * other])
    apart = _apart_alone(model, seen)
    if not apart <= _ALONE:
        try:  # deep models amplify what another order of sums changes in float32
            exact = copy.deepcopy(model).double()
            apart = _apart_alone(exact, seen.double() if seen.is_floating_point() else seen)
        except (RuntimeError, TypeError, ValueError):
            pass
    if not apart <= _ALONE:
        raise ConversionError(
            "the model's answer to an example depends on the other examples of the batch",
            where=type(model).__name__,
            expected=f"a relative difference of at most {_ALONE:g} from its answer to it alone",
            got=f"{apart:.3g}",
            fix="compute means, norms and sums over the axes of one example only",
        )


def _apart_alone(model: nn.Module, seen: Tensor) -> float:
    with looking(model):
        return difference(model(seen[:1].clone()), model(seen.clone())[:1])


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
        apart = difference(model(seen.clone()), model(seen.clone()))
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
