from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tipsc.errors import ProfileError
from tipsc.measure.disturbance import Disturbance
from tipsc.paths import Choice, SearchSpace
from tipsc.profile import (
    Forecast,
    PredictedPath,
    Profile,
    Protocol,
    Remeasured,
    Shares,
    make_profile,
    measure,
    profile_file,
    read_system,
)
from tipsc.profile.conditions import check_conditions, conditions_of
from tipsc.project.target import load_target

SPACE = SearchSpace(
    (Choice("depth", (1, 2)), Choice("b1.width", (8, 16), gate="depth", gate_from=2))
)


@pytest.fixture(scope="module")
def profile() -> Profile:
    """A real measurement of small sums, as large as the path's options say."""
    paths = {path.id: path for path in SPACE.enumerate()}

    def work(n: int) -> Callable[[], object]:
        return lambda: sum(range(n))

    protocol = Protocol(warm_up_ms=0, rounds=4, batch_ms=0.2)
    calls = {id_: work(100 * sum(path.values)) for id_, path in paths.items()}
    measurement = measure(calls, protocol=protocol)
    target = load_target("host")
    return make_profile(
        target, "1.0", SPACE, paths, measurement, protocol, read_system(), read_system()
    )


@pytest.fixture
def saved(profile: Profile, tmp_path: Path) -> Path:
    file = tmp_path / "net.json"
    profile.save(file)
    return file


def spoiled(file: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    return file


def test_what_is_saved_is_loaded(profile: Profile, saved: Path) -> None:
    assert Profile.load(saved) == profile
    assert profile.search_space == SPACE


def test_it_tells_the_latency_of_a_path_and_of_an_id(profile: Profile) -> None:
    path = SPACE.largest
    assert profile.latency(path) == profile.latency(path.id)
    assert profile.latency(path).p10_ms > 0
    with pytest.raises(ProfileError, match="path 00000000 was not measured"):
        profile.latency("00000000")


def test_paths_are_ranked(profile: Profile) -> None:
    ids = [id_ for group in profile.ranked() for id_ in group]
    latencies = [profile.latency(id_).p10_ms for id_ in ids]
    assert latencies == sorted(latencies)
    assert len(ids) == SPACE.size


def test_it_can_be_read_by_people(saved: Path) -> None:
    text = saved.read_text()
    assert len(text.splitlines()) > 50
    assert '"p10_ms"' in text


@pytest.mark.parametrize("version", [1, 3])
def test_another_version_is_refused_even_when_all_else_differs_too(
    saved: Path, version: int
) -> None:
    def change(content: dict[str, Any]) -> None:
        content.clear()
        content.update(version=version, something="new")

    with pytest.raises(ProfileError, match=rf"format that this tipsc does not read.*got {version}"):
        Profile.load(spoiled(saved, change))


def forecast(*paths: PredictedPath) -> Forecast:
    shares = Shares(within_5_pct=0.5, within_10_pct=1.0)
    again = Remeasured(id=SPACE.largest.id, before_ms=9.0, after_ms=1.0)
    return Forecast(
        leave_one_out=shares, constant=shares, coverage=0.95, remeasured=(again,), paths=paths
    )


def test_a_forecast_is_saved_and_answers_for_what_was_not_measured(
    profile: Profile, tmp_path: Path
) -> None:
    unmeasured = profile.paths[0]
    predicted = PredictedPath(
        id=unmeasured.id, options=unmeasured.options, p50_ms=1.5, low_ms=1.0, high_ms=2.0
    )
    made = profile.model_copy(update={"paths": profile.paths[1:], "forecast": forecast(predicted)})
    made.save(tmp_path / "net.json")
    loaded = Profile.load(tmp_path / "net.json")
    assert loaded == made
    assert loaded.expected_ms(unmeasured.id) == 1.5
    measured = profile.paths[1]
    assert loaded.expected_ms(measured.id) == measured.latency.p50_ms
    with pytest.raises(ProfileError, match="was not measured"):
        loaded.latency(unmeasured.id)


@pytest.mark.parametrize("version", [0, 2])
def test_another_version_of_the_forecast_is_refused(
    profile: Profile, tmp_path: Path, version: int
) -> None:
    profile.model_copy(update={"forecast": forecast()}).save(tmp_path / "net.json")

    def change(content: dict[str, Any]) -> None:
        content["forecast"].update(version=version, colour="red")

    with pytest.raises(ProfileError, match=rf"forecast has a format .*got {version}"):
        Profile.load(spoiled(tmp_path / "net.json", change))


def test_a_predicted_path_cannot_have_been_measured_too(profile: Profile, tmp_path: Path) -> None:
    twice = profile.paths[0]
    path = PredictedPath(id=twice.id, options=twice.options, p50_ms=1.0, low_ms=1.0, high_ms=1.0)
    profile.model_copy(update={"forecast": forecast(path)}).save(tmp_path / "net.json")
    with pytest.raises(ProfileError, match="stands twice"):
        Profile.load(tmp_path / "net.json")


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        (lambda c: c.update(extra=1), "extra", "unknown field"),
        (lambda c: c.pop("drift"), "drift", "missing"),
        (lambda c: c["paths"][1]["latency"].pop("cv"), "paths.1.latency.cv", "missing"),
        (lambda c: c["paths"][0]["latency"].update(p10_ms="1"), "paths.0.latency.p10_ms", "number"),
        (lambda c: c["paths"][0]["latency"].update(p10_ms=-1), "paths.0.latency.p10_ms", "greater"),
        (lambda c: c["system"].update(colour="red"), "system.colour", "unknown field"),
        (lambda c: c.update(taken="yesterday"), "taken", "pattern"),
        (lambda c: c.update(paths=[]), "paths", "at least 1"),
        (lambda c: c["backend"].update(threads=True), "backend.threads", "integer"),
    ],
)
def test_a_wrong_field_is_named(
    saved: Path, change: Callable[[dict[str, Any]], object], field: str, says: str
) -> None:
    with pytest.raises(ProfileError, match=says) as caught:
        Profile.load(spoiled(saved, change))
    assert caught.value.where == f"{saved}, field {field}"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["paths"][0].update(id="00000000"), "belong to another path"),
        (lambda c: c["paths"][0]["options"].update({"b1.width": 9}), "no option 9"),
        (lambda c: c["paths"].append(c["paths"][0]), "stands twice"),
        (lambda c: c["space"].pop(0), "not an earlier choice"),
    ],
)
def test_paths_must_belong_to_the_space(
    saved: Path, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    with pytest.raises(ProfileError, match=says):
        Profile.load(spoiled(saved, change))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="No such file") as caught:
        Profile.load(tmp_path / "none.json")
    assert caught.value.where == str(tmp_path / "none.json")


def test_truncated_and_altered_files_give_a_profile_or_a_profile_error(saved: Path) -> None:
    raw = saved.read_bytes()
    for end in range(0, len(raw) - 2, 97):
        saved.write_bytes(raw[:end])
        with pytest.raises(ProfileError):
            Profile.load(saved)
    generator = random.Random(0)
    refused = 0
    for _ in range(300):
        altered = bytearray(raw)
        altered[generator.randrange(len(raw))] ^= 1 << generator.randrange(8)
        saved.write_bytes(altered)
        try:
            Profile.load(saved)
        except ProfileError:
            refused += 1
    assert refused > 100  # a flipped digit may still be a number


def test_saving_again_replaces_and_leaves_nothing_behind(profile: Profile, saved: Path) -> None:
    changed = profile.model_copy(update={"drift": 0.5})
    changed.save(saved)
    assert Profile.load(saved).drift == 0.5
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_a_failed_save_keeps_the_old_file(
    profile: Profile, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError("no space left")

    before = saved.read_bytes()
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        profile.model_copy(update={"drift": 0.5}).save(saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == [saved.name]


def test_the_place_of_a_profile() -> None:
    assert profile_file("host", "net") == Path("profiles/host/net.json")


# What a profile was taken under, against what the device says now.
NOW = {"backend": "onnxruntime", "onnxruntime version": "1.0", "power mode": "15W"}


def edited(profile: Profile, folder: Path, **changes: dict[str, object]) -> Profile:
    """A profile whose file was edited: `changes` go into its fields."""
    document = json.loads(profile.model_dump_json())
    for field, values in changes.items():
        document[field].update(values)
    file = folder / "edited.json"
    file.write_text(json.dumps(document))
    return Profile.load(file)


def test_the_same_conditions_pass_without_a_word(profile: Profile, tmp_path: Path) -> None:
    same = edited(profile, tmp_path, system={"power_mode": "15W"})
    assert check_conditions(conditions_of(same), NOW, "a file") == ()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"system": {"power_mode": "MAXN"}}, "power mode"),
        ({"backend": {"version": "2"}}, "onnxruntime version"),
        ({"backend": {"name": "litert"}}, "backend"),
    ],
)
def test_other_conditions_are_refused(
    changes: dict[str, dict[str, object]], named: str, profile: Profile, tmp_path: Path
) -> None:
    with pytest.raises(ProfileError, match=f"another {named}.*measure again"):
        check_conditions(conditions_of(edited(profile, tmp_path, **changes)), NOW, "a file")


def test_what_is_not_told_is_remarked_upon(profile: Profile, tmp_path: Path) -> None:
    (remark,) = check_conditions(conditions_of(edited(profile, tmp_path)), NOW, "a file")
    assert remark == "the profile does not tell its power mode: unknown then, 15W now"


def test_what_disturbed_the_measurement_is_kept(profile: Profile, tmp_path: Path) -> None:
    loud = Disturbance(others=0.43, visits=100, disturbed=61, waited=0.4)
    file = tmp_path / "loud.json"
    profile.model_copy(update={"disturbance": loud}).save(file)
    found = Profile.load(file)
    assert found.disturbance == loud
    assert "other work took 43% of the core" in found.noise
    spoiled(file, lambda content: content.pop("disturbance"))
    assert Profile.load(file).disturbance.untold  # a profile of before


@pytest.mark.parametrize(
    ("field", "value"),
    [("others", "-0.1"), ("spread", "NaN"), ("visits", '"9"'), ("of_mine", "1")],
)
def test_a_disturbance_that_cannot_be_is_refused_and_named(
    field: str, value: str, profile: Profile, tmp_path: Path
) -> None:
    file = tmp_path / "p.json"
    profile.model_copy(update={"disturbance": Disturbance(others=0.5)}).save(file)
    text = file.read_text()
    assert '"disturbance": {' in text
    start = text.index('"disturbance": {') + len('"disturbance": {')
    file.write_text(f'{text[:start]}"{field}": {value}{text[text.index("}", start) :]}')
    with pytest.raises(ProfileError, match="disturbance"):
        Profile.load(file)
