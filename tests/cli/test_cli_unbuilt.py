"""tipsc build for a device that is not at hand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tipsc.backends.tensorrt import api
from tipsc.engine import read_engine


def test_a_jetson_engine_is_left_unbuilt_and_claims_no_latency(
    call: Callable[..., subprocess.CompletedProcess[str]], project: Path
) -> None:
    done = call("build", project, "--target", "jetson", "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["unbuilt"] is True
    assert "MACs" in document["chosen_by"]
    manifest = read_engine(document["engine"]).manifest
    assert manifest.unbuilt
    assert manifest.backend == "tensorrt"
    assert all(path.latency is None for path in manifest.paths)
    assert all(path.accuracy is not None for path in manifest.paths)
    checks = document["nvidia_check"]
    expected = {path.id for path in manifest.paths} if api.installed() else set()
    assert {check["path_id"] for check in checks if check["plan_bytes"] > 0} == expected

    shown = call("inspect", document["engine"])
    assert "unbuilt: a jetson has to finish it" in shown.stdout
    refused = call("bench", document["engine"])
    assert refused.returncode == 3
    assert "is unbuilt" in refused.stderr
