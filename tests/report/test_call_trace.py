"""Logs of calls: what they come to, what is refused, and a page that is whole."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from test_report_page import HOSTILE, assert_drawable, parsed

from tipsc.errors import DataError, UsageError
from tipsc.report.trace import CallTrace, read_trace, uses
from tipsc.report.trace_page import render_trace

LINE: dict[str, Any] = {
    "unix_s": 1.7e9, "engine": "", "path": "a", "mode": "deadline", "reason": "most_accurate",
    "budget_ms": 10.0, "predicted_ms": 8.0, "elapsed_ms": 9.0, "gap_ms": None,
    "slowdown": 1.0, "in_time": True,
}  # fmt: skip


def written(folder: Path, *changes: dict[str, Any]) -> Path:
    file = folder / "calls.jsonl"
    file.write_text("".join(json.dumps({**LINE, **change}) + "\n" for change in changes))
    return file


def test_calls_are_summed_up_by_engine_and_path(tmp_path: Path) -> None:
    late = {"elapsed_ms": 12.0, "in_time": False, "slowdown": 1.5}
    file = written(
        tmp_path,
        {"unix_s": 3.0, "path": "b", "predicted_ms": 10.0, **late, "reason": "tried"},
        {"unix_s": 1.0},
        {"unix_s": 2.0, "elapsed_ms": 6.0},
        {"unix_s": 4.0},
        {"unix_s": 2.5, "engine": "new", "budget_ms": None},
    )
    trace = read_trace(file)
    assert [call.unix_s for call in trace.calls] == [1.0, 2.0, 2.5, 3.0, 4.0]
    assert trace.calls[2].budget_ms == math.inf
    old, new = uses(trace.calls)
    assert (old.engine, old.calls, old.in_time, old.switches) == ("", 4, 0.75, 2)
    assert old.slowdown == (1.0, 1.5)
    assert old.reasons == {"most_accurate": 3, "tried": 1}
    a, b = old.paths
    assert (a.path, a.calls, a.in_time, a.p50_ms, a.p95_ms, a.longest_ms) == ("a", 3, 1, 9, 9, 9)
    assert a.error == pytest.approx(0.125)  # of 9, 6 and 9 for 8 ms
    assert (b.path, b.calls, b.in_time, b.error) == ("b", 1, 0, pytest.approx(0.2))
    assert (new.engine, new.calls, new.switches) == ("new", 1, 0)


def test_energy_is_summed_up_where_every_path_has_one(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        {"energy_mj": 2.5},
        {"energy_mj": 0.5, "path": "b"},
        {"engine": "new", "energy_mj": 2.5},
        {"engine": "new", "path": "b"},
    )
    old, new = uses(read_trace(file).calls)
    assert (old.energy_mj, new.energy_mj) == (3.0, None)


def test_a_last_line_that_is_not_whole_is_left_out_and_said(tmp_path: Path) -> None:
    file = written(tmp_path, {}, {})
    assert not read_trace(file).cut_short
    file.write_bytes(file.read_bytes()[:-20])
    trace = read_trace(file)
    assert (len(trace.calls), trace.cut_short) == (1, True)
    assert "the application was killed" in " ".join(parsed(render_trace("x", trace)).text)


@pytest.mark.parametrize(
    ("line", "how"),
    [
        ("no", "it is no JSON"),
        ("[" * 5000, "it is no JSON"),
        ("[1]", "it is no object"),
        ("{}", "it has no unix_s"),
        ("x" * 20_000, "it is longer than any call"),
        *(
            (json.dumps({**LINE, name: value}), f"its {name} is ")
            for name, value in (
                ("elapsed_ms", None), ("elapsed_ms", -1), ("elapsed_ms", True), ("unix_s", "now"),
                ("elapsed_ms", math.nan), ("budget_ms", math.inf), ("predicted_ms", 0),
                ("slowdown", 0), ("path", 3), ("path", "x" * 65), ("in_time", 1), ("engine", None),
                ("unix_s", 10**400), ("energy_mj", None), ("energy_mj", 0), ("energy_mj", "1"),
            )
        ),
    ],
)  # fmt: skip
def test_a_line_that_is_no_call_is_named(tmp_path: Path, line: str, how: str) -> None:
    file = written(tmp_path, {}, {})
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(DataError, match=rf"line 3: this is no call of a governor: {how}"):
        read_trace(file)


def test_a_log_without_a_call_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no call in it"):
        read_trace(written(tmp_path))


def many(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "unix_s": 100.0 + 0.1 * i, "path": f"p{i % 9}", "elapsed_ms": 5.0 + i % 7,
            "in_time": i % 7 < 5, "budget_ms": None if i % 50 == 3 else 10.0,
            "slowdown": 1 + i % 3 / 10, **changes,
        }
        for i in range(count)
    ]  # fmt: skip


def drawn(trace: CallTrace, title: str = "calls.jsonl") -> str:
    page = render_trace(title, trace)
    assert_drawable(page)
    assert not re.search(r"(?:src|href)=\"(?!data:)", page) and "url(" not in page
    return page


@pytest.mark.parametrize("count", [1, 2, 40, 3000])
def test_the_page_is_whole_and_refers_to_nothing_outside(tmp_path: Path, count: int) -> None:
    page = drawn(read_trace(written(tmp_path, *many(count))))
    text = " ".join(parsed(page).text)
    assert "What calls took" in text and f"{count:,}" in text
    late = page.count('class="chosen"')
    assert (late > 0) == (count > 5) and late <= 600  # a wide drawing and a narrow one
    assert ("4 other paths" in text) == (count >= 9)  # nine, of which five have a colour


def test_engines_side_by_side_have_a_section_each_and_names_are_escaped(tmp_path: Path) -> None:
    engines = (HOSTILE[:60], "old")
    calls = [call for name in engines for call in many(20, engine=name, path=HOSTILE[:60])]
    page = drawn(read_trace(written(tmp_path, *calls)), HOSTILE)
    assert "<script>alert" not in page
    headings = [text for text in parsed(page).text if text.startswith("Engine ")]
    assert headings == ["Engine " + name for name in engines]


def test_calls_of_one_moment_and_without_a_budget_can_be_drawn(tmp_path: Path) -> None:
    drawn(read_trace(written(tmp_path, *[{"budget_ms": None, "mode": "pinned"}] * 5)))
    drawn(read_trace(written(tmp_path, *[{"elapsed_ms": 0, "predicted_ms": 1e-9}] * 5)))
