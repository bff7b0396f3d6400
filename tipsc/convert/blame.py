"""Whatever goes wrong with an operation is said in our words, with its place."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import fx

from tipsc.convert.program import place_of
from tipsc.errors import ConversionError, TipscError, first_line


@contextlib.contextmanager
def blamed_on(node: fx.Node) -> Iterator[None]:
    """What an operation raises inside becomes an error that names layer, operation and line."""
    try:
        yield
    except TipscError:
        raise
    except Exception as error:
        raise ConversionError(
            "this operation cannot be made elastic",
            where=place_of(node),
            got=f"{type(error).__name__}: {first_line(error)}",
            fix="write it with other operations, or leave it out of what is converted",
        ) from error


@contextlib.contextmanager
def said_of(model: str) -> Iterator[None]:
    """What is raised inside and is of no one operation becomes an error that names the model."""
    try:
        yield
    except TipscError:
        raise
    except Exception as error:
        raise ConversionError(
            "the conversion failed at a place that no operation is to blame for",
            where=model,
            got=f"{type(error).__name__}: {first_line(error)}",
            fix="report this model",
        ) from error
