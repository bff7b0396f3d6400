from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tipsc.errors import TargetError
from tipsc.project.target import Target, list_targets, load_target, targets_folder

GOOD = {
    "name": "bench-box",
    "description": "a box on a bench",
    "backend": "onnxruntime",
    "threads": 2,
    "measure": {"pin": [0, 1], "rounds": 8, "batch_ms": 5},
}


def written(folder: Path, content: object, name: str = "bench-box.yaml") -> Path:
    file = folder / name
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return file


def changed(**changes: object) -> dict[str, object]:
    return {**GOOD, **changes}


@pytest.mark.parametrize("name", list_targets())
def test_every_shipped_target_is_valid_and_named_like_its_file(name: str) -> None:
    assert load_target(name).name == name


def test_host_is_shipped() -> None:
    assert "host" in list_targets()
    assert load_target("host").backend == "onnxruntime"


def test_a_target_is_read_from_a_file(tmp_path: Path) -> None:
    target = load_target(str(written(tmp_path, GOOD)))
    assert target.threads == 2
    assert target.measure.pin == (0, 1)
    assert target.measure.batch_ms == 5.0
    assert target.measure.warm_up_ms == Target.model_fields["measure"].default.warm_up_ms


def test_a_target_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_target("host").threads = 3  # type: ignore[misc]


def test_an_unknown_name_lists_near_names() -> None:
    with pytest.raises(TargetError, match=r"no target 'hosst'.*did you mean host\?") as caught:
        load_target("hosst")
    assert caught.value.exit_code == 2


def test_a_name_never_reaches_outside_the_folder() -> None:
    with pytest.raises(TargetError, match="no target"):
        load_target("..")


@pytest.mark.parametrize(
    ("content", "key", "says"),
    [
        (changed(thread=2), "thread", "unknown key.*did you mean threads"),
        (changed(measure={"round": 3}), "measure.round", "unknown key.*did you mean rounds"),
        (changed(threads="2"), "threads", "valid whole number"),
        (changed(threads=0), "threads", "greater than or equal to 1"),
        (changed(threads=True), "threads", "valid whole number.*got true"),
        (changed(measure={"batch_ms": float("inf")}), "measure.batch_ms", "finite"),
        (changed(measure={"pin": "slowest"}), "measure.pin", "'fastest' or 'none'"),
        (changed(measure=3), "measure", "is a section.*rounds.*got 3"),
        (changed(name="Bench Box"), "name", "lower-case letters.*got .Bench Box."),
        ({k: v for k, v in GOOD.items() if k != "backend"}, "backend", "missing"),
    ],
)
def test_a_bad_key_is_named_with_its_file(
    tmp_path: Path, content: object, key: str, says: str
) -> None:
    file = written(tmp_path, content)
    with pytest.raises(TargetError, match=says) as caught:
        load_target(file)
    assert caught.value.where == f"{file}, key {key}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "not valid YAML"),
        ("name: a\nname: b\n", "key 'name' stands twice"),
        ("- a\n- b\n", "expected a mapping, got list"),
        ("", "expected a mapping, got NoneType"),
        ("!!python/object/apply:os.getcwd []", "not valid YAML"),
        ("a: " + "x" * 70_000, "too large"),
        ("[" * 5_000, "not valid YAML"),
        ("? {a: 1}\n: 2\n", "not valid YAML"),
    ],
)
def test_what_is_not_a_target_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TargetError, match=says):
        load_target(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="cannot read the target: No such file") as caught:
        load_target(tmp_path / "none.yaml")
    assert caught.value.where == str(tmp_path / "none.yaml")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_target_or_a_target_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yaml"
    file.write_bytes(raw)
    with pytest.raises(TargetError):  # no 200 random bytes are a target
        load_target(file)


def test_a_file_whose_name_differs_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tipsc.project.target.targets_folder", lambda: tmp_path)
    written(tmp_path, GOOD, name="other.yaml")
    with pytest.raises(TargetError, match="does not match the file"):
        load_target("other")


def test_the_folder_holds_the_target_files() -> None:
    assert (targets_folder() / "host.yaml").is_file()


def test_a_target_extends_another_key_by_key(tmp_path: Path) -> None:
    mine = {"extends": "host", "name": "mine", "description": "mine", "measure": {"rounds": 7}}
    target, base = load_target(written(tmp_path, mine)), load_target("host")
    assert (target.name, target.backend) == ("mine", base.backend)
    assert target.measure.rounds == 7
    assert target.measure.batch_ms == base.measure.batch_ms


def test_what_cannot_be_extended_is_named(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match=r"no target 'hots' to extend.*did you mean host\?"):
        load_target(written(tmp_path, changed(extends="hots")))


def test_a_target_that_extends_itself_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tipsc.project.target.targets_folder", lambda: tmp_path)
    written(tmp_path, changed(extends="bench-box"))
    with pytest.raises(TargetError, match="in a circle"):
        load_target("bench-box")


def test_jetson_is_the_orin_nano() -> None:
    alias, meant = load_target("jetson"), load_target("jetson-orin-nano")
    assert (alias.backend, alias.measure) == (meant.backend, meant.measure)


def test_figures_of_a_device_have_their_sources() -> None:
    assert load_target("jetson").roofline == load_target("jetson-orin-nano").roofline
    devices = {"orin-nano": "Orin Nano", "agx-orin": "AGX Orin", "thor": "T5000"}
    for name, device in devices.items():
        found = load_target(f"jetson-{name}").roofline
        assert found is not None and device in found.device
        assert found.tflops.fp32 < found.tflops.fp16 < found.tflops.int8
    assert load_target("host").roofline is None


def test_a_figure_without_its_source_is_refused(tmp_path: Path) -> None:
    shown = (targets_folder() / "jetson-orin-nano.yaml").read_text()
    lines = [line for line in shown.splitlines() if not line.startswith("    memory_gb_s:")]
    file = tmp_path / "jetson-orin-nano.yaml"
    file.write_text("\n".join(lines))
    with pytest.raises(TargetError, match=r"roofline\.sources\.memory_gb_s"):
        load_target(file)
