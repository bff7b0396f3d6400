"""Open an engine file and run its paths."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from tipsc.backends import Executor, open_paths
from tipsc.engine.limits import Limits
from tipsc.engine.manifest import Manifest, PathEntry
from tipsc.engine.read import EngineFile, read_engine
from tipsc.engine.signed import Key, check_signed
from tipsc.errors import PathError, UsageError, near
from tipsc.runtime.calls import Calls
from tipsc.runtime.context import Context
from tipsc.runtime.pick import of_batch, pick
from tipsc.runtime.stream import Stream


class Engine:
    """The paths of one engine file, ready to run. A context manager.

    :meth:`run` may be called from several threads at once.
    """

    def __init__(self, manifest: Manifest, executors: dict[str, Executor]) -> None:
        self._manifest = manifest
        self._executors = executors
        self._paths = tuple(path for path in manifest.paths if path.id in executors)
        self._calls = Calls()
        self._context = Context(manifest, executors, self._calls)

    @classmethod
    def open(
        cls,
        file: str | os.PathLike[str],
        *,
        threads: int = 1,
        cache_dir: str | os.PathLike[str] | None = None,
        paths: Collection[str] | None = None,
        limits: Limits | None = None,
        key: Key | Sequence[Key] | None = None,
    ) -> Engine:
        """Check the file and make its paths ready.

        The first time on a machine this finalises the engine for its instruction set, and keeps
        the result as a cache; from then on it takes milliseconds.

        Args:
            file: an engine file.
            threads: threads that one call may use.
            cache_dir: the folder for the finalised engine. None: ``<file>-cache`` beside the
                file if nobody else can write there, or the user's cache folder.
            paths: ids of the paths to open. None: all.
            limits: what the engine may take. None: the defaults of :class:`Limits`, which take
                what tipsc writes. Set them for a file that is not trusted.
            key: public keys, one of which must have signed it (``tipsc sign``): 32 bytes each, or
                a PEM file. None: nobody needs to. Needs the extra ``sign``.

        Raises:
            EngineSignatureError: none of the keys has.
            UsageError: the file or `cache_dir` cannot be used.
            PathError: the engine has no such path.
            EngineDamagedError, EngineVersionError, EngineDeviceError: as their names say.
        """
        if threads < 1:
            raise UsageError("an engine needs a thread to run on", expected=">= 1", got=threads)
        engine = read_engine(file, limits)
        if key is not None:
            check_signed(engine, key)
        return cls.of(
            engine,
            threads=threads,
            cache_dir=cache_dir,
            paths=paths,
        )

    @classmethod
    def of(
        cls,
        engine: EngineFile,
        *,
        threads: int = 1,
        cache_dir: str | os.PathLike[str] | None = None,
        paths: Collection[str] | None = None,
    ) -> Engine:
        """As :meth:`open`, for an engine that was read already."""
        known = {path.id for path in engine.manifest.paths}
        paths = None if paths is None else [engine.manifest.id_of(name) for name in paths]
        for name in paths or ():
            if name not in known:
                raise PathError(f"the engine has no path {name!r}", fix=near(name, known))
        executors = open_paths(
            engine,
            path_ids=paths,
            threads=threads,
            cache_dir=Path(cache_dir) if cache_dir is not None else None,
        )
        return cls(engine.manifest, dict(executors))

    @property
    def manifest(self) -> Manifest:
        """What the engine says about itself, of all its paths."""
        return self._manifest

    @property
    def paths(self) -> tuple[PathEntry, ...]:
        """The opened paths, the fastest first."""
        return self._paths

    def pick(
        self,
        *,
        budget_ms: float,
        batch: int | None = None,
        percentile: str = "p95",
        slowdown: float = 1.0,
    ) -> PathEntry:
        """The most accurate path that fits the budget; see :func:`tipsc.runtime.pick`.

        Args:
            batch: examples of the call. None: as few as any path takes.

        Raises:
            BudgetError: no path fits; names the fastest.
            UsageError: no path takes so many examples at once.
        """
        paths = of_batch(self._paths, batch)
        return pick(paths, budget_ms, percentile=percentile, slowdown=slowdown)

    def run(self, x: Any, *, path: PathEntry | str) -> Any:
        """The outputs of one path; see :meth:`tipsc.runtime.Context.run`."""
        return self._context.run(x, path=path)

    def stream(
        self, path: PathEntry | str, states: Mapping[str, np.ndarray] | None = None
    ) -> Stream:
        """A stream of calls, which keeps the model's state; see :class:`tipsc.runtime.Stream`.

        Args:
            path: that it begins with.
            states: that it begins with, by the name of their inputs. Zeros if not given.

        Raises:
            UsageError: the model has no state.
        """
        return Stream(self._manifest, self.context(), path, states)

    def context(self) -> Context:
        """A context for another thread."""
        return Context(self._manifest, self._executors, self._calls)

    def close(self) -> None:
        """Give the memory back. Contexts of this engine end with it.

        Waits for calls that other threads are in; who calls from then on gets a UsageError.

        Raises:
            UsageError: called from within a call of this engine, by a signal's handler.
        """
        self._calls.close()
        executors = list(self._executors.values())
        self._executors.clear()
        for executor in executors:
            executor.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
