"""tipsc score: the story in text, in JSON and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from device_profiles import KINDS, MODEL, dear_in, made_up_profile, small_supernet

from tipsc.profile import Profile, profile_file

QUICK = ("--subnetworks", 8, "--budgets", 2)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration of the small supernet, and profiles of two made-up devices beside it."""
    folder = tmp_path_factory.mktemp("score")
    settings = {
        "name": "small",
        "model": {"family": "mobilenet", "arguments": MODEL},
        "data": {"callable": "data.py:load"},
    }
    (folder / "tipsc.yaml").write_text(json.dumps(settings))
    supernet = small_supernet()
    for kind in KINDS:
        made_up_profile(kind, supernet, dear_in(supernet, kind)).save(folder / f"{kind}.json")
    return folder


def both(folder: Path) -> tuple[object, ...]:
    return tuple(part for kind in KINDS for part in ("--profile", folder / f"{kind}.json"))


def test_two_devices_side_by_side(call, config, tmp_path):
    page = tmp_path / "scores.html"
    done = call("score", config, *both(config), *QUICK, "--share", 0.25, "--all", "--html", page)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 100
    for said in ("kernel: paths cost", "width: paths cost", "by the theorem", "top paths"):
        assert said in done.stdout
    assert page.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("devices", [1, 2])
def test_the_first_screen_is_one_screen_and_says_how_to_see_all(call, config, devices):
    done = call("score", config, *both(config)[: 2 * devices], "--subnetworks", 8)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) <= 36 and max(map(len, lines)) <= 100
    assert "--all shows more" in done.stdout and "Highest published TAS: " in done.stdout
    more = call("score", config, *both(config)[: 2 * devices], "--subnetworks", 8, "--all")
    assert len(more.stdout.splitlines()) > 1.5 * len(lines)


def test_the_document_is_complete(call, config):
    done = call("score", config, *both(config), *QUICK, "--share", 0.25, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {
        "name", "coupling", "subnetworks", "paths_in_space", "eta", "devices", "agreement",
        "feature_maps", "moved", "kinds", "choices", "top", "overlap", "paths", "html",
    }  # fmt: skip
    assert [device["name"] for device in found["devices"]] == list(KINDS)
    for device in found["devices"]:
        assert device["unit"] == "ms" and "paths measured on" in device["source"]
        low, high = device["cost_range"]
        assert low < device["budget"] < high
        assert set(device["agreement"]) == {"degree", "price_0"}
    assert found["agreement"]["published_with_degree"]["pearson"] == pytest.approx(1.0)
    first = found["choices"][0]
    assert first["name"].rpartition(".")[2] in KINDS
    assert set(first["devices"]) == set(KINDS)
    assert sum(first["devices"]["kernel"]["shares"].values()) == pytest.approx(1.0)
    assert set(found["feature_maps"][0]) == {
        "name", "tas", "rank", "degree", "importance", "on_heaviest_route", "subnetworks",
        "price_0", "folded", "folded_rank",
    }  # fmt: skip
    assert len(found["top"]) == 4 and len(found["overlap"]) == 2
    assert set(found["top"][0]["paths"][0]) == {
        "id", "options", "tps", "macs", "costs", "utility"
    }  # fmt: skip


def test_macs_stand_in_until_the_target_was_measured(call, config):
    def devices() -> list[dict[str, str]]:
        done = call("score", config, *QUICK, "--format", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["devices"]

    (device,) = devices()
    assert (device["name"], device["unit"]) == ("MACs", "MACs")
    assert "nothing was measured" in device["source"]
    published = profile_file("host", "small", config / "profiles")
    Profile.load(config / "width.json").model_copy(update={"target": "host"}).save(published)
    try:
        (device,) = devices()
        assert (device["name"], device["unit"]) == ("host", "ms")
    finally:
        published.unlink()


def test_what_nobody_measured_is_called_estimated(call, config):
    done = call("score", config, "--target", "jetson", *QUICK, "--format", "json")
    (device,) = json.loads(done.stdout)["devices"]
    assert device["unit"] == "estimated ms"
    assert "nothing was measured" in device["source"]
    said = call("score", config, "--target", "jetson", *QUICK, "--budget", 1).stderr
    assert "that were measured" in said and "estimated ms" in said


def test_a_profile_of_another_model_is_refused(call, config, tmp_path):
    from tipsc.elastic import family

    arguments = {**MODEL, "stages": MODEL["stages"][:1]}
    other = family("mobilenet", **arguments)
    wrong = tmp_path / "other.json"
    made_up_profile("other", other, dear_in(other, "width")).save(wrong)
    done = call("score", config, "--profile", wrong, *QUICK)
    assert done.returncode == 1 and done.stdout == ""
    assert "measured for another search space" in done.stderr and str(wrong) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--budget", 3), "needs costs in milliseconds"),
        (("--share", 2), "--share"),
    ],
)
def test_usage_errors_end_with_two(call, config, arguments, said):
    done = call("score", config, *QUICK, *arguments)
    assert done.returncode == 2 and said in done.stderr


def test_three_devices_and_budgets_out_of_range_are_refused(call, config):
    done = call("score", config, *both(config), "--macs")
    assert done.returncode == 2 and "one or two devices" in done.stderr
    done = call("score", config, *both(config), *QUICK, "--budget", 1e6)
    assert done.returncode == 2 and "kernel: no price gives this" in done.stderr
