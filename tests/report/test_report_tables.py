"""Tables fit in 100 columns, ids whole; numbers read alike everywhere."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_reports import report
from rich.console import Console

from tipsc.engine import Latency
from tipsc.engine.original import OriginalModel
from tipsc.pipeline.verdicts import LeftOut
from tipsc.quality import Quality
from tipsc.report import format as fmt
from tipsc.report import legend, render, shipped_table, stages_table


def printed(table: object) -> list[str]:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(table)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_full_table_fits_with_ids_whole_and_a_line_a_path() -> None:
    built = report(candidates=40, shipped=32)
    rows = tuple(
        replace(
            path,
            own_weights=True,
            level=True,
            p50_ms=1000 * path.p50_ms,
            p95_ms=1234.567,
            parameters=123_456_789,
            macs=123_456_789_012,
        )
        for path in built.shipped
    )
    lines = printed(shipped_table(rows))
    assert max(map(len, lines)) <= 100
    assert not any("…" in line for line in lines)
    for path in rows:
        (line,) = [line for line in lines if path.id in line]
        assert "own weights, level" in line and "123 M" in line and "123 G" in line


def test_notes_are_a_column_only_where_there_are_some() -> None:
    rows = [replace(p, own_weights=False, level=False) for p in report().shipped]
    assert "notes" not in "".join(printed(shipped_table(rows)))
    rows[0] = replace(rows[0], level=True)
    assert "notes" in "".join(printed(shipped_table(rows)))


def test_a_report_and_its_rows_give_the_same_table() -> None:
    built = report()
    assert printed(shipped_table(built)) == printed(shipped_table(built.shipped))


def plain(quality: Quality) -> OriginalModel:
    return OriginalModel(quality, 200, 5450, 1_230_000, Latency(0.6, 0.7, 0.8), 40_000)


def test_the_original_stands_below_its_paths_and_what_is_lost_is_said() -> None:
    built = report()
    best = max(built.shipped, key=lambda path: path.quality.value if path.quality else 0.0)
    assert best.quality is not None
    for points, word in ((0.5, "loses 0.50 points"), (-0.25, "gains 0.25 points")):
        original = plain(replace(best.quality, value=best.quality.value + points / 100))
        told = replace(built, original=original)
        (row,) = [line for line in printed(shipped_table(told)) if "original" in line]
        assert fmt.percent(original.quality.value) in row and "5.45 k" in row
        assert "0.700" in row and "0.800" in row and "1.23 M" in row
        said = legend(told)[-1]
        assert best.id in said and word in said and "same 200 test examples" in said
        page = render(told)
        assert word in page and f"the original has {fmt.percent(original.quality.value)} %" in page


def test_each_note_in_the_table_is_explained_and_no_other() -> None:
    rows = [replace(p, own_weights=False, level=False) for p in report().shipped]
    assert legend(replace(report(), shipped=tuple(rows))) == []
    rows[0] = replace(rows[0], own_weights=True, private_bytes=0)
    (said,) = legend(replace(report(), shipped=tuple(rows)))
    assert said.startswith("own weights: ") and "build.share_loss" in said


def test_names_are_not_read_as_markup() -> None:
    rows = [replace(report().shipped[0], id="[red]a[/red]")]
    assert any("[red]a[/red]" in line for line in printed(shipped_table(rows)))


def test_missing_accuracy_is_a_dash() -> None:
    rows = [replace(report().shipped[0], quality=None)]
    assert any("–" in line for line in printed(shipped_table(rows)))


def test_stages_show_their_time_and_what_came_from_the_cache() -> None:
    lines = printed(stages_table(report().stages))
    assert any("train" in x and "2 min 22 s" in x and "from cache" in x for x in lines)
    assert any("lower" in x and "3.90 s" in x and "from cache" not in x for x in lines)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (fmt.percent(0.86371), "86.37"),
        (fmt.percent(None), "–"),
        (fmt.count(950), "950"),
        (fmt.count(999.7), "1.00 k"),
        (fmt.count(3_504_872), "3.50 M"),
        (fmt.count(999_600), "1.00 M"),
        (fmt.byte_size(0), "0 B"),
        (fmt.byte_size(14_188_544), "14.2 MB"),
        (fmt.significant(9.996), "10.0"),
        (fmt.significant(0.04231), "0.0423"),
        (fmt.duration(0.416), "0.42 s"),
        (fmt.duration(59.97), "1 min 00 s"),
        (fmt.duration(3599.9), "1 h 00 min"),
        (fmt.duration(7380), "2 h 03 min"),
        (fmt.ratio(4.07), "4.1×"),
        (fmt.tiny(3.14e-7), "3.1e-7"),
        (fmt.tiny(0.0), "0"),
        (fmt.heading("root mean squared error"), "Root mean squared error"),
        (fmt.heading("mAP"), "mAP"),
        (fmt.moment("2026-01-02T03:04:05Z"), "2026-01-02 03:04 UTC"),
        (fmt.moment("2026-01-02T03:04:05.678+00:00"), "2026-01-02 03:04 UTC"),
        (fmt.moment("2026-01-02T03:04:05+02:00"), "2026-01-02T03:04:05+02:00"),
        (fmt.shortened("abcdefghij", 5), "ab…ij"),
    ],
)
def test_numbers_as_text(text: str, expected: str) -> None:
    assert text == expected


def test_a_column_of_latencies_has_the_decimals_of_its_smallest() -> None:
    assert fmt.milliseconds([0.4123, 12.3456, None]) == ["0.412", "12.346", "–"]
    assert fmt.milliseconds([math.nan]) == ["–"]
    assert fmt.milliseconds([120.4, 3456.7]) == ["120", "3457"]


@given(st.floats(min_value=1e-6, max_value=1e12))
def test_three_significant_digits_are_within_half_a_per_cent(value: float) -> None:
    assert float(fmt.significant(value)) == pytest.approx(value, rel=0.0051)


@given(st.text(max_size=40), st.integers(min_value=3, max_value=20))
def test_shortened_text_keeps_its_ends_and_its_limit(text: str, limit: int) -> None:
    short = fmt.shortened(text, limit)
    assert len(short) <= limit
    assert text.startswith(short.split("…")[0]) or "…" in text
    assert short == text or len(short) == limit


def test_names_stand_beside_ids_in_every_line() -> None:
    built = report()
    first, second = (
        replace(path, name=name) for path, name in zip(built.shipped, "ab", strict=False)
    )
    assert first.quality is not None
    original = plain(first.quality)
    left = (LeftOut("ee112233", first.id), LeftOut("ee445566", first.id))
    named = replace(
        built, shipped=(first, second), left_out=left, original=original, tested=(2000, 10_000)
    )
    said = " ".join(legend(named))
    assert f"left out: ee112233, ee445566, as a ({first.id}) is faster" in said
    best = max((first, second), key=lambda path: path.quality.merit if path.quality else 0.0)
    assert f"the best path, {best.name} ({best.id}), " in said
    assert "the first 2,000 of 10,000" in said and "build.verify_examples: 10000 uses all" in said
    assert "the first 2,000 of 10,000" in render(named)
    assert "test examples: the" not in " ".join(legend(replace(named, tested=(2000, 2000))))
