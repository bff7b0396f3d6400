"""What an engine says of the model that its paths were made from; it stands in its provenance."""

from __future__ import annotations

from dataclasses import dataclass

from tipsc.engine.manifest import Latency, Manifest
from tipsc.engine.strict import decode, dumps, encode, loads
from tipsc.quality import Quality

#: key of the provenance, whose text is JSON
ORIGINAL = "original"


@dataclass(frozen=True)
class OriginalModel:
    """The plain model that was converted, as it came.

    Attributes:
        quality: on the test examples that the engine's paths are scored on.
        examples: how many these are.
        parameters: of the model.
        macs: multiply-accumulates of one call.
        latency: of the model alone in an engine, on the device; None where nothing was measured.
        file_bytes: of that engine; None likewise.
    """

    quality: Quality
    examples: int
    parameters: int
    macs: int
    latency: Latency | None = None
    file_bytes: int | None = None

    def to_text(self) -> str:
        """As the provenance has it."""
        return dumps(encode(self)).decode()


def original_in(manifest: Manifest) -> OriginalModel | None:
    """What an engine says of it; None if it says nothing.

    Raises:
        EngineDamagedError: it says something else.
    """
    text = manifest.provenance.get(ORIGINAL)
    if text is None:
        return None
    where = f"provenance.{ORIGINAL}"
    return decode(OriginalModel, loads(text.encode(), where), where)
