"""Heads that are split inside, tables of which a part is read, convolutions over tokens."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import permutations
from pathlib import Path as FilePath

import pytest
import torch
from comparing import apart, executed_macs, exported, masked
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.convert import ConvertedSupernet, convert
from tipsc.convert import axes as ax
from tipsc.elastic import CostModel, extract

TOLERANCE = 1e-5  # relative to the output's scale: float32 sums in another order
PATHS = 20
HEADS, WIDTHS = (1, 2, 3, 4), (8, 16, 24, 32)
SERIES, TOKENS = (4, 9, 6), (4, 9)


class NeoX(nn.Module):
    """Queries, keys and values lie inside each head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv = nn.Linear(6, 32), nn.Linear(32, 96)
        self.out, self.head = nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        packed = self.qkv(x).view(x.size(0), x.size(1), 4, -1)
        y = F.scaled_dot_product_attention(*packed.transpose(1, 2).chunk(3, -1))
        return self.head((x + self.out(y.transpose(1, 2).flatten(2))).mean(1))


class GroupedQueries(nn.Module):
    """Falcon: each of four groups has two heads of queries, one of keys and one of values."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv = nn.Linear(6, 32), nn.Linear(32, 128)
        self.out, self.head = nn.Linear(64, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        packed = self.qkv(x).unflatten(-1, (4, 4, 8)).permute(0, 2, 3, 1, 4)
        q, k, v = packed.split([2, 1, 1], 2)
        y = (q @ k.transpose(-1, -2)).softmax(-1) @ v
        return self.head((x + self.out(y.permute(0, 3, 1, 2, 4).flatten(2))).mean(1))


def rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    one, two = x.chunk(2, -1)
    return x * cos + torch.cat((-two, one), -1) * sin


def partly_rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    return torch.cat((rotated(x[..., :4], cos[..., :4], sin[..., :4]), x[..., 4:]), -1)


class RotaryLayer(nn.Module):
    def __init__(self, rotate: Callable[..., Tensor]) -> None:
        super().__init__()
        self.rotate = rotate
        self.norm1, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        parts = self.qkv(self.norm1(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in parts)
        q, k = self.rotate(q, cos, sin), self.rotate(k, cos, sin)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class RotaryGPT(nn.Module):
    """Two layers; the tables of the rotation are longer than the text."""

    def __init__(self, rotate: Callable[..., Tensor] = rotated) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(17, 32), nn.Linear(32, 17)
        self.layers = nn.ModuleList(RotaryLayer(rotate) for _ in range(2))
        angles = torch.outer(torch.arange(24.0), 100.0 ** -torch.arange(4)).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def forward(self, tokens: Tensor) -> Tensor:
        x, length = self.embed(tokens), tokens.shape[1]
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return self.head(x)


class Table(nn.Module):
    """Adds what `read` makes of a table."""

    def __init__(self, shape: tuple[int, ...], read: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.head = nn.Linear(6, 32), nn.Linear(32, 5)
        self.table = nn.Parameter(torch.randn(shape))
        self.read = read

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.one(x) + self.read(self.table, x)).mean(1))


class PositionIds(nn.Module):
    """BERT: the places are a buffer, of which the first ones are read."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(17, 32), nn.Embedding(40, 32)
        self.register_buffer("position_ids", torch.arange(40)[None])
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        places = self.places(self.position_ids[:, : x.shape[1]])
        return self.head(F.relu(self.words(x) + places).mean(1))


class MaskBuffer(nn.Module):
    """minGPT: a mask that is cut in two axes, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.qkv = nn.Linear(6, 32), nn.Linear(32, 96)
        self.out, self.head = nn.Linear(32, 32), nn.Linear(32, 5)
        self.register_buffer("mask", torch.ones(24, 24).tril()[None, None])

    def forward(self, x: Tensor) -> Tensor:
        x, length = self.embed(x), x.shape[1]
        parts = self.qkv(x).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in parts)
        hidden = self.mask[:, :, :length, :length] == 0
        scores = (q @ k.transpose(-2, -1)).masked_fill(hidden, float("-inf"))
        y = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return self.head((x + self.out(y)).mean(1))


class OverTokens(nn.Module):
    """gMLP: one half is multiplied by a mixture of the other half's tokens."""

    def __init__(self, mix: nn.Module, *, square: bool = False) -> None:
        super().__init__()
        self.embed, self.up = nn.Linear(6, 16), nn.Linear(16, 64)
        self.mix, self.down, self.head = mix, nn.Linear(32, 16), nn.Linear(16, 5)
        self.square = square

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        u, v = F.gelu(self.up(x)).chunk(2, -1)
        v = self.mix(v.unflatten(1, (3, 3))).flatten(1, 2) if self.square else self.mix(v)
        return self.head((x + self.down(u * v)).mean(1))


class CutFixed(nn.Module):
    """A slice begins inside of channels that all stay, beside elastic ones."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 16), nn.Linear(6, 32)
        self.out, self.head = nn.Linear(40, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x)
        y = self.out(F.relu(torch.cat((one, self.two(x)), -1)[..., 8:]))
        return self.head((y + one.softmax(-1)).mean(1))


class InsideFlattened(nn.Module):
    """Halves of the channels of each place, split before or after the places are flattened."""

    def __init__(self, *, split_first: bool) -> None:
        super().__init__()
        self.split_first = split_first
        self.one, self.flat = nn.Linear(6, 32), nn.Linear(9 * 32, 20)
        self.gate, self.head = nn.Linear(16, 20), nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.one(x))
        if self.split_first:
            a, b = x.chunk(2, -1)
            y = self.flat(x.flatten(1))
        else:
            y = self.flat(x.flatten(1))
            a, b = x.chunk(2, -1)
        return self.head(F.relu(y + self.gate((a * b).mean(1))))


GPT = {
    "depth": (0, 1, 2),
    **{
        f"layers.{i}.{name}": options
        for i in range(2)
        for name, options in (("qkv.heads", HEADS), ("up.width", (16, 32, 48, 64)))
    },
}
ONE = {"one.width": WIDTHS}
GATED = {"depth": (0, 1), "up.width": WIDTHS}

MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], dict[str, tuple[int, ...]]]] = {
    # model, shape of a batch, all of its choices
    "packed in each head": (NeoX, SERIES, {"depth": (0, 1), "qkv.heads": HEADS}),
    "packed in each group": (GroupedQueries, SERIES, {"depth": (0, 1), "qkv.heads": HEADS}),
    "rotary": (RotaryGPT, TOKENS, GPT),
    "rotary in a part": (lambda: RotaryGPT(partly_rotated), TOKENS, GPT),
    "first rows": (lambda: Table((20, 32), lambda t, x: t[: x.shape[1]]), SERIES, ONE),
    "rows in the middle": (lambda: Table((32, 20), lambda t, x: t.t()[3:12]), SERIES,
                           {"table.width": WIDTHS}),
    "one half": (lambda: Table((9, 64), lambda t, x: t.chunk(2, -1)[0]), SERIES, ONE),
    "expanded, then cut": (
        lambda: Table((1, 20, 32), lambda t, x: t.expand(x.shape[0], -1, -1)[:, : x.shape[1]]),
        SERIES, ONE,
    ),
    "position ids": (PositionIds, TOKENS, {"words.width": WIDTHS}),
    "mask": (MaskBuffer, SERIES, {"depth": (0, 1), "qkv.heads": HEADS}),
    "gMLP": (lambda: OverTokens(nn.Conv1d(9, 9, 1)), SERIES, GATED),
    "gMLP, in groups": (
        lambda: OverTokens(nn.Conv1d(9, 9, 1, dilation=2, groups=3, padding="same")), SERIES, GATED
    ),
    "gMLP, transposed": (lambda: OverTokens(nn.ConvTranspose1d(9, 9, 1)), SERIES, GATED),
    "gMLP, 2d": (lambda: OverTokens(nn.Conv2d(3, 3, 1), square=True), SERIES, GATED),
    "cut inside what stays": (CutFixed, SERIES, {"two.width": WIDTHS}),
    "split, then flattened": (lambda: InsideFlattened(split_first=True), SERIES,
                              {"one.width": (4, 8, 12, 16), "flat.width": (4, 8, 16, 20)}),
    "flattened, then split": (lambda: InsideFlattened(split_first=False), SERIES,
                              {"one.width": (4, 8, 12, 16), "flat.width": (4, 8, 16, 20)}),
}  # fmt: skip


def draw(shape: tuple[int, ...]) -> Tensor:
    return torch.randint(0, 17, shape) if len(shape) == 2 else torch.randn(shape)


def converted(
    build: Callable[[], nn.Module], shape: tuple[int, ...]
) -> tuple[nn.Module, ConvertedSupernet]:
    torch.manual_seed(0)
    model = build().eval()
    return model, convert(model, draw(shape))


@pytest.mark.parametrize("name", MODELS)
def test_exact_and_elastic_where_it_can_be(name: str, tmp_path: FilePath) -> None:
    build, shape, expected = MODELS[name]
    model, supernet = converted(build, shape)
    space, generator, costs = supernet.space, random.Random(1), CostModel(supernet)
    assert {c.name: c.options for c in space.choices} == expected, str(supernet.report)
    whole = {row.name for row in supernet.report.elastic if row.kind != "depth"}
    x, offsets, macs = draw((5, *shape[1:])), set(), set()
    with torch.no_grad():
        assert apart(supernet(x, space.largest), model(x)) < TOLERANCE
        drawn = [space.sample_options(generator) for _ in range(PATHS)]
        for path in dict.fromkeys([space.smallest, *drawn]):
            got = supernet(x, path)
            assert apart(got, extract(supernet, path)(x)) < TOLERANCE, path
            full = {n: space[n].largest if n in whole else o for n, o in path.options.items()}
            assert apart(got, masked(supernet, path)(x, space.path(full))) < TOLERANCE, path
            macs.add(costs.of(path).macs)
            offsets.add(executed_macs(supernet, path, x[:1]) - costs.of(path).macs)
        assert len(macs) > 1 == len(offsets)
        for path, got in exported(supernet, [space.largest, space.smallest], x[:1], tmp_path):
            assert apart(got, supernet(x[:1], path)) < TOLERANCE, path


def test_what_is_not_read_is_told() -> None:
    _, supernet = converted(*MODELS["first rows"][:2])
    assert {kept.reason: kept.layers for kept in supernet.report.fixed}["not read"] == ("table",)


def test_rows_that_are_summed_over_are_read() -> None:
    _, supernet = converted(lambda: Table((20, 32), lambda t, x: t[:9] + t.mean(0)), SERIES)
    assert [choice.name for choice in supernet.space.choices] == ["one.width", "table.width"]


@pytest.mark.parametrize(
    "mix",
    [nn.Conv1d(9, 9, 3, padding=1), nn.Conv1d(9, 9, 1, stride=2, padding=16),
     nn.Conv2d(3, 3, (1, 3), padding=(0, 1))],
)  # fmt: skip
def test_places_that_a_convolution_moves_stay(mix: nn.Module) -> None:
    square = isinstance(mix, nn.Conv2d)
    _, supernet = converted(lambda: OverTokens(mix, square=square), SERIES)
    assert "up.width" not in {choice.name for choice in supernet.space.choices}
    reasons = {kept.reason: kept.layers for kept in supernet.report.fixed}
    assert reasons["positions, not channels"] == ("up.weight",)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_heads_do_not_depend_on_the_order_of_operations(order: tuple[int, ...]) -> None:
    """Two layers whose halves of a head meet, one of them known to stay, in whatever order."""
    rows, columns = ax.new_axis(32), ax.new_axis(32)
    outer, inner = ax.reshape([rows], [4, 8])
    others, beside = ax.reshape([columns], [4, 8])
    first, second = ax.new_axis(4), ax.new_axis(4)
    steps: list[Callable[[], None]] = [
        lambda: ax.unify(inner, first + second),
        lambda: ax.unify(beside, second + first),
        lambda: ax.fix(first, "summed over"),
        lambda: ax.unify(ax.reshape([outer, inner], [32])[0], columns),
    ]
    for number in order:
        steps[number]()
    for axis in (rows, columns):
        (term,) = ax.settled(axis)
        assert [group.size for group in term] == [4, 8]
        assert term[0].fixed is None
    assert ax.settled(outer) == ax.settled(others)
