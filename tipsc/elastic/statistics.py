"""Batch-norm statistics of one path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """What calibration found for a path: for each batch norm, by its name in the supernet.

    Attributes:
        path_id: the path.
        mean: (channels,) float32.
        variance: (channels,) float32; empty where the path uses the shared running variance.
    """

    path_id: str
    mean: Mapping[str, Tensor] = field(default_factory=dict)
    variance: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def owns_scale(self) -> bool:
        """Whether the path has variances of its own, and therefore weights of its own."""
        return bool(self.variance)
