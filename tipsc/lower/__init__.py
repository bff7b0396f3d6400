"""Lowering: one export, a graph for each path by surgery, one weight store."""

from tipsc.engine.format import WEIGHTS_LOCATION as LOCATION
from tipsc.lower.lower import Lowered, PathBytes, lower
from tipsc.lower.surgery import PathGraph
from tipsc.lower.verify import MOST_LOST, Difference, check_distinct, compare, run_both
from tipsc.lower.weights import ALIGNMENT, Weight, WeightStore

__all__ = [
    "ALIGNMENT",
    "LOCATION",
    "MOST_LOST",
    "Difference",
    "Lowered",
    "PathBytes",
    "PathGraph",
    "Weight",
    "WeightStore",
    "check_distinct",
    "compare",
    "lower",
    "run_both",
]
