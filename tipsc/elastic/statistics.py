"""What one path has for itself: batch-norm statistics, and parameters where it shares none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Statistics:
    """What a path has for itself; all else is the supernet's.

    Attributes:
        path_id: the path.
        mean: for each batch norm, by its name in the supernet: (channels,) float32.
        variance: likewise; empty where the path uses the shared running variance.
        ratio: for each batch norm, the number by which the path's deviations are larger than the
            shared ones; 1 for a norm that is not in it.
        own: parameters by their name in the supernet, in the sizes that they have on this path,
            float32; they stand in for what all paths share.
    """

    path_id: str
    mean: Mapping[str, Tensor] = field(default_factory=dict)
    variance: Mapping[str, Tensor] = field(default_factory=dict)
    ratio: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def owns_weights(self) -> bool:
        """Whether the path has more of its own than biases that norms leave.

        With variances of its own it has weights as well, into which those are folded.
        """
        return bool(self.variance or self.own)
