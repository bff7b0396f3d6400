"""Run paths: check the input, find the path's executor, run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tipsc.backends import Executor
from tipsc.engine.manifest import Manifest, PathEntry
from tipsc.errors import DataError, PathError, UsageError, listed, near
from tipsc.runtime.calls import Calls
from tipsc.signature import TensorSpec
from tipsc.tree import TENSOR


class Context:
    """What one thread runs an engine with. Made by :meth:`tipsc.runtime.Engine.context`.

    A context keeps nothing between calls: the path is an argument of each.
    """

    def __init__(
        self, manifest: Manifest, executors: Mapping[str, Executor], calls: Calls | None = None
    ) -> None:
        self._executors = executors
        self._calls = calls or Calls()
        self._called = {name: path_id for path_id, name in manifest.names.items()}
        self._signature, self._batches = manifest.signature, manifest.batches
        self._inputs = {
            path.id: tuple((s, np.dtype(s.dtype)) for s in manifest.signature_of(path).inputs)
            for path in manifest.paths
        }
        self._takes_one = manifest.signature.takes == TENSOR
        self._gives_one = manifest.signature.gives == TENSOR

    def run(self, x: Any, *, path: PathEntry | str) -> Any:
        """The outputs of one path.

        Args:
            x: an array, or what ``manifest.signature.takes`` says: a tuple, list or dict of arrays
                as the model takes them. A dict by the names of ``manifest.signature.inputs`` or a
                tuple in their order will do for any engine. Shapes and dtypes are theirs, with as
                many examples as the path's ``batch`` says.
            path: an entry of ``engine.paths``, its id or its name.

        Returns:
            An array, or what ``manifest.signature.gives`` says. What the model gives as a dataclass
            or named tuple is an object with these attributes.

        Raises:
            PathError: the engine, as it was opened, has no such path.
            DataError: an input of the wrong shape or dtype, or inputs of another form.
            UsageError: `path` is no path, or the engine is closed.
        """
        name = path if isinstance(path, str) else getattr(path, "id", None)
        executor = self._executors.get(name) if isinstance(name, str) else None
        if executor is None and isinstance(name, str) and name in self._called:
            name = self._called[name]
            executor = self._executors.get(name)
        if executor is None:
            raise self._no_path(path, name)
        assert name is not None
        feeds = (x,) if self._takes_one and isinstance(x, np.ndarray) else self._feeds(x)
        for array, (spec, dtype) in zip(feeds, self._inputs[name], strict=True):
            if not isinstance(array, np.ndarray):
                raise _wrong(spec, "is not a numpy array", type(array).__name__)
            if array.shape != spec.shape or array.dtype != dtype:
                raise self._unfit(spec, array)
        with self._calls:
            outputs = executor.run(feeds)
        return outputs[0] if self._gives_one else self._signature.gives.build(outputs)

    def _feeds(self, x: Any) -> Sequence[np.ndarray]:
        names = [spec.name for spec in self._signature.inputs]
        if isinstance(x, Mapping) and set(x) == set(names):
            return [x[name] for name in names]
        if isinstance(x, (tuple, list)) and all(isinstance(array, np.ndarray) for array in x):
            if len(x) != len(names):
                expected = f"{len(names)}: {listed(names)}"
                raise DataError("wrong number of inputs", expected=expected, got=len(x))
            return x
        return self._signature.takes.flat(x, "input")

    def _unfit(self, spec: TensorSpec, array: np.ndarray) -> DataError:
        got = f"{array.dtype}{list(array.shape)}"
        if array.dtype != spec.dtype:
            return _wrong(spec, "does not fit", got, f"x.astype(np.{spec.dtype})")
        if spec.batch_axis == 0 and array.shape == tuple(spec.shape[1:]) and spec.shape[0] == 1:
            return _wrong(spec, "lacks the axis of the examples", got, "x[None]")
        if array.ndim != len(spec.shape) or spec.batch_axis is None:
            return _wrong(spec, "does not fit", got)
        size = array.shape[spec.batch_axis]
        if not size or spec.with_batch(size).shape != array.shape:
            return _wrong(spec, "does not fit", got)
        fix = f"fill it up, or build with {size} in build.batch"
        if size in self._batches:
            fix = f"engine.pick(budget_ms=..., batch={size}) gives a path that takes it"
        sizes = listed(self._batches)
        return _wrong(spec, f"has {size} examples; paths of this engine take {sizes}", got, fix)

    def _no_path(self, path: object, name: object) -> Exception:
        if self._calls.closed:
            return UsageError("the engine is closed", fix="open it again")
        if not isinstance(name, str):
            return UsageError(
                "this is no path",
                where="path",
                expected="an entry of engine.paths, its id or its name",
                got=type(path).__name__ if path is not None else "None",
                fix="engine.pick(budget_ms=...) gives one",
            )
        if name in self._inputs:
            return PathError(
                f"path {name} was not opened", fix="open the engine with it among `paths`"
            )
        known = [*self._executors, *self._called]
        return PathError(f"the engine has no path {name!r}", fix=near(name, known))


def _wrong(spec: TensorSpec, what: str, got: str, fix: str | None = None) -> DataError:
    return DataError(
        f"input {spec.name} {what}", expected=f"{spec.dtype}{list(spec.shape)}", got=got, fix=fix
    )
