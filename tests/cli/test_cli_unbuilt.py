"""tipsc build for a device that is not at hand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from conftest import MODEL

from tipsc.backends.tensorrt import api
from tipsc.engine import read_engine


def test_a_jetson_engine_is_left_unbuilt_and_claims_no_latency(
    call: Callable[..., subprocess.CompletedProcess[str]], project: Path
) -> None:
    done = call("build", project, "--target", "jetson", "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["unbuilt"] is True
    assert "estimated" in document["chosen_by"] and "nothing was measured" in document["chosen_by"]
    manifest = read_engine(document["engine"]).manifest
    assert manifest.unbuilt
    assert manifest.backend == "tensorrt"
    assert all(path.latency is None for path in manifest.paths)
    assert all(path["latency"] is None for path in document["paths"])
    assert set(document["estimated_ms"]) == {path.id for path in manifest.paths}
    assert document["estimated_ms"] == manifest.estimated_ms
    assert all(path.quality is not None for path in manifest.paths)
    checks = document["checks"]
    expected = {path.id for path in manifest.paths} if api.installed() else set()
    assert {check["path_id"] for check in checks if check["plan_bytes"] > 0} == expected

    depths = document["checks_together"]  # the model is so small that paths differ in depth
    assert bool(depths) is (api.installed() is not None)
    for check in depths:
        paths = check["path_id"].split("+")
        assert len(paths) > 1 and set(paths) <= expected
        alone = sum(other["plan_bytes"] for other in checks if other["path_id"] in paths)
        assert 0 < check["plan_bytes"] < 1.01 * alone  # the model has hardly a weight to share
    shown = call("build", project, "--target", "jetson")  # from the cache
    assert shown.stdout.count("settled on the device") == len(depths)

    cleaned = call("clean", project, "--dry-run").stdout
    assert "of the build for jetson" in cleaned and "0 stages would be removed" in cleaned

    assert "for the order of paths, no latency" in " ".join(shown.stdout.split())
    shown = call("inspect", document["engine"])
    assert "unbuilt: a jetson has to finish it" in shown.stdout
    refused = call("bench", document["engine"])
    assert refused.returncode == 3
    assert "is unbuilt" in refused.stderr
    if api.installed() is None:
        return
    device = f"local?root={project.parent / 'agent'}"
    refused = call("bench", document["engine"], "--device", device)
    assert "is unbuilt" in refused.stderr
    assert f"tipsc finish {Path(document['engine']).name} " in refused.stderr  # not a blob's digest
    refused = call("finish", document["engine"], "--device", device)
    assert refused.returncode == 3
    assert "no CUDA device is here" in refused.stderr
    assert read_engine(document["engine"]).manifest.unbuilt
    finished = call("finish", document["engine"], "--device", device, "--no-run")
    assert finished.returncode == 0, finished.stderr
    assert "built, not run, by tensorrt_rtx" in finished.stdout
    shown = call("inspect", document["engine"])
    assert "\nbuilt, not run: " in shown.stdout


def test_paths_are_chosen_by_a_profile_that_fits_the_device(
    call: Callable[..., subprocess.CompletedProcess[str]], project: Path
) -> None:
    from device_profiles import dear_in, made_up_profile

    from tipsc.elastic import family

    supernet = family("mobilenet", **MODEL)
    made_up = made_up_profile("jetson", supernet, dear_in(supernet, "width"))
    backend = made_up.backend.model_copy(update={"name": "tensorrt", "version": "10.3.0"})
    system = made_up.system.model_copy(update={"power_mode": "MAXN"})
    file = project / "given.json"
    made_up.model_copy(update={"backend": backend, "system": system}).save(file)

    done = call("build", project, "--target", "jetson", "--profile", file, "--format", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["chosen_by"] == "the profile given.json"
    assert document["estimated_ms"] == {}
    manifest = read_engine(document["engine"]).manifest
    assert all(path.latency is None for path in manifest.paths)  # it ships what was measured only
    assert manifest.recipe["profile's power mode"] == "MAXN"
    assert {path.id for path in manifest.paths} <= {path.id for path in made_up.paths}

    made_up.save(file)  # of another backend: refused for a device that is at hand
    if api.installed() is not None:
        device = f"local?root={project.parent / 'agent'}"
        refused = call("build", project, "--target", "jetson", "--profile", file,
                       "--device", device)  # fmt: skip
        assert refused.returncode == 1
        assert "was taken with another backend" in refused.stderr
    other = call("build", project, "--target", "jetson-thor", "--profile", file)
    assert "the profile is of another target" in other.stderr
