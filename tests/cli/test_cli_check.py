"""tipsc check on a tiny project."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tipsc.pipeline import precheck

Call = Callable[..., "subprocess.CompletedProcess[str]"]


def test_what_was_tried_and_what_a_build_takes_is_shown_within_100_columns(
    call: Call, project: Path
) -> None:
    done = call("check", project, "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["right"] is True
    assert document["problems"] == []
    assert document["conversion"] is None  # it is a supernet
    assert {"largest", "smallest"} <= {path["why"] for path in document["paths"]}
    assert 0 < document["smallest_share"] < 1
    stages = [stage["name"] for stage in document["stages"]]
    assert stages == ["train", "profile", "search", "ship", "engine"]
    assert not (project / "digits-host.tipsc").exists()

    shown = call("check", project)
    assert "precheck: from cache" in shown.stderr
    assert "All are right." in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100


def test_it_ends_with_1_where_something_is_wrong(
    call: Call, project: Path, monkeypatch: object
) -> None:
    file = project / "tipsc.yaml"
    settings = json.loads(file.read_text())
    settings["build"]["tolerance"] = 1e-12  # less than float32 can
    file.write_text(json.dumps(settings))
    done = call("check", project)
    assert done.returncode == 1
    assert "wrong: " in done.stdout
    assert precheck.FILE in {found.name for found in project.rglob("*.json")}
