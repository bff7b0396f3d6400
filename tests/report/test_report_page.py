"""The page is whole, safe and self-contained, whatever the build was like."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_up_reports import mobilenet, report, with_width_groups

from tipsc.measure.disturbance import AGAIN
from tipsc.pipeline.verdicts import GoalAnswer
from tipsc.quality import Quality
from tipsc.report import BuildReport, Curve, FeatureMap, legend, render, write

VOID = {"meta", "link", "br"}
HOSTILE = "<script>alert('&\"')</script>]]>"


class _Balance(HTMLParser):
    """Open elements, the text of the page, and what is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> _Balance:
    parser = _Balance()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def assert_drawable(page: str) -> None:
    for number in re.findall(r' (?:cx|cy|x|y|r|width|height|d|viewBox)="([^"]*)"', page):
        assert "nan" not in number and "inf" not in number


def with_points(base: BuildReport, **changes: object) -> BuildReport:
    return replace(base, points=tuple(replace(p, **changes) for p in base.points))  # type: ignore[arg-type]


def without_samples(base: BuildReport) -> BuildReport:
    return replace(base, shipped=tuple(replace(p, samples_ms=()) for p in base.shipped))


def with_long_names() -> BuildReport:
    base = report()
    name = "a-very-long-name-without-any-space-" * 4
    return replace(
        base,
        title=name,
        points=tuple(replace(p, id=name + p.id) for p in base.points),
        shipped=tuple(replace(p, id=name + p.id) for p in base.shipped),
        feature_maps=tuple(
            FeatureMap(name + f.label, tuple(name + i for i in f.inputs), f.tas)
            for f in mobilenet()
        ),
        curves=tuple(replace(c, name=name + c.name) for c in base.curves),
    )


def empty() -> BuildReport:
    nothing = dict.fromkeys(
        ("points", "shipped", "feature_maps", "curves", "stages", "commands"), ()
    )
    return replace(report(), **nothing, machine={}, protocol={}, engine_bytes=0, weights_bytes=0)  # type: ignore[arg-type]


CASES = {
    "one path": lambda: report(candidates=1, shipped=1),
    "40 candidates": lambda: report(candidates=40),
    "200 candidates, 32 paths": lambda: report(candidates=200, shipped=32),
    "equal latencies": lambda: with_points(report(), p10_ms=1.0, p50_ms=1.0, p95_ms=1.0),
    "equal accuracies": lambda: with_points(report(), quality=Quality("accuracy", 0.5, "share")),
    "accuracy 0": lambda: with_points(report(), quality=Quality("accuracy", 0.0, "share")),
    "no accuracy": lambda: with_points(report(), quality=None),
    "lower is better": lambda: with_points(report(), quality=Quality("error", 3.0, "mm", "lower")),
    "latency 0": lambda: with_points(report(), p50_ms=0.0),
    "latency not finite": lambda: with_points(report(), p95_ms=math.inf),
    "no samples": lambda: without_samples(report()),
    "equal samples": lambda: replace(
        report(), shipped=tuple(replace(p, samples_ms=(2.0,) * 9) for p in report().shipped)
    ),
    "budget not finite": lambda: replace(
        report(), shipped=tuple(replace(p, budget_ms=math.inf) for p in report().shipped)
    ),
    "no noise floor": lambda: report(noise_floor=0.0),
    "great noise": lambda: report(noise_floor=1.5),
    "width groups": lambda: report(feature_maps=with_width_groups(mobilenet())),
    "one feature map": lambda: report(feature_maps=(FeatureMap("input", (), 1.0),)),
    "scores 0": lambda: report(feature_maps=(FeatureMap("a", (), 0.0), FeatureMap("b", ("a",), 0))),
    "scores not numbers": lambda: report(feature_maps=(FeatureMap("a", (), math.nan),) * 2),
    "one block of 300": lambda: report(
        feature_maps=tuple(FeatureMap(f"block.0.n{k}", (), 1.0) for k in range(300))
    ),
    "diverged": lambda: report(curves=(Curve("largest", (0, 1, 2), (2.0, math.inf, math.nan)),)),
    "one step": lambda: report(curves=(Curve("largest", (5,), (2.0,)),)),
    "curve without values": lambda: report(curves=(Curve("largest", (), ()),)),
    "long names": with_long_names,
    "empty": empty,
}


@pytest.mark.parametrize("case", CASES)
def test_every_build_gives_a_balanced_page_with_finite_coordinates(case: str) -> None:
    page = render(CASES[case]())
    parsed(page)
    assert_drawable(page)


@pytest.mark.parametrize("case", ["40 candidates", "width groups", "empty"])
def test_the_page_refers_to_nothing_outside(case: str) -> None:
    page = render(CASES[case]())
    for forbidden in ("http:", "https:", "//", "@import", "url(", "src=", "xlink", "@font-face"):
        assert forbidden not in page.replace("; img-src data:", ""), forbidden
    references = [value for name, value in parsed(page).attributes if name in ("href", "action")]
    assert references == ["data:,"]


def test_names_are_text_and_never_markup() -> None:
    base = report()
    hostile = replace(
        base,
        **dict.fromkeys(("title", "target", "backend", "created_utc", "engine_file"), HOSTILE),
        version=HOSTILE,
        machine={HOSTILE: HOSTILE},
        protocol={HOSTILE: HOSTILE},
        points=tuple(replace(p, id=HOSTILE, options={HOSTILE: 1}) for p in base.points),
        shipped=tuple(replace(p, id=HOSTILE) for p in base.shipped),
        feature_maps=(FeatureMap(HOSTILE, (HOSTILE,), 1.0),),
        curves=tuple(replace(c, name=HOSTILE, quantity=HOSTILE) for c in base.curves),
        stages=tuple(replace(s, name=HOSTILE) for s in base.stages),
        commands=(HOSTILE,),
    )
    plain, page = parsed(render(base)), parsed(render(hostile))
    assert page.seen.count("script") == plain.seen.count("script") == 1
    assert set(page.seen) <= set(plain.seen)
    assert {name for name, _ in page.attributes} <= {name for name, _ in plain.attributes}
    assert {value for name, value in page.attributes if name == "data-p"} == {HOSTILE}
    assert "".join(page.text).count(HOSTILE) >= 15


def test_a_typical_build_stays_under_150_kb() -> None:
    assert len(render(report(candidates=40)).encode()) < 150_000


def test_every_candidate_shipped_path_and_feature_map_is_on_the_page() -> None:
    built = report(feature_maps=with_width_groups(mobilenet()))
    page = render(built)
    for point in built.points:
        assert f"<title>{point.id}" in page
    for feature_map in built.feature_maps:
        assert f"<title>{feature_map.label}\n" in page
    for path in built.shipped:
        assert page.count(f'data-p="{path.id}"') >= 1 + 2 * 2


def test_candidates_without_accuracy_are_counted_and_ticked() -> None:
    page = render(with_points(report(candidates=12), quality=None))
    assert "Not evaluated: 12," in page
    assert page.count('class="rug"') + page.count('class="rug chosen-rug"') == 2 * 12


def test_flags_are_explained_where_they_occur() -> None:
    base = report()
    none = replace(
        base, shipped=tuple(replace(p, own_weights=False, level=False) for p in base.shipped)
    )
    one = replace(base, shipped=(replace(none.shipped[0], level=True), *none.shipped[1:]))
    assert "level" not in render(none)
    assert render(one).count("level") == 2


def test_both_themes_set_the_same_variables() -> None:
    from tipsc.report.style import _DARK, _LIGHT

    names = [set(re.findall(r"--[a-z0-9]+(?=:)", theme)) for theme in (_LIGHT, _DARK)]
    assert names[0] == names[1]
    used = set(re.findall(r"var\((--[a-z0-9]+)\)", render(report())))
    assert used <= names[0]


def test_write_replaces_the_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    write(report(), file)
    assert file.read_text(encoding="utf-8") == render(report())
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_write_into_a_missing_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        write(report(), tmp_path / "missing" / "report.html")


def test_latencies_of_a_busy_machine_are_doubted_at_the_top_of_the_page() -> None:
    noise = "other work took 43% of the core while this was measured"
    page = render(report(noise=(noise,)))
    assert f"Warning: {noise}." in page
    assert page.index("Warning") < page.index("<main>")
    assert f"warning: {noise}" in legend(report(noise=(noise,)))
    assert "Warning" not in render(report())


def test_a_warning_gives_the_whole_command_that_measures_again() -> None:
    page = render(report(noise=(f"other work took 43% of the core; {AGAIN}",)))
    assert "run <code>tipsc build tipsc.yaml --target host --wait-quiet 60</code>." in page
    alone = render(report(noise=(f"busy; {AGAIN}",), commands=()))
    assert f"Warning: busy; {AGAIN}." in alone


def test_goals_name_the_fastest_and_the_most_accurate_path_and_stack_where_it_is_narrow() -> None:
    ids = [path.id for path in report().shipped]
    goals = (
        GoalAnswer("lose at most 1 point", True, ids[0], "loses 0.9", (), ids[-1], "loses 0.1"),
        GoalAnswer("take at most 1 ms", False, ids[1], "2 ms", ("see `tipsc targets`",)),
    )
    page = render(report(goals=goals))
    assert f"fastest: {ids[0]}<br>most accurate: {ids[-1]}" in page
    assert "loses 0.9<br>loses 0.1" in page and "see <code>tipsc targets</code>" in page
    assert '<table class="stack">' in page
    assert page.count('data-label="what would help"') == len(goals)
    missed = replace(goals[1], near=((ids[0], "1 ms, loses 9"),))
    both = render(report(goals=(missed,)))
    assert f"{ids[1]}<br>{ids[0]}" in both and "2 ms<br>1 ms, loses 9" in both
    timed = (replace(goals[0], timed=True), goals[1])
    assert "another path may meet a goal" in render(report(goals=timed, noise=("busy",)))
    assert "another path may meet a goal" not in page + render(report(goals=timed))


def test_a_choice_that_has_no_effect_in_a_path_has_an_empty_cell() -> None:
    base = report()
    shipped = {path.id for path in base.shipped}
    points = tuple(
        replace(p, options={"depth": 7, "width": None if p.id in shipped else 8})
        for p in base.points
    )
    page = render(replace(base, points=points))
    row = page[page.index(">width</td>") :].partition("</tr>")[0]
    assert row.count("<td></td>") == len(shipped & {p.id for p in points}) > 0


def test_agreement_on_every_example_is_said_in_words() -> None:
    base = report()
    whole = tuple(replace(path, agreement=1.0) for path in base.shipped)
    assert "all examples get the same answer" in render(replace(base, shipped=whole))
    most = (replace(whole[0], agreement=0.99), *whole[1:])
    assert "at least 99.00 % of examples" in render(replace(base, shipped=most))


def test_the_keys_are_those_of_what_is_drawn() -> None:
    drawn = render(report())
    none = render(
        replace(
            with_points(report(), quality=None),
            shipped=tuple(replace(p, quality=None) for p in report().shipped),
        )
    )
    for key in ("best within a budget", "p10 to p95", "p50 to p95", "path of the engine"):
        assert f"</svg>{key}</span>" in drawn and f"</svg>{key}</span>" not in none
    assert "</svg>original</span>" not in drawn  # there is none


def test_one_unsteady_path_does_not_stretch_the_axis_of_the_others() -> None:
    base = report()
    wild = replace(base.shipped[0], samples_ms=(1.0,) * 90 + (72.0,) * 10, name="0.1x")
    page = render(replace(base, shipped=(wild, *base.shipped[1:])))
    section = page[page.index("How steady") : page.index("Topological scores on")]
    ticks = [float(t) for t in re.findall(r'class="tick">([0-9.]+)</text>', section)]
    assert max(ticks) <= 4.0
    assert "10 ▸" in section and ">0.1x</text>" in section


def test_a_curve_ends_in_the_figure_that_it_shows() -> None:
    values = (0.2,) * 399 + (0.5, 0.09, 0.01)  # three to a point of the curve
    page = render(report(curves=(Curve("mean", tuple(range(402)), values),)))
    assert ">mean 0.200</text>" in page
