"""One training of the paths that ship, for two targets: built for real, on this machine.

Both are measured in short here; with TIPSC_SLOW=1 the second is a backend of its own, whose
conversions take a minute.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tipsc.engine import read_engine
from tipsc.errors import UsageError
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.choose import shipping
from tipsc.pipeline.narrow import NARROW, trained_paths
from tipsc.pipeline.together import Together
from tipsc.pipeline.train import TRAIN
from tipsc.runtime import Engine
from tipsc.train.history import History
from tipsc.train.learner import HISTORY_FILE

QUICK = """
name: {name}
description: this computer, measured in short
extends: {extends}
measure: {{warm_up_ms: 0, rounds: 4, batch_ms: 0.5, pin: none}}
"""
OTHER = "mobile-cpu" if os.environ.get("TIPSC_SLOW") else "host"
FILES = {
    "one.yaml": QUICK.format(name="one", extends="host"),
    "two.yaml": QUICK.format(name="two", extends=OTHER),
    "tipsc.yaml": """
name: tiny
model: {callable: "tiny_model.py:load"}
data: {callable: "tiny_data.py:load"}
train: {epochs: 2, frozen_epochs: 0, batch_size: 30}
build: {paths: 2, measured: 10, evaluations: 4}
""",
    "tiny_model.py": """
import torch
def load():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)
    ).eval()
""",
    "tiny_data.py": """
import torch
from tipsc.tasks import Classification
from tipsc.train import Data, Split
def load():
    x = torch.randn(900, 8, generator=torch.Generator().manual_seed(1))
    y = x[:, :4].argmax(1)
    splits = (Split(x[i:i+300], y[i:i+300]) for i in (0, 300, 600))
    return Data(*splits, Classification(tuple("abcd")))
""",
}


class Log:
    """Keeps the stages that were done, and whether they had been."""

    def __init__(self) -> None:
        self.done: list[tuple[str, bool]] = []

    def begin(self, stage: str):
        return lambda done, total, note="": None

    def end(self, stage: str, seconds: float, *, cached: bool) -> None:
        self.done.append((stage, cached))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("together")
    for name, text in FILES.items():
        (place / name).write_text(text)
    return place


def targets(folder: Path) -> list[str]:
    return [str(folder / name) for name in ("two.yaml", "one.yaml")]


@pytest.fixture(scope="module")
def built(folder: Path) -> tuple[Together, Log]:
    log = Log()
    together = Together(folder, targets(folder), reporter=log)
    records = together.run()
    assert [record.target.name for record in records] == ["one", "two"]
    return together, log


def test_each_engine_has_its_own_paths_from_the_same_weights(
    built: tuple[Together, Log], folder: Path
) -> None:
    together, log = built
    weights, inputs = set(), np.zeros((1, 8), np.float32)
    for pipeline in together.pipelines:
        engine = read_engine(pipeline.output)
        assert {path.id for path in engine.manifest.paths} <= {p.id for p in shipping(pipeline)}
        weights.add(engine.manifest.provenance["weights"])
        with Engine.open(pipeline.output) as opened:
            assert opened.run(inputs, path=engine.manifest.paths[0].id) is not None
    assert weights == {together.pipelines[0].done(NARROW).key}
    assert [cached for stage, cached in log.done if stage == "narrow"] == [False, True]
    assert [cached for stage, cached in log.done if stage == "train"] == [False, True]
    assert {stage for stage, _ in log.done} >= {"one profile", "two profile"}


def test_the_union_is_trained_in_the_steps_of_one_target(built: tuple[Together, Log]) -> None:
    together, _ = built
    first = together.pipelines[0]
    drawn, each = trained_paths(first), [set(shipping(one)) for one in together.pipelines]
    assert set(drawn.paths) == set.union(*each)
    share = dict(zip(drawn.paths, drawn.weights, strict=True))
    for paths in each:  # a half for each target, and what the other one has of the same paths
        assert sum(share[path] for path in paths) >= 0.5 - 1e-9
    assert sum(drawn.weights) == pytest.approx(1.0)
    history = History.read(first.done(NARROW).folder / HISTORY_FILE)
    assert len(history) == 2 * 300 // 30
    said = str(together.sharing())
    assert said.startswith(f"one training for 2 targets: {len(drawn.paths)} paths (")


def test_built_again_nothing_is_done_whatever_the_order(
    built: tuple[Together, Log], folder: Path
) -> None:
    log = Log()
    Together(folder, targets(folder)[::-1], reporter=log).run()
    assert {stage for stage, cached in log.done if not cached} == {"model"}


def test_one_target_alone_is_what_it_was(built: tuple[Together, Log], folder: Path) -> None:
    """The paths are those that were chosen together; its training is its own."""
    together, _ = built
    alone, one = Pipeline(folder, str(folder / "one.yaml")), together.pipelines[0]
    assert alone.done(TRAIN).cached and alone.chosen().cached
    assert shipping(alone) == shipping(one)
    assert NARROW.inputs(alone)["paths"] == [path.id for path in shipping(alone)]
    assert "paths_together" not in NARROW.inputs(alone)


def test_a_target_twice_or_alone_is_refused(folder: Path) -> None:
    for targets in (("host",), ("host", "host")):
        with pytest.raises(UsageError, match="no several targets"):
            Together(folder, targets)
