"""What an engine may take, of files that come from others."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tipsc.engine.format import MAX_GRAPHS, MAX_MANIFEST
from tipsc.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """Bounds that an engine is refused for, all in bytes.

    The defaults take what tipsc writes. Lower them, and set the two that are None, for an engine
    that is not trusted.

    Args:
        file_bytes: the engine file. None: no bound; it is mapped, not read into memory.
        manifest_bytes: the manifest.
        graph_bytes: all path graphs, decompressed. Besides, the graph of a path may be larger
            than the weights of the whole engine by 1 MiB at most.
        tensor_bytes: inputs and outputs of one call.
        memory_bytes: what finalising the engine and running each of its paths once may take. If
            it is given, that is done first in a process of its own with this much memory, and an
            engine that needs more is refused; the first opening then takes longer. None: no bound.

    Raises:
        UsageError: a bound is not a positive number.
    """

    file_bytes: int | None = None
    manifest_bytes: int = MAX_MANIFEST
    graph_bytes: int = MAX_GRAPHS
    tensor_bytes: int = 1 << 30
    memory_bytes: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if type(value) is not int or value < 1:
                raise UsageError(
                    "not a number of bytes",
                    where=f"limits.{field.name}",
                    expected="an integer >= 1",
                    got=repr(value)[:60],
                )
