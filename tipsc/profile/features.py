"""Whole-path totals of a supernet's paths, for the predictor.

Import it by name: it needs torch, and the rest of this package does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tipsc.elastic import CostModel, Supernet
from tipsc.paths import Path

FEATURES = (
    "dense_macs",
    "depthwise_macs",
    "parameters",
    "activation_values",
    "launches",
    "live_additions",
)
"""Of one example: MACs of all but depthwise layers, and of those; weights used; values written by
all steps; steps with MACs, each a kernel to launch; additions of two feature maps, which in a
residual net is how many blocks are live."""


def path_features(supernet: Supernet, paths: Sequence[Path]) -> NDArray[np.float64]:
    """Totals of each path, shape (paths, len(FEATURES)), in the order of :data:`FEATURES`."""
    costs = CostModel(supernet)
    return np.array([_totals(costs, path) for path in paths]).reshape(len(paths), len(FEATURES))


def _totals(costs: CostModel, path: Path) -> list[float]:
    cost, steps = costs.of(path), costs.trace(path).steps
    channelwise = {step.label for step in steps if step.module and step.channelwise}
    depthwise = sum(macs for label, macs in cost.steps if label in channelwise)
    written = sum(math.prod(s) for step in steps for s in (step.parts or (step.shape,)))
    additions = sum(step.operation in ("add", "iadd") for step in steps)
    return [cost.macs - depthwise, depthwise, cost.parameters, written, len(cost.steps), additions]
