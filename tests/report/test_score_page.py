"""The page of scores is whole, safe and self-contained."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from device_profiles import dear_in, small_supernet
from test_report_page import HOSTILE, assert_drawable, parsed

from tipsc.elastic.factors import additive_totals
from tipsc.report.score_page import render_scores
from tipsc.scoring import Scores, score
from tipsc.scoring.devices import MACS, MS, ScoredDevice

SUPERNET = small_supernet()
MACS_OF = additive_totals(SUPERNET)["macs"]


def devices(*names: str) -> list[ScoredDevice]:
    kinds = dict(zip(names, ("kernel", "width"), strict=False))
    return [
        ScoredDevice(name, dear_in(SUPERNET, k), MS, f"from {name}") for name, k in kinds.items()
    ]


def scored(found: list[ScoredDevice]) -> Scores:
    costs = {device.name: device.cost for device in found}
    return score(SUPERNET, costs, macs=MACS_OF, subnetworks=8, budgets=2)


@pytest.mark.parametrize("names", [("one",), ("one", "two")])
def test_the_page_is_whole_and_refers_to_nothing_outside(names: tuple[str, ...]) -> None:
    found = devices(*names)
    page = render_scores("net", found, scored(found))
    text = " ".join(parsed(page).text)
    assert_drawable(page)
    assert not re.search(r"(?:src|href)=\"(?!data:)", page) and "http" not in text
    assert "url(" not in page and "@import" not in page
    for name in names:
        assert f"Cost-folded TAS, {name}" in text and f"from {name}" in text
    assert "stage0.block0.kernel" in text and "Top paths for each budget" in text


def test_names_are_escaped() -> None:
    found = devices(HOSTILE, "two")
    page = render_scores(HOSTILE, found, scored(found))
    parsed(page)
    assert "<script>alert" not in page


def test_macs_as_the_only_cost_and_no_budgets() -> None:
    found = [ScoredDevice(MACS, MACS_OF, MACS, "nothing was measured yet")]
    scores = replace(scored(found), top=(), choices=())
    text = " ".join(parsed(render_scores("net", found, scores)).text)
    assert "nothing was measured yet" in text and "Top paths" not in text
    assert "MACs MACs" not in text
