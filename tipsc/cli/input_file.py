"""The inputs of an engine from a .npy or .npz file, of which nothing is believed.

Nothing in it is unpickled, and no array is read whose header does not say what the engine takes: a
small compressed file can hold a large array.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, BinaryIO

import numpy as np
from numpy.lib import format as npy

from tipsc.errors import DataError, listed
from tipsc.files import open_regular
from tipsc.signature import TensorSpec


def load_inputs(
    file: Path, specs: Sequence[TensorSpec], batches: Sequence[int] = (1,)
) -> tuple[np.ndarray, ...]:
    """An array for each input of an engine; of one example the batch axis may be missing.

    Args:
        specs: of one example.
        batches: how many examples it may have.

    Raises:
        DataError: the file cannot be read, or does not have what the engine takes.
    """
    try:
        with open_regular(file) as stream:
            if zipfile.is_zipfile(stream):
                return _from_archive(stream, file, specs, batches)
            if len(specs) > 1:
                raise DataError(
                    "the engine has several inputs",
                    where=str(file),
                    fix=f"give an .npz with {listed(spec.name for spec in specs)}",
                )
            stream.seek(0)
            return (_array(stream, file, specs[0], batches),)
    except OSError as error:
        reason = error.strerror or "it ends too early"
        raise DataError(f"cannot read the input: {reason}", where=str(file)) from error
    except (
        ValueError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise DataError(
            "cannot read the input: it is no .npy or .npz file of numbers",
            where=str(file),
            fix="write it by numpy.save, or numpy.savez for several inputs",
        ) from error


def _from_archive(
    stream: BinaryIO, file: Path, specs: Sequence[TensorSpec], batches: Sequence[int]
) -> tuple[np.ndarray, ...]:
    with zipfile.ZipFile(stream) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        found = []
        for spec in specs:
            name = next(iter(members)) if len(members) == len(specs) == 1 else spec.name
            if name not in members:
                raise DataError(
                    f"the file has no array called {spec.name}",
                    where=str(file),
                    got=listed(members) or "no array at all",
                )
            with archive.open(members[name]) as member:
                found.append(_array(member, file, spec, batches))
    return tuple(found)


def _array(stream: IO[bytes], file: Path, spec: TensorSpec, batches: Sequence[int]) -> np.ndarray:
    """An array in NumPy's format."""
    version = npy.read_magic(stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, by_columns, dtype = read_header(stream)
    shapes = [spec.with_batch(size).shape for size in batches]
    expected = " or ".join(f"{spec.dtype}{list(shape)}" for shape in shapes)
    if dtype.hasobject:
        raise DataError(
            "the input holds Python objects, which are not read",
            where=str(file),
            expected=expected,
            fix=f"save numbers: numpy.asarray(x, '{spec.dtype}')",
        )
    alone = 1 in batches and tuple(shape) == tuple(spec.shape[1:])
    fits = alone or tuple(shape) in shapes
    if not fits or dtype != np.dtype(spec.dtype):
        raise DataError(
            "the input does not fit the engine",
            where=str(file),
            expected=expected,
            got=f"{dtype}{list(shape)}",
            fix=f"save array.astype('{spec.dtype}')"
            if fits
            else "convert it as the training data were, and save one example",
        )
    content = stream.read(math.prod(shape) * dtype.itemsize)
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")
    return np.ascontiguousarray(array.reshape(spec.shape) if alone else array)
