"""The engine that a new one shall resemble, so that little is sent to devices that have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

from tipsc.elastic import Supernet
from tipsc.engine import Manifest, read_engine
from tipsc.errors import UsageError, listed
from tipsc.lower.parts import parts_of
from tipsc.paths import Path

#: what can be trained again while all else stays as it is
PARTS = ("head", "biases")


@dataclass(frozen=True)
class Like:
    """An engine, and what may differ from it.

    Attributes:
        file: the engine.
        manifest: what it says.
        order: ids of its paths as they are laid out in it.
        only: which of :data:`PARTS` are trained again, beginning with its weights; empty: the
            weights are those of the configuration.
    """

    file: FilePath
    manifest: Manifest
    order: tuple[str, ...]
    only: tuple[str, ...] = ()

    @classmethod
    def read(cls, file: FilePath, only: Sequence[str] = ()) -> Like:
        """Of an engine file.

        Raises:
            UsageError, EngineError: as :func:`tipsc.engine.read_engine`.
        """
        engine = read_engine(file)
        return cls(file, engine.manifest, engine.order, tuple(sorted(set(only))))

    def paths(self, supernet: Supernet) -> tuple[Path, ...]:
        """Its paths in the order in which they are laid out, each once.

        Raises:
            UsageError: it is no engine of this supernet.
        """
        if self.manifest.space != list(supernet.space.to_json()):
            raise UsageError(
                "this engine is of another space of paths than the configuration's",
                where=str(self.file),
                fix="name an engine that was built from it, or leave --like out",
            )
        first = self.manifest.batches[0]
        entries = {path.id: path for path in self.manifest.paths if path.batch == first}
        ids = [path_id for path_id in self.order if path_id in entries]
        return tuple(supernet.space.path(entries[path_id].options) for path_id in ids)

    def check_target(self, target: str) -> None:
        """
        Raises:
            UsageError: it was built for another target.
        """
        if self.manifest.target != target:
            raise UsageError(
                "this engine was built for another target",
                where=str(self.file),
                expected=target,
                got=self.manifest.target,
                fix=f"build with --target {self.manifest.target}, or name another engine",
            )

    def trained(self, supernet: Supernet) -> frozenset[str]:
        """Names of the parameters that are trained again.

        Raises:
            UsageError: there are none.
        """
        found: set[str] = set()
        for path in self.paths(supernet):
            parts = parts_of(supernet, path)
            if "head" in self.only:
                layers = {name.rpartition(".")[0] for name in parts.head.names}
                found |= set(parts.head.names)
                found |= {n for n in parts.biases.names if n.rpartition(".")[0] in layers}
            if "biases" in self.only:
                found |= set(parts.biases.names)
        if not found:
            raise UsageError(
                f"this model has nothing of that: {listed(self.only)}", fix="train all of it"
            )
        return frozenset(found)
