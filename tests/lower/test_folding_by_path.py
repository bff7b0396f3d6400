"""Layers whose neighbours differ between paths: what is folded into them differs, too."""

from __future__ import annotations

from pathlib import Path as FilePath

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from tipsc.convert import convert
from tipsc.elastic import ElasticLinear, Supernet
from tipsc.lower import LOCATION, lower
from tipsc.paths import Choice, Path, SearchSpace
from tipsc.signature import TensorSpec

IMAGE = (4, 3, 8, 8)


class PreActivation(nn.Module):
    """A residual block that begins with its norm."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(torch.relu(self.norm(x)))


def head(channels: int = 16) -> list[nn.Module]:
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)]
    return [nn.BatchNorm2d(channels), nn.ReLU(), *pooled]


def with_stem(bias: bool) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 16, 3, bias=bias), PreActivation(), *head())


def two_stages(bias: bool) -> nn.Module:
    """Where a path leaves after the first, the stem's reader is the copied head's norm."""
    between = [nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1, bias=bias)]
    stages = [nn.Sequential(PreActivation(), PreActivation()) for _ in range(2)]
    first, second = stages
    return nn.Sequential(nn.Conv2d(3, 16, 3, bias=bias), first, *between, second, *head())


def trained(model: nn.Module) -> nn.Module:
    """With norms that are far from doing nothing."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2.0, generator)
            nn.init.normal_(module.bias, 0.0, 1.0, generator)
    with torch.no_grad():
        model.train()(torch.randn(16, *IMAGE[1:], generator=generator))
    return model.eval()


def run(folder: FilePath, supernet: Supernet, paths: list[Path], x: Tensor) -> list[Tensor]:
    """Outputs of the exported graphs."""
    lowered = lower(supernet, paths)
    (folder / LOCATION).write_bytes(lowered.weights)
    outputs = []
    for path in paths:
        (folder / "path.onnx").write_bytes(lowered.graphs[path.id])
        session = onnxruntime.InferenceSession(folder / "path.onnx")
        rows = [
            session.run(None, {session.get_inputs()[0].name: row[None].numpy()})[0] for row in x
        ]
        outputs.append(torch.from_numpy(np.concatenate(rows)))
    return outputs


def assert_exported(folder: FilePath, supernet: Supernet, paths: list[Path], x: Tensor) -> None:
    for path, got in zip(paths, run(folder, supernet, paths, x), strict=True):
        with torch.no_grad():
            expected = supernet(x, path)
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max(), str(path)


@pytest.mark.parametrize("exits", [False, True], ids=["whole", "exits"])
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("build", [with_stem, two_stages])
def test_every_path_is_exported_as_it_is(
    build, bias: bool, exits: bool, tmp_path: FilePath
) -> None:
    torch.manual_seed(0)
    model, x = trained(build(bias)), torch.randn(IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0), exits=exits)
    paths = list(supernet.space.enumerate())
    assert len(paths) > 1
    assert_exported(tmp_path, supernet, paths[:40], x)


@pytest.mark.parametrize("slopes", [1, 16])
def test_slopes_of_prelu_follow_the_width(slopes: int, tmp_path: FilePath) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3), nn.PReLU(slopes), nn.Conv2d(16, 12, 3), nn.PReLU(12), *head(12)]
    model, x = trained(nn.Sequential(*layers)), torch.randn(IMAGE)
    nn.init.uniform_(model[1].weight, 0.1, 0.9)
    nn.init.uniform_(model[3].weight, 0.1, 0.9)
    supernet = convert(model, x, widths=(0.5, 1.0))
    assert {name for name, _ in supernet.space.largest.items} >= {"0.width", "2.width"}
    assert_exported(tmp_path, supernet, list(supernet.space.enumerate()), x)


class Leaf(Supernet):
    """A module of torch, used as one layer, whose weights have names of their own."""

    def __init__(self, layer: nn.Module, shape: tuple[int, ...]) -> None:
        width = Choice("width", (4, 8))
        layout = "NCHW"[: len(shape) + 1]
        given = TensorSpec("input", "float32", (1, *shape), layout)
        super().__init__(SearchSpace((width,)), [given])
        self.layer = layer
        self.first = ElasticLinear(12, width)
        self.last = ElasticLinear(width, 5)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        return self.last(self.first(self.layer(x), path), path)


@pytest.mark.parametrize("name", ["GRUCell", "encoder"])
def test_weights_of_a_larger_module_keep_their_places(name: str, tmp_path: FilePath) -> None:
    torch.manual_seed(0)
    layer: nn.Module = nn.GRUCell(12, 12)
    if name == "encoder":
        layer = nn.TransformerEncoderLayer(12, 3, 24, batch_first=True, dropout=0.0)
    shape = (12,) if name == "GRUCell" else (4, 12)
    supernet = Leaf(layer, shape).eval()
    x = torch.randn(3, *shape)
    assert_exported(tmp_path, supernet, list(supernet.space.enumerate()), x)


class Around(nn.Module):
    """A skip around blocks that paths leave out, joined in some way."""

    def __init__(self, join: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.blocks = nn.Sequential(PreActivation(), PreActivation())
        self.head = nn.Conv2d(32 if join == "cat" else 16, 4, 1)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.blocks(x)
        joined = {"cat": lambda: torch.cat([x, y], 1), "add": lambda: x + y, "mul": lambda: x * y}
        return self.head(joined[self.join]())


@pytest.mark.parametrize("join", ["cat", "add", "mul"])
def test_a_value_may_be_joined_with_itself(join: str, tmp_path: FilePath) -> None:
    torch.manual_seed(0)
    model, x = trained(Around(join)), torch.randn(IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0))
    paths = list(supernet.space.enumerate())
    assert len(paths) > 2
    assert_exported(tmp_path, supernet, paths[:20], x)


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], read: str) -> None:
        super().__init__()
        self.rnn = kind(4, 8, batch_first=True)
        self.up, self.head, self.read = nn.Linear(8, 32), nn.Linear(32, 5), read

    def forward(self, x: Tensor) -> Tensor:
        outputs, state = self.rnn(x)
        hidden, cell = state if isinstance(state, tuple) else (state, state)
        last = {"outputs": outputs[:, -1], "hidden": hidden[-1], "cell": cell[-1]}
        last["both"] = outputs[:, -1] + hidden[-1]
        return self.head(torch.relu(self.up(last[self.read])))


@pytest.mark.parametrize("read", ["outputs", "hidden", "cell", "both"])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_each_part_of_what_a_recurrent_layer_gives_is_exported(
    kind: type[nn.RNNBase], read: str, tmp_path: FilePath
) -> None:
    torch.manual_seed(0)
    model, x = Recurrent(kind, read).eval(), torch.randn(3, 12, 4)
    supernet = convert(model, x, widths=(0.5, 1.0))
    assert_exported(tmp_path, supernet, list(supernet.space.enumerate()), x)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("groups", [1, 4, 16])
def test_group_norm_with_fewer_groups(groups: int, affine: bool, tmp_path: FilePath) -> None:
    torch.manual_seed(0)
    norm = nn.GroupNorm(groups, 16, affine=affine)
    if affine:
        nn.init.uniform_(norm.weight, 0.5, 2.0)
        nn.init.normal_(norm.bias)
    layers = [nn.Conv2d(3, 16, 3), norm, nn.ReLU(), nn.Conv2d(16, 5, 1)]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    x = torch.randn(IMAGE)
    supernet = convert(nn.Sequential(nn.Conv2d(3, 3, 1), model).eval(), x, widths=(0.5, 1.0))
    assert_exported(tmp_path, supernet, list(supernet.space.enumerate()), x)


class LastToken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.up, self.head = nn.Embedding(9, 8), nn.Linear(8, 32), nn.Linear(32, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        logits = self.head(self.up(self.embed(tokens)).relu())
        return logits[torch.arange(tokens.shape[0]), (tokens != 0).sum(1) - 1]


def test_an_index_over_the_batch_is_exported(tmp_path: FilePath) -> None:
    tokens = torch.randint(1, 9, (1, 6))
    tokens[0, 4:] = 0
    supernet = convert(LastToken().eval(), tokens, widths=(0.5, 1.0))
    assert_exported(tmp_path, supernet, list(supernet.space.enumerate()), tokens)
