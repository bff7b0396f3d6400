"""Scales, ticks, labels and the layout of the supernet."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from made_up_reports import mobilenet

from tipsc.report.curves import _apart, _smoothed
from tipsc.report.network import _columns, _rows
from tipsc.report.svg import linear, logarithmic, tick_texts

values = st.lists(st.floats(min_value=1e-3, max_value=1e4), min_size=1, max_size=20)


@pytest.mark.parametrize("make", [linear, logarithmic])
@given(values)
def test_a_scale_keeps_all_values_and_ticks_inside_in_order(make, numbers) -> None:  # type: ignore[no-untyped-def]
    scale = make(numbers, 40.0, 1000.0)
    places = [scale(value) for value in sorted(numbers)]
    assert places == sorted(places)
    assert all(40 - 1e-6 <= place <= 1000 + 1e-6 for place in places)
    ticks = scale.ticks(7)
    assert 1 <= len(ticks) <= 40
    assert all(40 - 1e-6 <= scale(tick) <= 1000 + 1e-6 for tick in ticks)


@given(values)
def test_ticks_have_different_texts(numbers: list[float]) -> None:
    assume(max(numbers) - min(numbers) > 1e-3)
    texts = tick_texts(linear(numbers, 0.0, 500.0).ticks(6))
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("width", [370, 1040])
def test_rows_hold_every_feature_map_once_in_order_and_inside(width: int) -> None:
    columns = _columns(mobilenet())
    rows = _rows(columns, width, 19.0)
    placed = [column for row in rows for column, _ in row.columns]
    assert placed == columns
    for row in rows:
        xs = [x for _, x in row.columns]
        assert xs == sorted(xs) and xs[0] > 0 and xs[-1] < width
        for _, left, right in row.frames:
            assert -1e-6 <= left < right <= width + 1e-6


@pytest.mark.parametrize(
    ("label", "block"),
    [
        ("stages.1.0.expand", "stages.1.0"),
        ("blocks.3.attention.query", "blocks.3"),
        ("features.7", "features"),
        ("features.18.0", "features.18"),
        ("encoder.norm", "encoder"),
        ("pool", ""),
    ],
)
def test_blocks_are_counted_by_the_first_numbers_of_a_label(label: str, block: str) -> None:
    from tipsc.report import FeatureMap

    assert _columns([FeatureMap(label, (), 1.0)])[0].block == block


def test_width_groups_share_a_column() -> None:
    from tipsc.report import FeatureMap

    maps = [FeatureMap("a", (), 1.0), FeatureMap("a[1]", (), 0.5), FeatureMap("b", ("a[1]",), 1.0)]
    first, second = _columns(maps)
    assert [f.label for f in first.groups] == ["a", "a[1]"]
    assert second.inputs == ("a",)


@given(st.lists(st.floats(min_value=0, max_value=300), min_size=1, max_size=12))
def test_labels_are_pushed_apart(wanted: list[float]) -> None:
    places = _apart(sorted(wanted), 15, 0.0, 300.0)
    assert all(b - a >= 15 - 1e-6 for a, b in pairwise(places))
    assert places[-1] <= 300 + 1e-6


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(1, 200))
def test_smoothing_leaves_a_straight_line_as_it_is(start: float, slope: float, count: int) -> None:
    line = [start + slope * k for k in range(count)]
    assert _smoothed(line) == pytest.approx(line, abs=1e-9)


def test_the_report_needs_neither_torch_nor_onnx() -> None:
    code = (
        "import sys, tipsc.report; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'onnx', 'onnxruntime', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
