"""Several devices in one command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tipsc.profile import Profile


def test_devices_are_profiled_at_once_and_one_that_fails_stops_no_other(
    call: Callable[..., subprocess.CompletedProcess[str]], project: Path, tmp_path: Path
) -> None:
    one, two = (f"local?root={tmp_path / name}" for name in ("one", "two"))
    lost = f"local?python={tmp_path / 'nothing'}"
    devices = ["--device", one, "--device", two]
    done = call("profile", project, *devices, "--device", lost)
    assert done.returncode == 4
    assert "the link cannot be made" in done.stderr
    lines = done.stderr.splitlines()
    left_out = next(n for n, line in enumerate(lines) if line.startswith("local-3: left out: "))
    assert left_out < next(n for n, line in enumerate(lines) if "profile: " in line)
    assert not any("train" in line for line in lines)  # weights do not matter
    for label in ("local", "local-2"):
        assert any(line.startswith(f"{label}: profile: done in") for line in lines)
    files = sorted((project / "profiles" / "host").iterdir())
    assert [file.name for file in files] == ["digits-local-2.json", "digits-local.json"]
    first, second = (Profile.load(file) for file in files)
    assert {path.id for path in first.paths} == {path.id for path in second.paths}
    assert first.taken and first.paths[0].latency != second.paths[0].latency

    again = call("profile", project, *devices, "--format", "json", "--quiet")
    assert again.returncode == 0, again.stderr
    document = json.loads(again.stdout)["profiles"]
    assert [profile["device"] for profile in document] == [one, two]
    assert call("profile", project, "--device", one, "--device", one).returncode == 2

    partly = call("profile", project, *devices, "--device", lost, "--format", "json", "--quiet")
    assert partly.returncode == 4
    document = json.loads(partly.stdout)
    assert [profile["device"] for profile in document["profiles"]] == [one, two]
    assert [failure["device"] for failure in document["failed"]] == [lost]
    none = call("profile", project, "--device", lost, "--device", f"{lost}-too")
    assert none.returncode == 4
    assert not none.stdout


def test_an_engine_that_a_device_built_is_verified_there_and_here(
    call: Callable[..., subprocess.CompletedProcess[str]], project: Path, tmp_path: Path
) -> None:
    device, engine = f"local?root={tmp_path / 'agent'}", tmp_path / "there.tipsc"
    built = call("build", project, "--device", device, "--output", engine, "--format", "json")
    assert built.returncode == 0, built.stderr
    for where in (["--device", device], []):
        done = call("verify", engine, project, *where, "--format", "json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert [p["id"] for p in found["paths"]] == [
            p["id"] for p in json.loads(built.stdout)["paths"]
        ]
