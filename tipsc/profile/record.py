"""Record: the base of everything that is written into a profile."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Milliseconds = Annotated[float, Field(ge=0)]
Ratio = Annotated[float, Field(ge=0)]


class Record(BaseModel):
    """Frozen, strict about types, and without room for unknown keys, infinities or NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
