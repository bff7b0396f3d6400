"""Ways of writing a model that conversion must understand, or refuse with the reason."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path as FilePath

import numpy as np
import onnxruntime
import pytest
import torch
from comparing import apart, executed_macs
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from tipsc.convert import convert
from tipsc.elastic import CostModel, extract
from tipsc.errors import ConversionError
from tipsc.lower import LOCATION, lower

TOLERANCE = 1e-5


class Einsum(nn.Module):
    """Feed-forward and attention written with einsum and weights of their own."""

    def __init__(self, width: int = 16, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(6, width)
        self.q, self.k, self.v = (
            nn.Parameter(torch.randn(width, heads, width // heads) / 4) for _ in range(3)
        )
        self.o = nn.Parameter(torch.randn(heads, width // heads, width) / 4)
        self.up = nn.Parameter(torch.randn(width, 48) / 4)
        self.down = nn.Parameter(torch.randn(48, width) / 4)
        self.head = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = (torch.einsum("btd,dhk->bhtk", x, w) for w in (self.q, self.k, self.v))
        seen = torch.einsum("bhtk,bhsk->bhts", q, k).softmax(-1)
        x = x + torch.einsum("bhtk,hkd->btd", torch.einsum("bhts,bhsk->bhtk", seen, v), self.o)
        x = x + torch.einsum(
            "btf,fd->btd", F.gelu(torch.einsum("btd,df->btf", x, self.up)), self.down
        )
        return self.head(x.mean(1))


class ThreeOperands(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 24)
        self.second, self.third = (
            nn.Parameter(torch.randn(24, 16)),
            nn.Parameter(torch.randn(16, 5)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bd,de,ef->bf", self.first(x), self.second, self.third)


class Masked(nn.Module):
    """Layers of attention with one additive mask."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(17, 32)
        self.layers = nn.ModuleList(_MaskedLayer() for _ in range(2))
        self.head = nn.Linear(32, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        mask = (tokens == 0)[:, None, None].float() * -1e4
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x, mask)
        return self.head(x.mean(1))


class _MaskedLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(32, 32) for _ in range(4))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (4, 8)).transpose(1, 2) for f in (self.q, self.k, self.v))
        seen = (q @ k.transpose(-1, -2) + mask).softmax(-1)
        return x + self.o((seen @ v).transpose(1, 2).flatten(2))


def normed() -> nn.Module:
    weight, spectral = parametrizations.weight_norm, parametrizations.spectral_norm
    return nn.Sequential(
        weight(nn.Conv1d(4, 24, 3)), nn.ReLU(), spectral(nn.Conv1d(24, 16, 3)), nn.ReLU(),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), weight(nn.Linear(16, 5)),
    )  # fmt: skip


class Scaled(nn.Module):
    """ConvNeXtV2's block: response normalisation with a scale and a shift for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Linear(6, 16), nn.LayerNorm(16)
        self.up, self.down, self.head = nn.Linear(16, 48), nn.Linear(48, 16), nn.Linear(16, 5)
        self.scale = nn.Parameter(torch.randn(1, 1, 48))
        self.shift = nn.Parameter(torch.randn(1, 1, 48))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = F.gelu(self.up(self.norm(x)))
        x = x + self.down(self.scale * (y * y.sigmoid()) + self.shift + y)
        return self.head(x.mean(1))


class BatchNormed(nn.Module):
    """LeViT's linear layer: a batch norm over examples and places."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.norm = nn.Linear(6, 16), nn.Linear(16, 48), nn.BatchNorm1d(48)
        self.down, self.head = nn.Linear(48, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.up(x)
        y = self.norm(y.flatten(0, 1)).reshape_as(y)
        return self.head((x + self.down(F.relu(y))).mean(1))


TOKENS = torch.randint(0, 17, (4, 9), generator=torch.Generator().manual_seed(0))
SIGNAL = torch.randn(4, 7, 6, generator=torch.Generator().manual_seed(0))
CASES: dict[str, tuple[Callable[[], nn.Module], Tensor, set[str]]] = {
    "einsum": (Einsum, SIGNAL, {"depth", "width"}),
    "three operands": (ThreeOperands, SIGNAL[:, 0], {"width"}),
    "scaled": (Scaled, SIGNAL, {"depth", "width"}),
    "batch norm over places": (BatchNormed, SIGNAL, {"depth", "width"}),
    "mask": (Masked, TOKENS, {"heads", "depth"}),
    "parametrized": (normed, SIGNAL[:, :4].repeat(1, 1, 2), {"width"}),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_elastic_exact_and_exported(name: str, tmp_path: FilePath) -> None:
    build, x, kinds = CASES[name]
    torch.manual_seed(0)
    model = build().eval()
    supernet = convert(model, x, widths=(0.5, 1.0))
    assert {row.kind for row in supernet.report.elastic} >= kinds
    other, costs = torch.cat([x, x.flip(0)])[1:], CostModel(supernet)
    space, generator = supernet.space, random.Random(0)
    full = costs.of(space.largest).macs - executed_macs(supernet, space.largest, other[:1])
    paths = [space.largest, space.smallest, *(space.sample_options(generator) for _ in range(8))]
    lowered = lower(supernet, paths)
    (tmp_path / LOCATION).write_bytes(lowered.weights)
    with torch.no_grad():
        assert apart(supernet(other, space.largest), model(other)) <= TOLERANCE
        for path in paths:
            expected = supernet(other, path)
            assert apart(extract(supernet, path)(other), expected) <= TOLERANCE
            assert costs.of(path).macs - executed_macs(supernet, path, other[:1]) == full
            (tmp_path / "path.onnx").write_bytes(lowered.graphs[path.id])
            session = onnxruntime.InferenceSession(tmp_path / "path.onnx")
            got = np.concatenate(
                [
                    session.run(None, {session.get_inputs()[0].name: o[None].numpy()})[0]
                    for o in other
                ]
            )
            assert apart(torch.from_numpy(got), expected) <= 1e-4


def test_all_layers_of_a_masked_encoder_have_elastic_heads_and_depth() -> None:
    report = convert(Masked().eval(), TOKENS).report
    by_kind = {row.name: row.kind for row in report.elastic}
    assert sorted(by_kind.values()) == ["depth", "heads", "heads"]


def test_removing_a_parametrization_leaves_the_users_model_alone() -> None:
    model = normed().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    convert(model, CASES["parametrized"][1])
    assert model.training and all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(nn.utils.parametrize.is_parametrized(model[i]) for i in (0, 2, 6))


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 16)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return F.relu(self.body(x))


def test_a_buffer_that_the_forward_pass_changes_is_named() -> None:
    with pytest.raises(
        ConversionError, match="seen, by add_: the forward pass changes a buffer"
    ) as refused:
        convert(Counting().eval(), SIGNAL[:, 0])
    assert "self.training" in str(refused.value)
