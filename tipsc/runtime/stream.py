"""Calls of a model that streams, one after the other: what it gives as its state goes in again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tipsc.engine.manifest import Manifest, PathEntry
from tipsc.errors import DataError, UsageError, listed
from tipsc.runtime.context import Context


class Stream:
    """One stream of data through an engine; each stream has a state of its own.

    The state is the model's own tensors, and all paths have it in the same form: after a change of
    path it goes on as it is. So a call gives what the model gives on that path for the state that
    the path before left. Not safe to call from several threads at once.

    Attributes:
        path: that the next calls take; may be set at any time, to one that takes as many examples.
    """

    def __init__(
        self,
        manifest: Manifest,
        context: Context,
        path: PathEntry | str,
        states: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        if not manifest.states:
            raise UsageError(
                "the model has no state: it does not stream",
                where=manifest.name,
                fix="use engine.run, or name its states in build.states and build again",
            )
        self.path = path
        self._context, self._manifest = context, manifest
        name = manifest.id_of(path) if isinstance(path, str) else path.id
        entry = next((entry for entry in manifest.paths if entry.id == name), manifest.paths[0])
        self._signature = manifest.signature_of(entry)
        self._given = [spec.name for spec in self._signature.inputs]
        self._fed = [name for name in self._given if name not in manifest.states]
        self._states: dict[str, np.ndarray] = {}
        self.reset(states)

    @property
    def states(self) -> Mapping[str, np.ndarray]:
        """By the name of the input; what the next call takes."""
        return dict(self._states)

    def reset(self, states: Mapping[str, np.ndarray] | None = None) -> None:
        """Begins anew: with these states by the name of their inputs, zeros for all others.

        Raises:
            DataError: there is no such state, or it has another shape or dtype.
        """
        given = dict(states or {})
        specs = {s.name: s for s in self._signature.inputs if s.name in self._manifest.states}
        for name, value in given.items():
            if name not in specs:
                raise DataError(
                    "there is no such state",
                    where=name,
                    expected=listed(specs),
                    fix="name it by its input: manifest.states has them",
                )
            if value.shape != specs[name].shape or value.dtype != specs[name].dtype:
                raise DataError(
                    "the state does not fit",
                    where=name,
                    expected=f"{specs[name].dtype}{list(specs[name].shape)}",
                    got=f"{value.dtype}{list(value.shape)}",
                    fix="give it as stream.states has it",
                )
        self._states = {
            name: given.get(name, np.zeros(spec.shape, spec.dtype)) for name, spec in specs.items()
        }

    def run(self, x: Any) -> Any:
        """The outputs of the next call; the state goes on only if it succeeds.

        Args:
            x: the inputs that are no states: an array if it is one, or a dict by name.

        Returns:
            The outputs that are no states: an array if it is one, or a dict by name.

        Raises:
            as :meth:`tipsc.runtime.Context.run`.
        """
        fed = {self._fed[0]: x} if isinstance(x, np.ndarray) and len(self._fed) == 1 else x
        if not isinstance(fed, Mapping) or set(fed) != set(self._fed):
            raise DataError(
                "these are not the inputs of a call",
                where="x",
                expected=f"a dict of {listed(self._fed)}",
                got=listed(fed) if isinstance(fed, Mapping) else type(x).__name__,
            )
        signature, states = self._signature, self._manifest.states
        feeds = {**fed, **self._states}
        answer = self._context.run([feeds[name] for name in self._given], path=self.path)
        tensors = signature.gives.flat(answer, "the output")
        found = dict(zip((spec.name for spec in signature.outputs), tensors, strict=True))
        # Copies: a backend may write its next answer where this one lies.
        self._states = {taken: found.pop(given).copy() for taken, given in states.items()}
        return next(iter(found.values())) if len(found) == 1 else found
