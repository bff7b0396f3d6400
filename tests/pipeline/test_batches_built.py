"""An engine for calls with one example and with several, from the configuration to the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tipsc.engine import read_engine
from tipsc.pipeline.build import Pipeline
from tipsc.project.config import Build
from tipsc.report.build import report_of
from tipsc.report.paths_table import shipped_rows
from tipsc.runtime import Engine

MODEL = '''
import torch
from torch import nn

from tipsc.train import Data, Split


def split(count, seed):
    """Which quarter of an image is bright."""
    chance = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 4, (count,), generator=chance)
    images = torch.rand((count, 3, 8, 8), generator=chance)
    for image, target in zip(images, targets):
        image[:, 4 * (target // 2) :, 4 * (target % 2) :][:, :4, :4] += 0.5
    return Split(images, targets)


def data():
    return Data(*(split(n, i) for i, n in enumerate((256, 61, 61))), tuple("abcd"))


def model():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, 2, 1),
        nn.ReLU(), nn.Flatten(), nn.Linear(64, 4),
    )
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    for inputs, targets in list(split(256, 0).batches(32)) * 12:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), targets).backward()
        optimizer.step()
    return net
'''
CONFIG = """
name: batches
model: {callable: "parts.py:model"}
data: {callable: "parts.py:data"}
convert: {widths: [0.5, 1.0]}
train: {epochs: 1, frozen_epochs: 1, batch_size: 32}
build: {paths: 2, measured: 10, evaluations: 4, quantised_loss: 0.05, batch: [1, 8]}
"""


def project(folder: Path) -> Path:
    (folder / "parts.py").write_text(MODEL)
    (folder / "tipsc.yaml").write_text(CONFIG)
    return folder


@pytest.mark.parametrize("target", ["host", "mobile-cpu-int8", "jetson"])
def test_each_path_takes_one_and_eight(tmp_path: Path, target: str) -> None:
    pipeline = Pipeline(project(tmp_path), target)
    built = pipeline.run()
    manifest = read_engine(built.engine).manifest
    assert manifest.batches == (1, 8)
    alone = {path.id: path for path in manifest.paths if path.batch == 1}
    many = {path.id: path for path in manifest.paths if path.batch == 8}
    assert set(many) == {f"{name}x8" for name in alone}
    for name, path in alone.items():
        more = many[f"{name}x8"]
        assert more.options == path.options and more.macs == 8 * path.macs
        assert more.quality is not None and path.quality is not None
        assert more.quality.value == pytest.approx(path.quality.value, abs=0.02)
    if target == "jetson":  # is left unbuilt
        assert manifest.unbuilt
        return
    images = pipeline.data.test.inputs[:8].numpy()
    with Engine.open(built.engine) as engine:
        for name in alone:
            together = engine.run(images, path=f"{name}x8")
            one_by_one = [engine.run(images[i : i + 1], path=name) for i in range(8)]
            # In int8 both are rounded alike but for where ranges of single examples end.
            off = 1e-5 if target == "host" else 0.05 * np.abs(together).max()
            np.testing.assert_allclose(together, np.concatenate(one_by_one), atol=off)
        slow = max(path.latency.p95_ms for path in many.values() if path.latency)
        assert engine.pick(budget_ms=2 * slow, batch=8).batch == 8
    report = report_of(built)
    assert {path.batch for path in report.shipped} == {1} and len(report.shipped) == len(alone)
    assert {path.batch for path in report.batched} == {8}
    assert "<th>batch</th>" in shipped_rows(report)


def test_a_size_alone_is_all_that_the_engine_takes(tmp_path: Path) -> None:
    config = project(tmp_path) / "tipsc.yaml"
    config.write_text(CONFIG.replace("[1, 8]", "[8, 1]"))
    report_of(Pipeline(tmp_path, "host").run())  # the first is the one that is shown
    config.write_text(CONFIG.replace("[1, 8]", "8"))
    built = Pipeline(tmp_path, "host").run()
    manifest = read_engine(built.engine).manifest
    assert manifest.batches == (8,) and all("x8" not in path.id for path in manifest.paths)
    (spec,) = manifest.signature_of(manifest.paths[0]).inputs
    assert spec.shape == (8, 3, 8, 8)
    assert all(path.latency is not None for path in manifest.paths)


@pytest.mark.parametrize(
    ("batch", "said"), [((8, 8), "twice"), ((), "batch"), (0, "batch"), ((1, 5000), "batch")]
)
def test_sizes_that_are_none_are_refused(batch: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Build.model_validate({"batch": batch})
