"""What a build would fail at is found before it begins, and named; and nothing changes by that."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from tipsc.elastic import family
from tipsc.errors import ConversionError, VerificationError
from tipsc.paths import Choice, SearchSpace
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.outlook import Load, _at, outlook_of
from tipsc.pipeline.precheck import prechecked
from tipsc.pipeline.tried import _kinds, paths_to_try

#: the export to ONNX drops the divisor of a pool over three axes
WRONG = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lift, self.norm = nn.Conv3d(1, 8, 3, padding=1), nn.BatchNorm3d(8)
        self.mean = nn.AvgPool3d(2, divisor_override=DIVISOR)
        self.mix, self.head = nn.Conv3d(8, 8, 1), nn.Linear(8 * 2 * 4 * 2, 3)

    def forward(self, x):
        x = self.mean(torch.relu(self.norm(self.lift(x))))
        return self.head(torch.relu(self.mix(x)).flatten(1))


def load():
    return Net()
"""
#: an elastic model by the user's own hand, whose answers depend on the batch
TOGETHER = """
import torch

from tipsc.elastic import Supernet, family


def load():
    inner = family("mobilenet", classes=3, input_shape=[1, 8, 8], stem=8, head=8,
                   stages=[{"channels": 8, "depths": [1, 2], "expansions": [1, 2]}])

    class Net(Supernet):
        def __init__(self):
            super().__init__(inner.space, inner.inputs)
            self.inner = inner

        def forward(self, x, path):
            return self.inner(x - x.mean(0), path)

    return Net()
"""
DATA = """
import torch

from tipsc.train import Data, Split


def load():
    shape = SHAPE
    inputs = torch.randn(60, *shape, generator=torch.Generator().manual_seed(0))
    targets = torch.arange(60) % 3
    parts = (slice(0, 30), slice(30, 45), slice(45, 60))
    return Data(*(Split(inputs[p], targets[p]) for p in parts), ("a", "b", "c"))
"""


def project(folder: Path, model: str, shape: tuple[int, ...]) -> Pipeline:
    folder.mkdir()
    config = {
        "name": "net",
        "model": {"callable": "model.py:load"},
        "data": {"callable": "data.py:load"},
        "train": {"epochs": 4, "frozen_epochs": 1, "batch_size": 6},
        "build": {"paths": 2, "evaluations": 4},
    }
    (folder / "tipsc.yaml").write_text(json.dumps(config))
    (folder / "model.py").write_text(model)
    (folder / "data.py").write_text(DATA.replace("SHAPE", repr(shape)))
    return Pipeline(folder)


def pooled(folder: Path, divisor: int | None) -> Pipeline:
    return project(folder, WRONG.replace("DIVISOR", repr(divisor)), (1, 4, 8, 4))


def test_a_layer_that_is_compiled_wrongly_is_named_and_a_build_is_refused(tmp_path: Path) -> None:
    pipeline = pooled(tmp_path / "wrong", 3)
    found = prechecked(pipeline)
    assert {problem.layer for problem in found.problems} == {"mean"}
    assert {problem.path for problem in found.problems} == {path.id for path in found.paths}
    with pytest.raises(VerificationError, match=r"mean \(avg_pool3d\) computes something else"):
        pipeline.run()
    assert [stage.name for stage in pipeline.stages.done] == ["precheck"]


def test_the_same_model_with_a_plain_mean_passes_and_nothing_of_it_changes(tmp_path: Path) -> None:
    pipeline = pooled(tmp_path / "right", None)
    supernet = pipeline.untrained
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    modes = [module.training for module in supernet.modules()]
    chance = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()

    found = prechecked(pipeline)
    stages = {stage.stage: stage for stage in outlook_of(pipeline, found)}

    assert found.problems == ()
    assert all(path.difference < 1e-5 for path in found.paths)  # float32 sums in another order
    assert set(stages) == {"profile", "search", "narrow", "ship", "engine"}
    assert stages["narrow"].basis.startswith("20 steps of ")  # 4 epochs of 30 // 6
    assert all(stage.seconds > 0 for stage in stages.values())
    least, most = map(float, re.findall(r"([\d.]+) s", stages["engine"].basis))
    # At least two paths of 15 pauses of 20 ms; at most it is measured six times, and written twice.
    assert 0.6 < least < most < 6 * least
    assert stages["engine"].seconds == pytest.approx((least * most) ** 0.5, rel=0.02)  # 3 digits
    build = pipeline.config.build.model_copy(update={"share_loss": 0.003})
    pipeline.config = pipeline.config.model_copy(update={"build": build})
    looked = {stage.stage: stage for stage in outlook_of(pipeline, found)}["ship"]
    assert "trained by themselves, 20 steps" in looked.basis
    assert looked.seconds > stages["ship"].seconds
    for name, value in supernet.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert modes == [module.training for module in supernet.modules()]
    assert torch.equal(chance[0], torch.get_rng_state())
    assert chance[1] == random.getstate()
    assert np.array_equal(chance[2], np.random.get_state()[1])
    again = Pipeline(tmp_path / "right")
    assert prechecked(again) == found
    assert again.stages.done[0].cached


def test_a_model_whose_answer_depends_on_the_batch_is_refused(tmp_path: Path) -> None:
    pipeline = project(tmp_path / "together", TOGETHER, (1, 8, 8))
    with pytest.raises(ConversionError, match="depends on the other examples of the batch"):
        prechecked(pipeline)


def test_each_kind_of_step_is_taken_by_one_path_and_left_out_by_another() -> None:
    stage = {"channels": 8, "depths": [1, 2, 3], "expansions": [1, 2, 4]}
    supernet = family("mobilenet", classes=4, input_shape=[1, 8, 8], stem=8, stages=[stage], head=8)
    space = supernet.space
    paths = paths_to_try(supernet, seed=0)
    assert {space.largest, space.smallest} < set(paths)
    deep = {path for path in paths if path["stage0.depth"] == 3}
    assert any(path[c.name] == c.smallest for path in deep for c in space.choices[1:])
    shallow = space.path({**space.largest.options, "stage0.depth": 1})
    assert paths[shallow] == "largest, least depth"
    assert list(paths.values()).count("random") == 2
    assert set(paths) == set(paths_to_try(supernet, seed=0))


def test_choices_with_a_number_behind_their_name_are_of_one_kind() -> None:
    choices = [Choice(name, (1, 2)) for name in ("depth", "depth2", "body.depth10", "0.width", "3")]
    kinds = {kind: len(names) for kind, names in _kinds(SearchSpace(choices)).items()}
    assert kinds == {"depth": 3, "width": 1, "3": 1}


def test_what_a_batch_takes_is_a_straight_line_through_the_two_largest() -> None:
    found = {2: Load(9.0, 500.0), 4: Load(1.0, 100.0), 8: Load(1.8, 140.0)}
    assert _at(32, found) == Load(pytest.approx(6.6), pytest.approx(380.0))
    assert _at(8, found) == found[8]
    assert _at(32, {4: Load(1.0, None), 8: Load(1.8, None)}).peak_mib is None
