"""A model that streams: its state goes in again, whatever path the next call takes."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tipsc.elastic import extract
from tipsc.embed import write_project
from tipsc.errors import ConfigError, DataError, UsageError
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.ship import shipped
from tipsc.runtime import Engine, Stream

MODEL = '''
import torch
from torch import nn

from tipsc.tasks.imitation import Imitation
from tipsc.train import Unlabelled


class Listener(nn.Module):
    """A causal convolution over what came before, and a recurrent cell, one frame a call."""

    def __init__(self):
        super().__init__()
        self.conv, self.mix = nn.Conv1d(6, 24, 4), nn.Linear(24, 16)
        self.cell, self.norm = nn.GRUCell(16, 8), nn.LayerNorm(16)
        self.out = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 3))

    def forward(self, frame, past, memory):
        seen = torch.cat([past, frame], 2)
        x = self.norm(self.mix(torch.relu(self.conv(seen)).squeeze(2)))
        memory = self.cell(x, memory)
        return self.out(memory), {"past": seen[:, :, 1:], "memory": memory}


def model():
    torch.manual_seed(0)
    return Listener()


def data():
    chance = torch.Generator().manual_seed(1)

    def part(count):
        return {
            "frame": torch.randn((count, 6, 1), generator=chance),
            "past": torch.randn((count, 6, 3), generator=chance),
            "memory": 0.5 * torch.randn((count, 8), generator=chance),
        }

    return Unlabelled(part(256), part(64), part(64), task=Imitation())
'''
CONFIG = """
name: listener
model: {callable: "listener.py:model"}
data: {callable: "listener.py:data"}
convert: {widths: [0.5, 1.0]}
train: {epochs: 2, frozen_epochs: 1, batch_size: 32}
build:
  paths: 3
  measured: 10
  evaluations: 6
  verify_examples: 16
  states: {past: output.1.past, memory: output.1.memory}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listener")
    (folder / "listener.py").write_text(MODEL)
    (folder / "tipsc.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def pipeline(project: Path) -> Pipeline:
    pipeline = Pipeline(project, "host")
    pipeline.run()
    return pipeline


def test_a_thousand_calls_with_changes_of_path_are_torch_s(pipeline: Pipeline) -> None:
    """The rule: a call gives what its path gives for the state that the last call left."""
    modules = {
        c.path.id: extract(pipeline.model.supernet, c.path, c.statistics) for c in shipped(pipeline)
    }
    assert len(modules) == 3
    chance, draw = np.random.default_rng(0), random.Random(0)
    past, memory = torch.zeros(1, 6, 3), torch.zeros(1, 8)
    with Engine.open(pipeline.output) as engine, torch.inference_mode():
        stream = engine.stream(engine.paths[0])
        largest = 0.0
        for step in range(1000):
            if step % 7 == 0:
                stream.path = draw.choice(engine.paths)
            frame = chance.standard_normal((1, 6, 1)).astype(np.float32)
            got = stream.run(frame)
            module = modules[stream.path.id]
            expected, states = module(torch.from_numpy(frame), past, memory)
            past, memory = states["past"], states["memory"]
            largest = max(largest, float(np.abs(got - expected.numpy()).max()))
        assert largest < 1e-4
        assert set(stream.states) == {"past", "memory"}
        np.testing.assert_allclose(stream.states["memory"], memory.numpy(), atol=1e-4)


def test_streams_are_apart_and_begin_anew_or_where_they_are_told_to(pipeline: Pipeline) -> None:
    frame = np.ones((1, 6, 1), np.float32)
    with Engine.open(pipeline.output) as engine:
        one, other = engine.stream(engine.paths[0]), engine.stream(engine.paths[0])
        first = one.run(frame)
        one.run(frame)
        np.testing.assert_array_equal(other.run({"frame": frame}), first)
        resumed = engine.stream(engine.paths[0], one.states)
        np.testing.assert_array_equal(resumed.run(frame), one.run(frame))
        one.reset()
        np.testing.assert_array_equal(one.run(frame), first)


def test_what_does_not_fit_is_said_and_the_state_stays(pipeline: Pipeline) -> None:
    with Engine.open(pipeline.output) as engine:
        stream = engine.stream(engine.paths[0])
        stream.run(np.ones((1, 6, 1), np.float32))
        before = stream.states
        with pytest.raises(DataError, match=r"input frame does not fit"):
            stream.run(np.ones((1, 6, 2), np.float32))
        with pytest.raises(DataError, match=r"not the inputs of a call.*a dict of frame"):
            stream.run({"frames": np.ones((1, 6, 1), np.float32)})
        for name, value in stream.states.items():
            np.testing.assert_array_equal(value, before[name])
        with pytest.raises(DataError, match=r"no such state.*past"):
            stream.reset({"pasts": before["past"]})
        with pytest.raises(DataError, match=r"does not fit.*float32\[1, 6, 3\]"):
            stream.reset({"past": before["memory"]})


def test_an_engine_without_states_does_not_stream(pipeline: Pipeline) -> None:
    from dataclasses import replace

    with Engine.open(pipeline.output) as engine:
        plain = replace(engine.manifest, states={})
        with pytest.raises(UsageError, match=r"does not stream.*build\.states"):
            Stream(plain, engine.context(), engine.paths[0])


@pytest.mark.parametrize(
    ("states", "says"),
    [
        ("{pst: output.1.past}", r"no input 'pst'.*one of frame, past, memory.*past"),
        ("{past: past}", r"no output 'past'.*output\.1\.past"),
        ("{past: output.1.memory}", r"another form.*float32\[1, 6, 3\].*float32\[1, 8\]"),
    ],
)
def test_states_that_are_none_are_refused_before_training(
    project: Path, tmp_path: Path, states: str, says: str
) -> None:
    (tmp_path / "listener.py").write_text(MODEL)
    text = CONFIG.replace("{past: output.1.past, memory: output.1.memory}", states)
    (tmp_path / "tipsc.yaml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        Pipeline(tmp_path, "host").untrained  # noqa: B018


def test_a_state_that_grows_is_refused_before_training(tmp_path: Path) -> None:
    grows = MODEL.replace("self.conv(seen)", "self.conv(seen[:, :, -4:])")
    grows = grows.replace('"past": seen[:, :, 1:]', '"past": seen')
    assert grows != MODEL
    (tmp_path / "listener.py").write_text(grows)
    (tmp_path / "tipsc.yaml").write_text(CONFIG)
    with pytest.raises(ConfigError, match=r"another form.*float32\[1, 6, 3\].*float32\[1, 6, 4\]"):
        Pipeline(tmp_path, "host").untrained  # noqa: B018


def test_a_project_around_it_keeps_its_state(pipeline: Pipeline, tmp_path: Path) -> None:
    write_project(pipeline.output, "python", tmp_path / "app")
    command = [sys.executable, "main.py", "--seconds", "1", "--calls", "calls.jsonl"]
    done = subprocess.run(
        command, cwd=tmp_path / "app", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "app" / "calls.jsonl").read_text().count("\n") > 5
