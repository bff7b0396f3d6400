"""tipsc build of somebody's plain, trained module, with images that have no labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import write_project

from tipsc.project import callables as user_code
from tipsc.quality import Quality
from tipsc.tasks import Classification
from tipsc.train import Data

MODEL = '''
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width), nn.ReLU(),
            nn.Conv2d(4 * width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
        )

    def forward(self, x):
        return x + self.body(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x).relu()).mean((2, 3)))


def load():
    """A few steps of ordinary training stand for somebody's long one."""
    import data

    torch.manual_seed(3)
    net, labelled = Net(), data.labelled()
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    for inputs, targets in list(labelled.batches(64)) * 3:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
    return net
'''
UNLABELLED = """

def labelled():
    return load().train


def without_labels():
    from tipsc.train import Unlabelled

    data = load()
    return Unlabelled(data.train.inputs, data.validation.inputs, data.test.inputs)
"""


@pytest.fixture
def plain_project(tmp_path: Path) -> Path:
    return _write_plain(tmp_path / "plain", "data.py:without_labels")


def _write_plain(place: Path, data: str, model: str = "model.py:load", epochs: int = 30) -> Path:
    folder = write_project(
        place,
        model={"callable": model},
        convert={"widths": [0.5, 1.0], "resolutions": [4, 6], "exits": True},
        data={"callable": data},
        train={
            "paths_per_step": 1,
            "epochs": epochs,
            "frozen_epochs": 8,
            "batch_size": 64,
            "learning_rate": 0.01,
        },
    )
    (folder / "model.py").write_text(MODEL)
    with (folder / "data.py").open("a") as stream:
        stream.write(UNLABELLED)
    return folder


def test_a_plain_module_becomes_an_engine_that_claims_no_accuracy(
    plain_project: Path, tipsc: Any
) -> None:
    built = tipsc("build", plain_project)
    assert built.returncode == 0, built.stderr
    assert "agree %" in built.stdout
    assert "acc %" not in built.stdout
    engine = next(plain_project.glob("*.tipsc"))
    paths = json.loads(tipsc("inspect", engine, "--format", "json").stdout)["paths"]
    assert len(paths) >= 2
    assert {path["options"]["exit"] for path in paths} == {1, 2}
    assert {path["quality"]["name"] for path in paths} == {"agreement"}
    # The best path holds much of what the original knows; chance is 0.1.
    assert max(path["quality"]["value"] for path in paths) > 0.4
    weights = next(plain_project.glob("runs/*/train-*/*.pt"))
    state = torch.load(weights, weights_only=True)
    anchored = [bool(value) for name, value in state.items() if name.endswith(".anchored")]
    assert anchored  # the original's own statistics are kept
    assert all(anchored)
    page = engine.with_suffix(".html").read_text()
    assert "Test agreement with the original" in page
    assert "Test accuracy" not in page


KEPT = """

def kept():
    from pathlib import Path

    net = Net()
    net.load_state_dict(torch.load(Path(__file__).with_name("kept.pt"), weights_only=True))
    return net
"""


def test_with_labels_the_original_is_scored_once_on_the_same_examples(
    tmp_path: Path, call: Any
) -> None:
    folder = _write_plain(tmp_path / "plain", "data.py:load", "model.py:kept", epochs=10)
    net = user_code.call("model.py:load", {}, folder, "model", (torch.nn.Module,)).eval()
    torch.save(net.state_dict(), folder / "kept.pt")
    with (folder / "model.py").open("a") as stream:
        stream.write(KEPT)

    done = call("build", folder)
    assert done.returncode == 0, done.stderr
    assert "original: done" in done.stderr
    assert "original: accuracy" in done.stderr and "validation examples (without" in done.stderr
    assert "% on the same 16 test examples" in done.stdout
    again = json.loads(call("build", folder, "--format", "json").stdout)
    assert all(stage["cached"] for stage in again["stages"]), again["stages"]
    test = user_code.call("data.py:load", {}, folder, "data", (Data,)).test
    right = net(test.inputs[:16]).argmax(-1) == test.targets[:16]
    original = again["original"]
    alone = [original.pop(name) for name in ("latency", "macs", "file_bytes")]  # in an engine
    assert alone[0]["p50_ms"] > 0 and alone[1] > 0 and alone[2] > 0
    assert original == {
        "quality": {
            "name": "accuracy",
            "value": pytest.approx(float(right.double().mean())),
            "unit": "share",
            "better": "higher",
        },
        "examples": 16,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
    }
    assert again["remarks"] == []
    assert "the original has" in next(folder.glob("*.html")).read_text()


def test_doubtful_figures_are_told_before_the_training() -> None:
    from tipsc.pipeline.doubts import doubts, said_of
    from tipsc.pipeline.original import Original
    from tipsc.train import Split

    def split(count: int) -> Split:
        return Split(torch.zeros(count, 1), torch.arange(count) % 4)

    data = Data(split(400), split(400), split(400), Classification(tuple("abcd")))

    def scoring(share: float) -> Original:
        return Original(
            Quality("accuracy", 0.8, "share"), 400, 1, Quality("accuracy", share, "share"), 400
        )

    assert doubts(data, None) == doubts(data, scoring(0.8)) == []
    (untrained,) = doubts(data, scoring(0.27))
    assert "27.0%" in untrained and "near chance, 25.0%" in untrained
    assert "trained weights are loaded" in untrained
    rare = Split(torch.zeros(400, 1), (torch.arange(400) % 20 == 0).long())  # 95 % of one class
    unequal = Data(rare, rare, rare, Classification(("no", "yes")))
    assert doubts(unequal, scoring(0.97)) == []
    assert "near chance, 95.0%" in doubts(unequal, scoring(0.95))[0]
    assert said_of(scoring(0.8), data) == (
        "original: accuracy 80.0% on 400 validation examples (without looking at an input: 25.0%)"
    )
    assert said_of(None, data) == ""
    small = Data(split(400), split(20), split(400), Classification(tuple("abcd")))
    (few,) = doubts(small, None)
    assert "20 validation examples, of which one is 5.0 % of the accuracy" in few
