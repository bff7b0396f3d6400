"""A classifier of tokens with a mask, by keyword, from the data to the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tipsc.engine import read_engine
from tipsc.errors import DataError
from tipsc.pipeline.build import Pipeline
from tipsc.runtime import Engine

MODEL = '''
import torch
from torch import nn

from tipsc.train import Data, Split


class Reader(nn.Module):
    """The mean of what the letters that are there say, by two hidden layers."""

    def __init__(self):
        super().__init__()
        self.letters = nn.Embedding(12, 16)
        self.hidden = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 24), nn.ReLU())
        self.head = nn.Linear(24, 3)

    def forward(self, tokens, mask):
        weight = mask[:, :, None].float()
        seen = (self.letters(tokens) * weight).sum(1) / weight.sum(1)
        return self.head(self.hidden(seen))


def model():
    torch.manual_seed(0)
    net, examples = Reader(), split(512, 0)  # whatever the names, in this order
    optimizer = torch.optim.AdamW(net.parameters(), 0.01)
    for inputs, targets in list(examples.batches(64)) * 12:
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(*inputs.values()), targets).backward()
        optimizer.step()
    return net


def split(count, seed):
    """Which third of the alphabet most letters are from; those behind the mask are noise."""
    chance = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 3, (count,), generator=chance)
    tokens = torch.randint(0, 12, (count, 10), generator=chance)
    own = targets[:, None] * 4 + torch.randint(0, 4, (count, 10), generator=chance)
    mask = torch.arange(10) < torch.randint(4, 11, (count, 1), generator=chance)
    tokens = torch.where(torch.rand((count, 10), generator=chance) < 0.6, own, tokens)
    tokens = torch.where(mask, tokens, (targets[:, None] + 1) % 3 * 4)
    return Split({"tokens": tokens, "mask": mask}, targets)


def data(turned=False):
    parts = [split(512, 0), split(256, 1), split(256, 2)]
    if turned:
        parts = [Split(dict(reversed(p.inputs.items())), p.targets) for p in parts]
    return Data(*parts, ("low", "middle", "high"))
'''
CONFIG = """
name: reader
model: {callable: "reader.py:model"}
data: {callable: "reader.py:data"}
convert: {widths: [0.5, 1.0]}
train: {epochs: 2, frozen_epochs: 1, batch_size: 32}
build: {paths: 2, measured: 10, evaluations: 4, verify_examples: 64}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "reader.py").write_text(MODEL)
    (tmp_path / "tipsc.yaml").write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize("target", ["host", "jetson"])
def test_it_is_built_and_the_mask_counts(project: Path, target: str) -> None:
    pipeline = Pipeline(project, target)
    built = pipeline.run()
    manifest = read_engine(built.engine).manifest
    assert [spec.name for spec in manifest.signature.inputs] == ["tokens", "mask"]
    assert [spec.dtype for spec in manifest.signature.inputs] == ["int64", "bool"]
    assert all(path.quality.value > 0.9 for path in manifest.paths)
    if target != "host":
        return
    inputs, targets = pipeline.data.test.take(range(64))
    with Engine.open(built.engine) as engine:
        for path in engine.paths:
            right = []
            for i, target_class in enumerate(targets):
                one = {name: tensor[i : i + 1].numpy() for name, tensor in inputs.items()}
                right.append(int(engine.run(one, path=path).argmax()) == int(target_class))
            assert np.mean(right) > 0.9
            blind = {**one, "mask": np.ones_like(one["mask"])}
            assert not np.array_equal(engine.run(one, path=path), engine.run(blind, path=path))


def test_data_of_other_inputs_are_refused_before_anything_is_trained(project: Path) -> None:
    source = project / "reader.py"
    source.write_text(source.read_text().replace('"mask": mask}', '"there": mask}'))
    with pytest.raises(DataError, match=r"does not run on an example of the data.*there"):
        Pipeline(project, "host").run()


def test_the_order_of_a_dict_is_the_data_s(project: Path) -> None:
    config = project / "tipsc.yaml"
    turned = 'callable: "reader.py:data", arguments: {turned: true}'
    config.write_text(CONFIG.replace('callable: "reader.py:data"', turned))
    supernet = Pipeline(project, "host").untrained
    assert [spec.name for spec in supernet.inputs] == ["mask", "tokens"]
    one = {"tokens": torch.zeros(1, 10, dtype=torch.int64), "mask": torch.ones(1, 10).bool()}
    assert supernet(one["mask"], one["tokens"], supernet.space.largest).shape == (1, 3)
