"""The peak of a process's memory, where the system tells it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tipsc.measure.resources import forget_peak, peak_mib

_MIB = 64


@pytest.mark.skipif(peak_mib() is None, reason="this system does not tell")
def test_a_peak_is_seen_and_forgotten() -> None:
    forget_peak()
    before = peak_mib()
    np.ones(_MIB * 2**17).sum()  # 8 bytes each; freed at once
    high = peak_mib()
    forget_peak()
    assert before is not None and high is not None
    assert high - before > 0.9 * _MIB
    assert peak_mib() < high - 0.5 * _MIB


def test_a_system_that_tells_nothing_has_no_peak(tmp_path: Path) -> None:
    forget_peak(tmp_path)
    assert peak_mib(tmp_path) is None
