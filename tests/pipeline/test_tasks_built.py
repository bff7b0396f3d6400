"""Each task from a trained model to an engine whose paths are judged by it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_tasks import CASES, data

from tipsc.engine import read_engine
from tipsc.errors import ConfigError, DataError
from tipsc.pipeline import choose
from tipsc.pipeline.build import Pipeline
from tipsc.quality import Quality
from tipsc.train import Data, quality_of

CONFIG = """
name: tiny
model: {{callable: "tiny_tasks.py:model", arguments: {{task: {task}}}}}
data: {{callable: "tiny_tasks.py:data", arguments: {{task: {task}}}}}
convert: {{widths: [0.5, 1.0]}}
train: {{epochs: 3, batch_size: 32}}
build: {{paths: 2, measured: 10, evaluations: 4, verify_examples: 32, quantised_loss: 0.1}}
"""
#: the worst path, as a share of what the original has above chance
KEEPS = {"detection": 0.7, "regression": 0.6, "imitation": 0.9, "language-modelling": 0.9}


def project_of(folder: Path, task: str) -> Path:
    shutil.copy(Path(__file__).with_name("tiny_tasks.py"), folder)
    (folder / "tipsc.yaml").write_text(CONFIG.format(task=task))
    return folder


def test_every_task_is_among_the_cases() -> None:
    from tipsc.tasks import TASKS

    assert set(CASES) == set(TASKS) - {"classification"}


@pytest.mark.parametrize("task", KEEPS)
def test_it_is_built_and_its_paths_are_nearly_as_good_as_the_original(
    task: str, tmp_path: Path
) -> None:
    pipeline = Pipeline(project_of(tmp_path, task), "host")
    built = pipeline.run()
    manifest = read_engine(built.engine).manifest
    judge, data = pipeline.data.judged_by, pipeline.data
    original = quality_of(pipeline.model.original.eval(), data.test, judge)  # type: ignore[union-attr]
    chance = judge.chance(data.test.take(range(len(data.test))).targets)
    nothing = chance or Quality(original.name, 0.0, original.unit, original.better)
    assert len(manifest.paths) + len(built.left_out) == 2
    for path in manifest.paths:
        assert path.quality.measure == original.measure
        assert path.quality.above(nothing) > KEEPS[task] * original.above(nothing)


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_it_is_built_for_a_jetson_and_nvidia_s_parser_takes_it(task: str, tmp_path: Path) -> None:
    built = Pipeline(project_of(tmp_path, task), "jetson").run()
    manifest = read_engine(built.engine).manifest
    assert len(manifest.paths) == 2
    assert manifest.recipe  # it is left to be finished on the device


def test_a_path_that_answers_the_same_whatever_it_sees_is_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_of(tmp_path, "segmentation")
    config = project / "tipsc.yaml"
    config.write_text(config.read_text().replace("evaluations: 4", "evaluations: 8"))
    pipeline = Pipeline(project, "host")
    found = choose.load_candidates(pipeline.searched().folder, pipeline.untrained.space)
    *cheap, one, other = sorted(found, key=lambda candidate: candidate.macs)
    assert cheap
    targets = pipeline.data.validation.take(range(len(pipeline.data.validation))).targets
    never = torch.zeros((*targets.shape[:1], 3, *targets.shape[1:]))
    never[:, int(targets.flatten().mode().values)] = 1.0
    tally = pipeline.data.judged_by.score()
    tally.add(never, targets)
    blind = [replace(candidate, quality=tally.quality) for candidate in cheap]
    monkeypatch.setattr(choose, "load_candidates", lambda *_: [*blind, one, other])
    chosen = {selection.path_id for selection in choose.select(pipeline)}
    assert chosen == {one.path.id, other.path.id}


def test_a_task_of_the_configuration_is_that_of_the_data(tmp_path: Path) -> None:
    project = project_of(tmp_path, "regression")
    source = project / "tiny_tasks.py"
    source.write_text(source.read_text().replace("Data(*parts, judged)", "Data(*parts)"))
    config = project / "tipsc.yaml"
    with pytest.raises(DataError, match="nothing says what the targets of the data mean"):
        Pipeline(project, "host").untrained  # noqa: B018
    text = config.read_text()
    config.write_text(text + "task: {name: regression, arguments: {by: mae, unit: lit}}\n")
    assert Pipeline(project, "host").data.judged_by.measure == "mean absolute error"
    config.write_text(text + "task: regresion\n")
    with pytest.raises(ConfigError, match=r"task: no task is called 'regresion'.*regression"):
        Pipeline(project, "host").untrained  # noqa: B018
    config.write_text(text + "task: {name: regression, arguments: {by: mse}}\n")
    with pytest.raises(ConfigError, match=r"task\.arguments\.by: should be 'r2', 'mae' or 'rmse'"):
        Pipeline(project, "host").untrained  # noqa: B018


def test_a_task_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    project = project_of(tmp_path, "regression")
    with (project / "tipsc.yaml").open("a") as stream:
        stream.write("task: regression\n")
    with pytest.raises(ConfigError, match=r"given twice.*regression by the data"):
        Pipeline(project, "host").untrained  # noqa: B018


def test_targets_and_outputs_of_another_task_are_refused_before_training() -> None:
    wrong = data("segmentation")
    assert isinstance(wrong, Data)
    from tipsc.tasks.regression import Regression

    with pytest.raises(DataError, match=r"train: targets are no numbers.*classification"):
        Data(wrong.train, wrong.validation, wrong.test, Regression())


ORDINAL = '''
import torch
from torch.nn import functional as F
from torchmetrics.regression import MeanAbsoluteError


class Ordinal:
    """Grades 0 to 3 as three questions: is it more than 0, than 1, than 2?"""

    measure = "grades apart"

    def loss(self, outputs, targets):
        asked = targets[:, None] > torch.arange(3)
        return F.binary_cross_entropy_with_logits(outputs, asked.float())

    def metric(self):
        return Apart()


class Apart(MeanAbsoluteError):
    def update(self, outputs, targets):
        super().update((outputs > 0).sum(1).float(), targets.float())


def model():
    from tiny_tasks import Data, Pooled, trained

    torch.manual_seed(0)
    return trained(Pooled(3), data(), Ordinal())


def data():
    from tiny_tasks import Data, Split, _lit, _parts

    def graded(part):
        bounds = torch.tensor([0.1, 0.15, 0.2])
        return Split(part.inputs, torch.bucketize(part.targets[:, 0], bounds))

    return Data(*(graded(part) for part in _parts(_lit)))
'''


ORDINAL_CONFIG = """
name: ordinal
model: {callable: "ordinal.py:model"}
data: {callable: "ordinal.py:data"}
task: {callable: "ordinal.py:Ordinal"}
""" + CONFIG[CONFIG.index("convert") :].format()


def test_a_loss_and_a_metric_that_tipsc_does_not_know(tmp_path: Path) -> None:
    """Ordinal regression, from the model to the engine: fewer grades apart are better."""
    project = project_of(tmp_path, "regression")
    (project / "ordinal.py").write_text(ORDINAL)
    config = project / "tipsc.yaml"
    config.write_text(ORDINAL_CONFIG)
    pipeline = Pipeline(project, "host")
    built = pipeline.run()
    paths = read_engine(built.engine).manifest.paths
    targets = pipeline.data.test.take(range(128)).targets.float()
    blind = float((targets - targets.median()).abs().mean())
    for path in paths:
        assert path.quality.name == "grades apart" and path.quality.better == "lower"
        assert path.quality.value < 0.6 * blind


def test_a_metric_that_gives_nan_ends_the_search_and_what_was_done_stays(tmp_path: Path) -> None:
    """It looks into a file, so that what the stages are kept by stays the same."""
    project = project_of(tmp_path, "regression")
    judge = """
    def compute(self):
        value = super().compute()
        return value / 0 * 0 if Path(__file__).with_name("broken").exists() else value
"""
    (project / "ordinal.py").write_text(
        "from pathlib import Path\n" + ORDINAL.replace("\n\ndef model", f"{judge}\n\ndef model", 1)
    )
    (project / "tipsc.yaml").write_text(ORDINAL_CONFIG)
    profiled = Pipeline(project, "host").profile().folder
    (project / "broken").touch()
    with pytest.raises(DataError, match="Ordinal, grades apart: the metric of the task gives nan"):
        Pipeline(project, "host").searched()
    (project / "broken").unlink()
    pipeline = Pipeline(project, "host")
    pipeline.searched()
    done = {stage.folder: stage.cached for stage in pipeline.stages.done}
    assert done[profiled]


def test_what_a_loss_of_one_s_own_changes_is_trained_again(tmp_path: Path) -> None:
    project = project_of(tmp_path, "regression")
    (project / "ordinal.py").write_text(ORDINAL)
    (project / "tipsc.yaml").write_text(ORDINAL_CONFIG)
    key = Pipeline(project, "host").task_key
    assert Pipeline(project, "host").task_key == key
    source = project / "ordinal.py"
    source.write_text(source.read_text().replace("asked.float())", "asked.float()) * 2"))
    assert Pipeline(project, "host").task_key != key
