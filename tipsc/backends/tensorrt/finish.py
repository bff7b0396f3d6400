"""What the device is left to do for TensorRT, and what can be tried of it elsewhere."""

from tipsc.backends.tensorrt.api import installed
from tipsc.backends.tensorrt.examine import check_engine
from tipsc.backends.tensorrt.merge import depth_groups, merge_graphs
from tipsc.backends.tensorrt.trial import LIMIT

__all__ = ["PLANS", "check_engine", "depth_groups", "installed", "merge_graphs"]

PLANS = f"one a path, or one for several depths that stay within {LIMIT:.2f}"
