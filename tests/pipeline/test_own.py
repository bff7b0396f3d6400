"""The build gives paths weights of their own where `build.share_loss` asks for it, and says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_gates import configure, project, trained  # noqa: F401 (fixtures)

from tipsc.pipeline import own
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.ladder import climb
from tipsc.pipeline.ship import climbs, shipped
from tipsc.report.build import report_of
from tipsc.train.paired import Gain


def pipeline(project: Path, limit: float | None) -> Pipeline:  # noqa: F811
    return Pipeline(configure(project, share_loss=limit), "host")


def test_off_all_is_shared(project: Path) -> None:  # noqa: F811
    found = pipeline(project, None)
    assert climbs(found) == ()
    assert not any(candidate.statistics.owns_weights for candidate in shipped(found))


def test_a_path_that_does_not_lose_is_looked_at_and_shares_all(project: Path) -> None:  # noqa: F811
    found = pipeline(project, 0.9)
    assert [c.path_id for c in climbs(found)] == [c.path.id for c in shipped(found)]
    assert all(c.tried == () and c.bytes == 0 and c.left == c.lost for c in climbs(found))
    assert not any(candidate.statistics.owns_weights for candidate in shipped(found))


def test_what_is_private_is_in_the_engine_and_in_its_report(
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Gain, "exceeds", lambda self, limit: True)
    built = pipeline(project, 0.0)
    record = built.run()  # each path is compared with torch
    for climbed, candidate, path in zip(
        record.climbs, record.chosen, record.manifest.paths, strict=True
    ):
        assert candidate.path.id == climbed.path_id == path.id
        assert climbed.tried[-1].label == "all" and climbed.left == 0.0
        assert candidate.statistics.owns_weights
        assert candidate.quality == climbed.alone
        assert climbed.bytes == climbed.all_bytes > 0
        assert path.private_bytes >= climbed.bytes - 16  # four biases stand in the graph
    report = report_of(record)
    assert report.climbs == record.climbs
    assert all(path.own_weights for path in report.shipped)


def test_a_build_that_was_killed_goes_on_with_the_next_path(
    project: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []

    def watched(supernet: Any, path: Any, *given: Any) -> Any:
        if len(seen) == 1 and path.id not in seen:
            seen.append("killed")
            raise KeyboardInterrupt
        seen.append(path.id)
        return climb(supernet, path, *given)

    monkeypatch.setattr(own, "climb", watched)
    with pytest.raises(KeyboardInterrupt):
        pipeline(project, 0.9).shipped()
    stage = pipeline(project, 0.9).shipped()
    first, _, second = seen
    assert first != second
    assert sorted(file.name for file in stage.folder.iterdir()) == [
        "candidates.json", "climbs.json", "stage.json", "statistics.pt",
    ]  # fmt: skip
    assert [c["path_id"] for c in json.loads((stage.folder / own.FILE).read_text())] == [
        first, second,
    ]  # fmt: skip
