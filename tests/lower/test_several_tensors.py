"""Engines of models with several inputs and outputs give what torch gives, in the model's tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from tipsc.convert import ConvertedSupernet, convert
from tipsc.elastic import extract
from tipsc.engine import Manifest, PathEntry
from tipsc.lower import lower
from tipsc.runtime import Engine

IMAGE = torch.randn(2, 3, 16, 16)


class Detector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU(),
        )  # fmt: skip
        self.cls, self.box = nn.Conv2d(24, 4, 1), nn.Conv2d(24, 4, 1)
        self.register_buffer("anchors", torch.rand(5, 4))

    def forward(self, image: Tensor) -> dict[str, Any]:
        y = self.body(image)
        return {"scores": self.cls(y), "boxes": [self.box(y), y.mean((2, 3))], "at": self.anchors}


class NormsGiven(nn.Module):
    """A layer whose norm cannot be folded: it is given as it is, too."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 3)
        self.c = nn.Conv2d(16, 4, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a = self.a(image)
        c = self.c(torch.relu(self.b(torch.relu(self.norm(a)))))
        return a, c, c


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 32)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        hidden = self.block(self.table(tokens), src_key_padding_mask=mask == 0)
        weight = mask.unsqueeze(-1).float()
        return self.head((hidden * weight).sum(1) / weight.sum(1))


class State(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.cell, self.b = nn.Linear(12, 16), nn.GRUCell(16, 20), nn.Linear(20, 4)

    def forward(self, x: Tensor, state: Tensor) -> dict[str, Tensor]:
        state = self.cell(torch.relu(self.a(x)), state)
        return {"answer": self.b(state), "state": state}


def engine_of(folder: Path, supernet: ConvertedSupernet) -> tuple[Engine, list[Any]]:
    """An engine with the smallest and the largest path, and these paths in torch."""
    paths = [supernet.space.smallest, supernet.space.largest]
    lowered = lower(supernet, paths)
    entries = tuple(
        PathEntry(path.id, dict(path.items), None, None, i, 0, 0, 0) for i, path in enumerate(paths)
    )
    manifest = Manifest(
        "several", "host", "onnxruntime", lowered.signature, entries,
        list(supernet.space.to_json()),
    )  # fmt: skip
    lowered.write(folder / "e.tipsc", manifest)
    return Engine.open(folder / "e.tipsc"), [extract(supernet, path) for path in paths]


def close(got: Any, expected: Any) -> None:
    found = torch.utils._pytree.tree_leaves(got)
    wanted = torch.utils._pytree.tree_leaves(expected)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-5)


def test_a_detector_gives_its_dict(tmp_path: Path) -> None:
    torch.manual_seed(0)
    supernet = convert(Detector().eval(), IMAGE)
    engine, modules = engine_of(tmp_path, supernet)
    with engine, torch.no_grad():
        for path, module in zip(engine.paths, modules, strict=True):
            found = engine.run(IMAGE[:1].numpy(), path=path)
            assert list(found) == ["scores", "boxes", "at"] and len(found["boxes"]) == 2
            close(found, module(IMAGE[:1]))


def test_what_is_given_from_before_a_norm_is_not_folded(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = NormsGiven()
    for _ in range(3):
        model(torch.randn(16, 3, 16, 16) * 2 + 1)  # statistics that are not 0 and 1
    supernet = convert(model.eval(), IMAGE)
    engine, modules = engine_of(tmp_path, supernet)
    with engine, torch.no_grad():
        for path, module in zip(engine.paths, modules, strict=True):
            close(engine.run(IMAGE[:1].numpy(), path=path), module(IMAGE[:1]))


def test_tokens_and_their_mask_by_name(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokens, mask = torch.randint(1, 50, (2, 9)), torch.ones(2, 9, dtype=torch.int64)
    mask[:, 6:] = 0
    supernet = convert(Masked().eval(), (tokens, mask))
    engine, modules = engine_of(tmp_path, supernet)
    given = {"mask": mask[:1].numpy(), "tokens": tokens[:1].numpy()}
    with engine, torch.no_grad():
        for path, module in zip(engine.paths, modules, strict=True):
            close(engine.run(given, path=path), module(tokens[:1], mask[:1]))
            others = {"mask": np.ones_like(given["mask"]), "tokens": given["tokens"]}
            assert not np.allclose(engine.run(others, path=path), engine.run(given, path=path))


def test_a_state_that_comes_out_goes_in_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x, state = torch.randn(2, 12), torch.zeros(2, 20)
    supernet = convert(State().eval(), (x, state))
    engine, modules = engine_of(tmp_path, supernet)
    with engine, torch.no_grad():
        kept, expected = state[:1].numpy(), state[:1]
        for step in range(20):  # paths take turns: the state is of one size for all
            place = step % 2
            found = engine.run((x[:1].numpy(), kept), path=engine.paths[place])
            wanted = modules[place](x[:1], expected)
            close(found, wanted)
            kept, expected = found["state"], wanted["state"]


def test_what_a_graph_takes_and_gives_has_the_models_names() -> None:
    supernet = convert(Detector().eval(), IMAGE)
    lowered = lower(supernet, [supernet.space.smallest])
    graph = onnx.load_from_string(next(iter(lowered.graphs.values()))).graph
    assert [v.name for v in graph.input] == ["image"]
    assert [v.name for v in graph.output] == ["scores", "boxes.0", "boxes.1", "at"]
