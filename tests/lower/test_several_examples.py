"""Graphs for calls with several examples give what torch gives, over one store of weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tipsc.backends.tensorrt.merge import depth_groups
from tipsc.convert import convert
from tipsc.elastic import extract
from tipsc.engine import Latency, Manifest, PathEntry
from tipsc.engine.manifest import entry_ids
from tipsc.errors import DataError, EngineDamagedError, UsageError
from tipsc.lower import lower
from tipsc.lower.int8 import to_int8
from tipsc.runtime import Engine, Governor

BATCHES = (1, 3)
IMAGES, TOKENS = torch.randn(7, 3, 8, 8), torch.randint(0, 20, (7, 6))


class Conv(nn.Module):
    """A block to leave out, norms in groups, places pooled to one row for each example."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(16, 24, 3, padding=1), nn.GroupNorm(4, 24), nn.ReLU(), nn.Conv2d(24, 16, 1)
        )
        self.hidden, self.head = nn.Linear(16 * 16, 32), nn.Linear(32, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        x = nn.functional.avg_pool2d(x + self.block(x), 2)
        return self.head(torch.relu(self.hidden(x.flatten(1))))


class Reader(nn.Module):
    """A mask beside tokens, attention, and an output whose first axis is time."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 16)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        hidden = self.block(self.table(tokens), src_key_padding_mask=~mask)
        return {"letters": self.head(hidden).permute(1, 0, 2), "mean": hidden.mean(1)}


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 16), nn.Linear(12, 3)
        self.hidden = nn.Linear(12, 12)
        self.gru = nn.GRU(16, 12, batch_first=True)

    def forward(self, series: Tensor) -> Tensor:
        hidden, _ = self.gru(torch.relu(self.a(series)))
        return self.b(torch.relu(self.hidden(hidden[:, -1])))


MASK = torch.arange(6) < torch.tensor([[6], [3], [5], [1], [6], [2], [4]])
MODELS: dict[str, tuple[type[nn.Module], tuple[Tensor, ...]]] = {
    "convolutions": (Conv, (IMAGES,)),
    "mask and time first": (Reader, (TOKENS, MASK)),
    "recurrent": (Cell, (torch.randn(7, 5, 6),)),
}


def opened(folder: Path, name: str) -> tuple[Engine, Any, tuple[Tensor, ...]]:
    """An engine of the smallest and the largest path for calls with 1 and 3 examples."""
    torch.manual_seed(0)
    make, inputs = MODELS[name]
    supernet = convert(make().eval(), inputs)
    paths = [supernet.space.smallest, supernet.space.largest]
    lowered = lower(supernet, paths, batches=BATCHES)
    entries = tuple(
        PathEntry(name, dict(path.items), None, None, size * (1 + i), 0, 0, 0, size)
        for i, path in enumerate(paths)
        for name, size in entry_ids(path.id, BATCHES).items()
    )
    manifest = Manifest(
        "batches", "host", "onnxruntime", lowered.signature, entries,
        list(supernet.space.to_json()),
    )  # fmt: skip
    lowered.write(folder / "e.tipsc", manifest)
    alone = lower(supernet, paths)
    assert len(lowered.weights) == len(alone.weights)  # no tensor is stored again
    assert not any(len({n[-2:] == "x3" for n in g}) > 1 for g in depth_groups(lowered.graphs))
    return Engine.open(folder / "e.tipsc"), supernet, inputs


@pytest.mark.parametrize("name", MODELS)
def test_each_size_gives_what_torch_gives(tmp_path: Path, name: str) -> None:
    engine, supernet, inputs = opened(tmp_path, name)
    flat = engine.manifest.signature.gives.flat
    with engine, torch.no_grad():
        assert engine.manifest.batches == BATCHES
        for path in engine.paths:
            module = extract(supernet, supernet.space.path(path.options))
            some = [x[2 : 2 + path.batch] for x in inputs]
            got = flat(engine.run([x.numpy() for x in some], path=path), "output")
            for one, other in zip(got, flat(module(*some), "output"), strict=True):
                assert one.shape == other.shape
                np.testing.assert_allclose(one, other.numpy(), rtol=1e-4, atol=1e-5)


def test_int8_rounds_several_examples_as_it_rounds_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    supernet = convert(Conv().eval(), IMAGES)
    path = supernet.space.largest
    lowered = to_int8(lower(supernet, [path], batches=BATCHES), [IMAGES.numpy()])
    entries = tuple(
        PathEntry(name, dict(path.items), None, None, 0, 0, 0, 0, size)
        for name, size in entry_ids(path.id, BATCHES).items()
    )
    space = list(supernet.space.to_json())
    manifest = Manifest("int8", "host", "onnxruntime", lowered.signature, entries, space)
    lowered.write(tmp_path / "e.tipsc", manifest)
    images = IMAGES.numpy()
    with Engine.open(tmp_path / "e.tipsc") as engine:
        together = engine.run(images[:3], path=f"{path.id}x3")
        alone = [engine.run(images[i : i + 1], path=path.id) for i in range(3)]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)
    with torch.no_grad():
        assert not np.allclose(together, supernet(IMAGES[:3], path).numpy(), atol=1e-5)


def test_a_call_of_another_size_says_what_would_do(tmp_path: Path) -> None:
    engine, supernet, _ = opened(tmp_path, "convolutions")
    path_id = supernet.space.largest.id
    with engine:
        with pytest.raises(DataError, match=r"has 5 examples; .* take 1, 3.*build\.batch"):
            engine.run(IMAGES[:5].numpy(), path=path_id)
        with pytest.raises(DataError, match=r"has 3 examples; .*batch=3\) gives a path"):
            engine.run(IMAGES[:3].numpy(), path=path_id)
        assert engine.run(IMAGES[:3].numpy(), path=f"{path_id}x3").shape == (3, 5)
        for none in (IMAGES[:3, :2], IMAGES[:0], IMAGES.double()[:1]):
            with pytest.raises(DataError, match="does not fit"):
                engine.run(none.numpy(), path=path_id)
        with pytest.raises(UsageError, match=r"no path .* takes 4 .*expected 1 or 3"):
            engine.pick(budget_ms=1.0, batch=4)


def test_budgets_are_of_one_size(tmp_path: Path) -> None:
    engine, supernet, _ = opened(tmp_path, "recurrent")
    engine.close()
    engine._paths = tuple(_timed(path) for path in engine.manifest.paths)
    largest = supernet.space.largest.id
    assert engine.pick(budget_ms=9.0).id == largest
    assert engine.pick(budget_ms=9.0, batch=3).id == f"{largest}x3"
    assert Governor(engine).pick(budget_ms=9.0).id == largest
    assert Governor(engine, batch=3).pick(budget_ms=9.0).id == f"{largest}x3"
    with pytest.raises(UsageError, match="takes 2"):
        Governor(engine, batch=2)


def _timed(path: PathEntry) -> PathEntry:
    ms = float(path.macs)
    return replace(path, latency=Latency(ms, ms, ms))


def test_a_manifest_of_batches_is_of_one_example(tmp_path: Path) -> None:
    engine, _, _ = opened(tmp_path, "convolutions")
    engine.close()
    manifest = engine.manifest
    with pytest.raises(EngineDamagedError, match="not of one"):
        replace(manifest, signature=manifest.signature.with_batch(3))
    with pytest.raises(EngineDamagedError, match="size of a batch"):
        replace(manifest.paths[0], batch=0)
