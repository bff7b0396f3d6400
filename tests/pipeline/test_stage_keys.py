"""The key of a stage covers all that its result depends on: one thing changes, and what follows
from it, and nothing else, is done again."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import BaseModel

import tipsc
from tipsc.device.measuring import ThisMachine
from tipsc.fingerprint import installed, values
from tipsc.pipeline import check, choose, engine, profile
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.precheck import PRECHECK
from tipsc.pipeline.stages import StageDone, Stages, key_of
from tipsc.profile import Profile
from tipsc.project.config import Build, BuildLimits, Config, Convert
from tipsc.project.config import TrainSection as Train
from tipsc.project.target import targets_folder

MODEL = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(8, 32), nn.Linear(32, 4)
        self.register_buffer("shift", torch.zeros(32), persistent=False)

    def forward(self, x):
        return self.b(torch.relu(self.a(x) + self.shift))


def load():
    return Net().eval()
"""
HELPERS = """
STRENGTH = 0.1


def noise(x, generator):
    return x + STRENGTH * torch.randn(x.shape, generator=generator)


import torch
"""
DATA = """
import torch
from tipsc.tasks import Classification
from tipsc.train import Data, Split

import helpers

SCALE = 1.0


def split(seed):
    x = torch.randn(60, 8, generator=torch.Generator().manual_seed(seed))
    return Split(x, x[:, :4].argmax(1))


def augmentation(strength, start=0.0):
    def change(x, generator, low=0.0):
        import late
        return late.late(helpers.noise(x, generator) * SCALE + strength + low + start)
    return change


def load(strength=0.5):
    return Data(split(1), split(2), split(3), Classification(tuple("abcd")), augmentation(strength))
"""
LATE = "def late(x):\n    return x\n"
YAML = """
name: m
model: {callable: "model.py:load"}
data: {callable: "data.py:load"}
train: {epochs: 2, frozen_epochs: 0, batch_size: 16, narrow: 0.5}
build: {paths: 2, measured: 10, evaluations: 4}
"""
FILES = {
    "model.py": MODEL, "data.py": DATA, "helpers.py": HELPERS, "late.py": LATE, "tipsc.yaml": YAML,
}  # fmt: skip

SHIPPED = {"ship", "engine"}
NARROWED = {"narrow", *SHIPPED}
#: what the paths are chosen by; here always the same ones, so that nothing is trained again
CHOSEN = {"search", "choose", *SHIPPED}
MEASURED = {"profile", "check", *CHOSEN}
TRAINED = {"train", "narrow", *CHOSEN}
#: compiled and compared before all else, on a few examples
TRIED = {"precheck"}
ALL = {"original", "profile", "check", *TRIED, *TRAINED}
#: of a model that is another one
MODEL_CHANGED = ALL - {"original"}

Change = tuple[str, str, str]
#: file, what stands there, what shall stand there -> the stages that are done again
SOURCES: list[tuple[Change, set[str]]] = [
    (("model.py", "import torch\n", "import torch  # of PyTorch\n"), set()),
    (("data.py", "SCALE = 1.0", "\n\n# unit\nSCALE   =   1.0"), set()),
    (("model.py", "class Net", "class Other"), set()),  # another name, the same operations
    (("model.py", "torch.relu", "torch.sin"), ALL),
    (("model.py", "+ self.shift", "- self.shift"), ALL),
    (("model.py", "manual_seed(0)", "manual_seed(1)"), ALL),
    (("model.py", "torch.zeros(32)", "torch.ones(32)"), ALL),
    (("data.py", "split(1)", "split(11)"), TRAINED | TRIED),
    (("data.py", "split(2)", "split(12)"), {"original"} | MEASURED | TRIED),
    (("data.py", "split(3)", "split(13)"), {"original", "engine"}),
    (("data.py", "augmentation(strength))", "None)"), TRAINED),
    (("data.py", "* SCALE", "/ SCALE"), TRAINED),
    (("data.py", "SCALE = 1.0", "SCALE = 2.0"), TRAINED),
    (("data.py", "strength=0.5", "strength=0.6"), TRAINED),
    (("data.py", "low=0.0", "low=0.1"), TRAINED),
    (("data.py", "start=0.0", "start=0.1"), TRAINED),
    (("helpers.py", "STRENGTH = 0.1", "STRENGTH = 0.2"), TRAINED),
    (("helpers.py", "x + STRENGTH", "x - STRENGTH"), TRAINED),
    (("helpers.py", "def noise", "def unused(x):\n    return 1\n\n\ndef noise"), TRAINED),
    (("late.py", "return x", "return -x"), TRAINED),
]

#: value -> the stages that are done again, for each key of the configuration
CONVERT: Mapping[str, tuple[Any, set[str]]] = {
    "widths": ([0.5], MODEL_CHANGED),
    "input": (None, set()),  # other data: tests/pipeline/test_camera.py
    "depth": (False, TRAINED),  # it has no branch that could be left out
    "streams": (True, TRAINED),  # nor one that is added to
    "kernels": (True, TRAINED),  # nor a depthwise convolution
    "resolutions": (None, set()),  # of images; that it is among the inputs is seen by `widths`
    "exits": (None, set()),
}
BUILD: Mapping[str, tuple[Any, set[str]]] = {
    "paths": (3, CHOSEN),
    "measured": (11, MEASURED),
    "evaluations": (5, CHOSEN),
    "budgets_ms": ([1.0, 2.0], CHOSEN),
    "goals": ([{"latency_share": 0.5}], CHOSEN),
    "ship": (["largest"], CHOSEN),
    "names": (["small", "large"], {"engine"}),
    "limits": (None, set()),  # below
    "calibration_images": (50, TRAINED),
    "verify_examples": (7, {"original", "engine"}),
    "tolerance": (1e-3, {"engine", *TRIED}),
    "share_loss": (0.5, SHIPPED),
    "quantised_loss": (0.5, {"engine"}),
    "states": (None, set()),  # the model here has none
    "batch": ([1, 2], TRIED | {"engine"}),
}
LIMITS: Mapping[str, tuple[Any, set[str]]] = {
    "latency_ms": (5.0, CHOSEN),
    "file_bytes": (1e6, CHOSEN),
    "memory_bytes": (1e6, CHOSEN),
    "quality": (0.01, CHOSEN),
}
TRAIN: Mapping[str, tuple[Any, set[str]]] = {
    "epochs": (4, TRAINED),
    "batch_size": (8, TRAINED),
    "accumulate": (2, TRAINED),
    "device": ("cpu", set()),  # the sums of another one differ in their last bits alone
    "precision": ("bf16", TRAINED),
    "clip_norm": (1.0, TRAINED),
    "average": (0.9, TRAINED),
    "optimizer": ("SGD", TRAINED),
    "optimizer_options": ({"betas": [0.9, 0.98]}, TRAINED),
    "find_rate": (None, set()),  # refused here: the whole space is trained too
    "learning_rate": (0.1, TRAINED),
    "weight_decay": (0.1, TRAINED),
    "thrift": (1.0, TRAINED),
    "schedule": ("cosine", TRAINED),
    "schedule_options": (None, set()),  # the default schedule has none
    "label_smoothing": (0.1, TRAINED),
    "teacher_share": (0.3, TRAINED),
    "paths_per_step": (2, TRAINED),
    "distill": (None, set()),
    "with_largest": (True, TRAINED),
    "with_smallest": (True, TRAINED),
    "sampler": ("uniform", TRAINED),
    "sampler_options": ({"eta": 0.5}, TRAINED),
    "phases": ([{"share": 0.5}, {"share": 0.5, "paths_per_step": 2}], TRAINED),
    "frozen_epochs": (1, NARROWED),  # the last ones of the whole training
    "narrow": (1.0, TRAINED),
    "scale_images": (100, TRAINED),
    "seed": (1, TRAINED),
    "threads": (2, set()),
    "checkpoint_seconds": (1.0, set()),
}
CONFIG: Mapping[str, tuple[Any, set[str]]] = {
    "name": (None, set()),  # has a folder of its own
    "model": (None, set()),  # what comes of it is a source above
    "convert": (None, set()),
    "data": (None, set()),
    "task": (None, set()),  # the data have one here
    "train": (None, set()),
    "build": (None, set()),
    "seed": (5, MEASURED | TRIED),
}
#: package -> the stages of a build for this machine that its version decides
PACKAGES = {
    "torch": ALL, "numpy": ALL, "onnx": MEASURED | TRIED, "onnxruntime": MEASURED | TRIED,
    "click": set(),
}  # fmt: skip


class KeysAlone(Stages):
    """Does no work: leaves files where others look for them, and notes the keys."""

    def run(
        self,
        name: str,
        inputs: Mapping[str, object],
        work: Callable[[Path], None],
        *,
        resumable: bool = False,
        good: Callable[[Path], bool] = bool,
    ) -> StageDone:
        key = key_of({"stage": name, **inputs})
        folder = self._folder / f"{name}-{key}"
        folder.mkdir(parents=True, exist_ok=True)
        for file in (profile.FILE, engine.FILE, check.FILE):
            (folder / file).write_text("")
        (folder / choose.FILE).write_text("[]")
        (folder / "original.json").write_text(
            '{"quality": {"name": "accuracy", "value": 1}, "examples": 1, "parameters": 1, '
            '"validation": {"name": "accuracy", "value": 1}, "validated": 1}'
        )
        return StageDone(name, key, folder, 0.0, cached=False)


class _Forecast:
    forecast = True
    paths = ()


def keys(folder: Path, monkeypatch: pytest.MonkeyPatch, target: str = "host") -> dict[str, str]:
    """The key of each stage of a project."""
    monkeypatch.setattr("tipsc.pipeline.check.draw_unmeasured", lambda *_: [])
    monkeypatch.setattr(Profile, "load", lambda file: _Forecast())
    for name in ("helpers", "late"):
        sys.modules.pop(name, None)
    pipeline = Pipeline(folder, target)
    pipeline.stages = KeysAlone(folder / "runs")
    pipeline.done(PRECHECK)
    pipeline.original()
    pipeline.engine()
    if not pipeline.plan.unbuilt:
        pipeline.check(10)
    return {name: stage.key for name, stage in pipeline._done.items()}


def write(folder: Path, **changed: str) -> Path:
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(changed.get(name.partition(".")[0], text))
    return folder


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    return keys(write(tmp_path / "before"), monkeypatch)


def differing(first: Mapping[str, str], second: Mapping[str, str]) -> set[str]:
    assert set(first) == set(second)
    return {name for name in first if first[name] != second[name]}


def test_nothing_changes_and_nothing_is_done_again(
    before: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(before) == ALL
    assert differing(before, keys(write(tmp_path / "after"), monkeypatch)) == set()


@pytest.mark.parametrize(("change", "stages"), SOURCES, ids=lambda v: v[2] if len(v) == 3 else "")
def test_a_change_of_the_users_code_is_seen(
    change: Change,
    stages: set[str],
    before: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, old, new = change
    assert old in FILES[file]
    text = FILES[file].replace(old, new)
    if old == "class Net":
        text = text.replace("Net()", "Other()")
    after = write(tmp_path / "after", **{file.partition(".")[0]: text})
    assert differing(before, keys(after, monkeypatch)) == stages


SETTINGS = [
    (path, key, value, stages)
    for path, table in (
        ((), CONFIG), (("convert",), CONVERT), (("build",), BUILD),
        (("build", "limits"), LIMITS), (("train",), TRAIN),
    )
    for key, (value, stages) in table.items()
    if value is not None
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "table"),
    [(Config, CONFIG), (Convert, CONVERT), (Build, BUILD), (BuildLimits, LIMITS), (Train, TRAIN)],
)
def test_every_key_of_the_configuration_is_in_a_table(
    model: type[BaseModel], table: Mapping[str, object]
) -> None:
    assert set(model.model_fields) == set(table)


@pytest.mark.parametrize(("path", "key", "value", "stages"), SETTINGS)
def test_a_change_of_the_configuration_is_seen(
    path: tuple[str, ...],
    key: str,
    value: Any,
    stages: set[str],
    before: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document: dict[str, Any] = yaml.safe_load(YAML)
    place = document
    for name in path:
        place = place.setdefault(name, {})
    place[key] = value
    after = write(tmp_path / "after", tipsc=yaml.safe_dump(document))
    assert differing(before, keys(after, monkeypatch)) == stages


@pytest.mark.parametrize(("package", "stages"), PACKAGES.items())
def test_another_version_of_a_package_is_seen(
    package: str,
    stages: set[str],
    before: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.0" if name == package else known(name)
    )
    installed._version.cache_clear()
    try:
        after = keys(write(tmp_path / "after"), monkeypatch)
    finally:
        installed._version.cache_clear()
    assert differing(before, after) == stages


def test_what_compiles_for_another_backend_counts_there_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "project")
    before = keys(folder, monkeypatch, target="mobile-cpu")
    known = importlib.metadata.version
    for package, stages in (("ai-edge-quantizer", MEASURED | TRIED), ("onnxscript", set())):
        with monkeypatch.context() as patch:
            patch.setattr(
                importlib.metadata, "version", lambda n, p=package: "0" if n == p else known(n)
            )
            installed._version.cache_clear()
            after = keys(folder, monkeypatch, target="mobile-cpu")
        installed._version.cache_clear()
        assert differing(before, after) == stages


@pytest.mark.parametrize(
    ("module", "stages"),
    [("tipsc.pipeline.train", TRAINED), ("tipsc.pipeline.profile", MEASURED | TRIED)],
)
def test_a_change_of_tipsc_itself_is_seen(
    module: str,
    stages: set[str],
    before: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{module}.code_of", lambda rooms: "changed")
    assert differing(before, keys(write(tmp_path / "after"), monkeypatch)) == stages


def test_the_rooms_whose_code_counts_are_there() -> None:
    package = Path(tipsc.__file__).parent
    for room in (*installed.TRAINS, *installed.BUILDS):
        assert (package / room).exists(), room


def test_another_device_or_runtime_is_measured_again(
    before: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ThisMachine, "versions", lambda self, name: {name: "0.1"})
    assert differing(before, keys(write(tmp_path / "after"), monkeypatch)) == MEASURED


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ({"model": MODEL.replace("torch.relu", "torch.sin")}, {*TRAINED, *TRIED, "original"}),
        ({"data": DATA.replace("split(2)", "split(12)")}, {"original"} | CHOSEN | TRIED),
        ({"data": DATA.replace("split(3)", "split(13)")}, {"original", "engine"}),
        ({"tipsc": YAML.replace("paths: 2", "paths: 3")}, CHOSEN),
        ({"tipsc": YAML + "  quantised_loss: 0.5\n"}, set()),
        ({"helpers": HELPERS.replace("0.1", "0.2")}, TRAINED),
    ],
)
def test_builds_without_the_device_see_the_same(
    change: dict[str, str],
    stages: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = keys(write(tmp_path / "before"), monkeypatch, "jetson")
    after = write(tmp_path / "after", **change)
    if "quantised_loss" in change.get("tipsc", ""):
        after.joinpath("tipsc.yaml").write_text(
            YAML.replace("evaluations: 4", "evaluations: 4, quantised_loss: 0.5")
        )
        stages = {"engine"}
    assert differing(first, keys(after, monkeypatch, "jetson")) == stages


def test_other_figures_of_a_device_choose_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = (targets_folder() / "jetson-orin-nano.yaml").read_text()
    found = []
    for number, text in enumerate([shown, shown.replace("launch_us: 5\n", "launch_us: 4\n")]):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        found.append(keys(write(tmp_path / f"{number}"), monkeypatch, str(file)))
    assert differing(*found) == CHOSEN


PRINT = """
import sys
sys.path.insert(0, {folder!r})
import data, torch
from tipsc.fingerprint.values import fingerprint
print(fingerprint([data.augmentation(0.5), {{"b", "a", "c"}}, data.split, torch.relu, data]))
"""


def test_a_fingerprint_is_the_same_in_every_process(tmp_path: Path) -> None:
    folder = write(tmp_path / "project")
    code = PRINT.format(folder=str(folder))
    printed = {
        subprocess.check_output(
            [sys.executable, "-c", code],
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        )
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_objects_count_by_their_attributes_and_not_by_what_they_remember() -> None:
    from tipsc.elastic import family

    def made() -> torch.nn.Module:
        torch.manual_seed(0)
        return family("transformer", classes=3, input_shape=[1, 8, 8], patch=4)

    one, two = made(), made()
    assert values.fingerprint(one) == values.fingerprint(two)
    two.train()
    _ = two.space.largest, two.space.size
    assert values.fingerprint(one.eval()) == values.fingerprint(two)
    two.inputs = (replace(two.inputs[0], dtype="int64"),)
    assert values.fingerprint(one) != values.fingerprint(two)
