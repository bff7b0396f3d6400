"""The width of residual streams as a choice: all that is added to a stream follows it."""

from __future__ import annotations

import random
from pathlib import Path as FilePath

import pytest
import torch
from architectures import ARCHITECTURES, make
from comparing import apart, executed_macs, exported, masked
from exits import IMAGE, made
from test_exits_places import Masks
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.convert import convert
from tipsc.elastic import CostModel, additive_totals, extract

TOLERANCE = 1e-5  # relative to the output's scale: float32 sums in another order

STREAMS = {
    # model -> how many streams it has
    "ResNet, basic": 2,
    "MobileNetV3": 2,
    "ConvNeXt": 2,
    "ViT": 1,
    "causal LM, SwiGLU": 1,
    "TCN": 1,
}


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_as_wide_as_a_path_says(name: str, tmp_path: FilePath) -> None:
    model, x = make(name)
    supernet = convert(model, x, streams=True)
    space, generator = supernet.space, random.Random(1)
    kinds = [row.kind for row in supernet.report.elastic]
    depths = sum(row.kind == "depth" for row in supernet.report.elastic)
    assert kinds.count("stream") == STREAMS[name], str(supernet.report)
    assert len(kinds) - depths - kinds.count("stream") == ARCHITECTURES[name][2]
    other = torch.randint(0, 17, x.shape) if x.dtype == torch.int64 else torch.randn(x.shape)
    paths = [space.largest, space.smallest, *(space.sample_options(generator) for _ in range(3))]
    with torch.no_grad():
        assert apart(supernet(other, space.largest), model(other)) < TOLERANCE
        for path in paths:
            expected = extract(supernet, path)(other[:2])
            assert apart(supernet(other[:2], path), expected) < TOLERANCE
        for path, graph in exported(supernet, paths, other[:1], tmp_path):
            assert apart(graph, supernet(other[:1], path)) < TOLERANCE
    costs, totals = CostModel(supernet), additive_totals(supernet)["macs"]
    assert all(totals.of(path) == costs.of(path).macs for path in paths)
    ends = space.largest, space.smallest
    ran = [executed_macs(supernet, path, other[:1]) for path in ends]
    assert ran[0] - ran[1] == costs.of(ends[0]).macs - costs.of(ends[1]).macs


@pytest.mark.parametrize("name", ["ResNet, basic", "MobileNetV2", "MobileNetV3", "TCN"])
def test_a_narrow_stream_is_the_whole_model_with_zeros_for_the_rest(name: str) -> None:
    model, x = make(name)
    supernet = convert(model, x, streams=True, depth=False)
    generator = random.Random(3)
    for path in (supernet.space.smallest, *map(supernet.space.sample_options, [generator] * 3)):
        with torch.no_grad():
            expected = masked(supernet, path)(x[:2], supernet.space.largest)
            assert apart(supernet(x[:2], path), expected) < TOLERANCE, path


class Residual(nn.Module):
    """Tokens, a stream with layer norms, and a head with the embedding's weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.places = nn.Parameter(torch.randn(5, width))
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 7), nn.Linear(7, width)
        self.last = nn.RMSNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.places
        x = x + self.down(torch.tanh(self.up(self.norm(x))))
        return F.linear(self.last(x), self.embed.weight)


def test_a_path_is_a_plain_net_of_that_width_whose_norms_have_moments_of_their_own() -> None:
    torch.manual_seed(0)
    model, tokens = Residual(32).eval(), torch.randint(0, 11, (4, 5))
    with torch.no_grad():
        for parameter in (model.norm.weight, model.norm.bias, model.last.weight):
            parameter.copy_(torch.randn(32))
    supernet = convert(model, tokens, streams=True, depth=False)
    state = model.state_dict()
    on_stream = {name: value.shape.index(32) for name, value in state.items() if 32 in value.shape}
    importance = torch.zeros(32)
    for name, axis in on_stream.items():
        squares = state[name].movedim(axis, 0).flatten(1 if state[name].dim() > 1 else 0) ** 2
        importance += (squares.sum(1) if squares.dim() > 1 else squares) / squares.sum()
    stream = next(row.name for row in supernet.report.elastic if row.kind == "stream")
    for width in (8, 16):
        kept = importance.argsort(descending=True)[:width]
        plain = Residual(width).eval()
        plain.load_state_dict(
            {
                n: v.index_select(on_stream[n], kept) if n in on_stream else v
                for n, v in state.items()
            }
        )
        path = supernet.space.path({**supernet.space.largest.options, stream: width})
        with torch.no_grad():
            assert apart(supernet(tokens, path), plain(tokens)) < TOLERANCE
        assert CostModel(supernet).of(path).macs == 5 * width * (7 + 7 + 11)


def test_streams_keep_their_width_unless_asked_for() -> None:
    model, x = make("TCN")
    supernet = convert(model, x)
    assert "the residual stream" in {kept.reason for kept in supernet.report.fixed}
    assert "stream" not in {row.kind for row in supernet.report.elastic}


def test_a_copied_head_reads_a_stream_of_any_width() -> None:
    model, x = made(Masks, IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True, streams=True)
    assert str(supernet.report).count("a copy of the model's head") == 3
    for leave in supernet.leaves:
        for start in (supernet.space.largest, supernet.space.smallest):
            path = supernet.space.path({**start.options, "exit": leave.option})
            with torch.no_grad():
                got, expected = supernet(x, path), extract(supernet, path)(x)
            assert apart(got["masks"], expected["masks"]) < TOLERANCE
