from __future__ import annotations

import sys
from pathlib import Path

# The makers of synthetic engines live with the tests of the engine file.
sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from conftest_engine import *  # noqa: F403
