"""Pixels go into the engine as a camera gives them; it normalises them itself."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tipsc.convert.camera import Camera
from tipsc.engine import read_engine
from tipsc.errors import ConversionError, DataError
from tipsc.pipeline.build import Pipeline
from tipsc.runtime import Engine

MODEL = '''
import torch
from torch import nn

from tipsc.train import Data, Split

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def pixels(count, seed, last):
    """Which channel is the brightest."""
    chance = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 3, (count,), generator=chance)
    images = torch.randint(0, 160, (count, 3, 12, 12), generator=chance)
    images[torch.arange(count), targets] += 60
    images = images.to(torch.uint8)
    return Split(images.permute(0, 2, 3, 1).contiguous() if last else images, targets)


def data(last):
    return Data(*(pixels(n, i, last) for i, n in enumerate((384, 96, 96))), ("r", "g", "b"))


def model():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 24, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(24, 3),
    )
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    for inputs, targets in list(pixels(384, 0, False).batches(32)) * 6:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net((inputs / 255 - mean) / std), targets).backward()
        optimizer.step()
    return net
'''
CONFIG = """
name: camera
model: {{callable: "camera.py:model"}}
data: {{callable: "camera.py:data", arguments: {{last: {last}}}}}
convert:
  widths: [0.5, 1.0]
  input: {{mean: [0.5, 0.4, 0.3], std: [0.2, 0.25, 0.3], channels: {channels}}}
train: {{epochs: 2, frozen_epochs: 1, batch_size: 32}}
build: {{paths: 2, measured: 10, evaluations: 4, verify_examples: 32, quantised_loss: 0.05}}
"""


def project(folder: Path, channels: str) -> Path:
    (folder / "camera.py").write_text(MODEL)
    last = str(channels == "last").lower()
    (folder / "tipsc.yaml").write_text(CONFIG.format(last=last, channels=channels))
    return folder


@pytest.mark.parametrize(
    ("target", "channels"),
    [("host", "last"), ("host", "first"), ("mobile-cpu-int8", "last"), ("jetson", "last")],
)
def test_the_engine_takes_pixels(tmp_path: Path, target: str, channels: str) -> None:
    pipeline = Pipeline(project(tmp_path, channels), target)
    built = pipeline.run()
    manifest = read_engine(built.engine).manifest
    (spec,) = manifest.signature.inputs
    shape = (1, 12, 12, 3) if channels == "last" else (1, 3, 12, 12)
    assert (spec.dtype, spec.shape) == ("uint8", shape)
    assert all(path.quality is not None and path.quality.value > 0.9 for path in manifest.paths)
    if target != "host":
        return
    images, labels = pipeline.data.test.take(range(20))
    with Engine.open(built.engine) as engine:
        path = engine.paths[-1]
        found = [int(engine.run(x[None].numpy(), path=path).argmax()) for x in images]
        assert np.mean(np.array(found) == labels.numpy()) > 0.9
        with pytest.raises(DataError, match=r"expected uint8\["):
            engine.run(images[:1].float().numpy(), path=path)


def test_a_model_of_an_onnx_file_takes_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = project(tmp_path, "last") / "tipsc.yaml"
    monkeypatch.syspath_prepend(str(tmp_path))
    net = importlib.import_module("camera").model().eval()
    names = {"input_names": ["image"], "output_names": ["scores"]}
    torch.onnx.export(
        net, (torch.randn(2, 3, 12, 12),), tmp_path / "net.onnx", dynamo=True, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("n")},), **names,
    )  # fmt: skip
    config.write_text(config.read_text().replace('callable: "camera.py:model"', "onnx: net.onnx"))
    pipeline = Pipeline(tmp_path, "host")
    built = pipeline.run()
    manifest = read_engine(built.engine).manifest
    (spec,) = manifest.signature.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("pixels", "uint8", (1, 12, 12, 3))
    images, labels = pipeline.data.test.take(range(20))
    with Engine.open(built.engine) as engine:
        for path in engine.paths:
            found = [int(engine.run(x[None].numpy(), path=path).argmax()) for x in images]
            assert np.mean(np.array(found) == labels.numpy()) > 0.9


def test_pixels_are_normalised_as_is_usual() -> None:
    camera = Camera(nn.Identity(), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3), channels_last=True)
    pixels = torch.randint(0, 256, (2, 4, 5, 3), dtype=torch.uint8)
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
    expected = ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(camera(pixels), expected)


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (0.0,)), ((0.5, 0.5), (1.0, 1.0, 1.0))])
def test_what_cannot_normalise_is_refused(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(ConversionError, match=r"convert\.input: pixels cannot be normalised"):
        Camera(nn.Identity(), mean, std)
