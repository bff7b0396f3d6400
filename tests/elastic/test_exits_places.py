"""Where a converted model can be left, with which head, and where not: with the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from architectures import convolutional as conv
from architectures import sequential as seq
from comparing import apart
from exits import IMAGE, TOLERANCE, made, resnet, some_paths
from torch import Tensor, nn

from tipsc.convert import convert, fit_exits
from tipsc.elastic import extract
from tipsc.errors import ConversionError
from tipsc.lower import lower


class Growing(nn.Module):
    """Residual stages over time with more and more channels; the last step is what counts."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(4, 12, 3, padding=1)
        self.body = nn.ModuleList(seq._TemporalBlock(12, 1) for _ in range(2))
        self.two = nn.Conv1d(12, 24, 3, padding=1)
        self.rest = nn.ModuleList(seq._TemporalBlock(24, 1) for _ in range(2))
        self.head = nn.Linear(24, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        for block in self.body:
            x = block(x)
        x = self.two(x)
        for block in self.rest:
            x = block(x)
        return self.head(x[..., -1])


class Words(nn.Module):
    """Tokens of which some are padding: nothing looks at it, and the mean leaves it out."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.embed = nn.Embedding(17, 16, padding_idx=0)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, tokens: Tensor) -> Tensor:
        padded = tokens == 0
        x = self.encoder(self.embed(tokens), src_key_padding_mask=padded)
        kept = (~padded).unsqueeze(-1).float()
        return self.head(self.norm((x * kept).sum(1) / kept.sum(1)))


def test_a_new_head_takes_the_last_step_where_the_model_does() -> None:
    model, x = made(Growing, (4, 4, 20))
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True)
    (leave,) = supernet.leaves
    assert "last place" in str(supernet.report)
    path = supernet.space.path({**supernet.space.largest.options, "exit": leave.option})
    with torch.no_grad():
        features = model.body[1](model.body[0](model.one(x)))
        expected = supernet.get_submodule(leave.linear)(features[:, :, -1])
        assert apart(supernet(x, path), expected) < TOLERANCE
        assert apart(extract(supernet, path)(x), expected) < TOLERANCE


def test_a_copied_head_reads_the_mask_that_the_model_reads() -> None:
    torch.manual_seed(0)
    model, tokens = Words().eval(), torch.randint(1, 17, (4, 7))
    tokens[1, 4:] = tokens[2, 2:] = 0
    supernet = convert(model, tokens, widths=(0.5, 1.0), exits=True)
    (leave,) = supernet.leaves
    assert "a copy of the model's head" in str(supernet.report)
    path = supernet.space.path({**supernet.space.largest.options, "exit": leave.option})
    model.encoder.layers = model.encoder.layers[:1]
    with torch.no_grad():
        assert apart(supernet(tokens, path), model(tokens)) < TOLERANCE
        assert apart(extract(supernet, path)(tokens), model(tokens)) < TOLERANCE


class Masks(nn.Module):
    """A class for each pixel: blocks of one resolution, and a head for each place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv.conv_bn(3, 16, stride=2)
        self.body = nn.Sequential(*(conv.BasicBlock(16, 16, 1) for _ in range(4)))
        self.norm, self.head = nn.BatchNorm2d(16), nn.Conv2d(16, 5, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        seen = self.head(self.norm(self.body(self.stem(x))))
        return {"masks": nn.functional.interpolate(seen, scale_factor=2.0)}


def test_an_output_with_places_comes_from_a_copy_of_the_head() -> None:
    model, x = made(Masks, IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True)
    assert [leave.option for leave in supernet.leaves] == [1, 2, 3]
    assert str(supernet.report).count("a copy of the model's head") == 3
    fit_exits(supernet, [x])  # leaves a head alone that works on each place
    blocks = model.body
    with torch.no_grad():
        for leave in supernet.leaves:
            path = supernet.space.path({**supernet.space.largest.options, "exit": leave.option})
            model.body = blocks[: leave.option]
            expected = model(x)
            for found in (supernet(x, path), extract(supernet, path)(x)):
                assert list(found) == ["masks"]
                assert apart(found["masks"], expected["masks"]) < TOLERANCE
    paths = some_paths(supernet, 4)
    lowered = lower(supernet, paths)
    assert len(set(lowered.graphs.values())) == len(paths)


class Down(nn.Module):
    """Masks of half the resolution: the head fits behind the last block alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv.conv_bn(3, 8)
        self.body = nn.Sequential(conv.BasicBlock(8, 8, 1), conv.BasicBlock(8, 16, 2))
        self.head = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)))


def test_where_the_head_does_not_fit_there_is_no_exit_from_places() -> None:
    model, x = made(Down, IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True)
    assert supernet.leaves == ()
    assert "the model's head does not fit there" in str(supernet.report)


class Tied(nn.Module):
    """A skip over a stage, as in a U-Net: the head reads two feature maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv.conv_bn(3, 8)
        self.one = nn.Sequential(conv.BasicBlock(8, 8, 1), conv.BasicBlock(8, 8, 1))
        self.down = conv.conv_bn(8, 16, stride=2)
        self.two = nn.Sequential(conv.BasicBlock(16, 16, 1), conv.BasicBlock(16, 16, 1))
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.two(self.down(self.one(x)))
        return self.head(torch.cat((x.mean((2, 3)), y.mean((2, 3))), 1))


class Beside(Tied):
    """A second branch that sees the input by itself."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.two(self.down(self.one(self.stem(x))))
        return self.head(torch.cat((self.stem(x).mean((2, 3)), y.mean((2, 3))), 1))


def with_probabilities() -> nn.Module:
    return nn.Sequential(*resnet(), nn.LogSoftmax(-1))


def plain() -> nn.Module:
    """Nothing but residual blocks of one shape at the end: it would save nothing."""
    return nn.Sequential(conv.conv_bn(3, 8), conv.BasicBlock(8, 8, 1), conv.Head(8))


def with_a_hidden_layer() -> nn.Module:
    """What follows the blocks is no head that could be copied, and costs next to nothing."""
    return nn.Sequential(*plain(), nn.ReLU(), nn.Linear(10, 10))


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (conv.UNet, "the model's head does not fit there, and another would give no places"),
        (conv.DenseNet, "the model's own head follows"),
        (with_a_hidden_layer, "it would save 0 % of the MACs only"),
        (Tied, "later layers read stem.2 too, across it"),
        (Beside, "layers beside it are read later: stem.0"),
        (with_probabilities, "does not come from a linear layer but from log_softmax"),
        (plain, "the model's own head follows"),
    ],
)
def test_where_it_is_not_possible_there_is_no_exit_but_the_reason(
    build: Callable[[], nn.Module], reason: str
) -> None:
    model, x = made(build, IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True)
    assert not supernet.leaves and "exit" not in {c.name for c in supernet.space.choices}
    assert all(reason in (row.reason or "") for row in supernet.report.exits)
    assert reason in " ".join(str(supernet.report).split())
    with torch.no_grad():
        assert apart(supernet(x, supernet.space.largest), model(x)) < TOLERANCE


def test_an_elastic_feature_map_gets_a_head_that_follows_its_width() -> None:
    """It has the shape that the model's own head reads, which is fixed."""

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers = [
                m for i in range(8) for m in (nn.Conv2d(16 if i else 3, 16, 3, 1, 1), nn.ReLU())
            ]
            self.body, self.head = nn.Sequential(*layers), nn.Linear(16, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(nn.functional.normalize(self.body(x), dim=1).mean((2, 3)))

    model, x = made(Normed, IMAGE)
    supernet = convert(model, x, widths=(0.5, 1.0), exits=True)
    assert supernet.leaves
    with torch.no_grad():
        for path in some_paths(supernet, 6):
            assert apart(extract(supernet, path)(x), supernet(x, path)) < TOLERANCE


def test_a_stage_that_is_asked_for_and_cannot_be_left_is_refused() -> None:
    with pytest.raises(ConversionError, match="cannot leave after stage 1: later layers read"):
        convert(Tied(), torch.randn(IMAGE), exits=(1,))


@pytest.mark.parametrize(
    ("wanted", "options"), [(1, (1, 3)), (9, (1, 2, 3)), ((2,), (2, 3))], ids=str
)
def test_how_many_exits_or_which(wanted: int | tuple[int, ...], options: tuple[int, ...]) -> None:
    model, x = made(resnet, IMAGE)
    space = convert(model, x, widths=(1.0,), depth=False, exits=wanted).space
    assert [(choice.name, choice.options) for choice in space.choices] == [("exit", options)]


def test_a_long_last_stage_is_divided() -> None:
    class Hybrid(nn.Module):
        """A stage of one convolutional block, then five of another kind."""

        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(conv.conv_bn(3, 8), conv.BasicBlock(8, 8, 1))
            self.patch = nn.Conv2d(8, 16, 4, 4)
            self.blocks = nn.Sequential(*(seq.Block(16, 2) for _ in range(5)))
            self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = self.patch(self.stem(x)).flatten(2).transpose(1, 2)
            return self.head(self.norm(self.blocks(x)).mean(1))

    model, x = made(Hybrid, IMAGE)
    supernet = convert(model, x, widths=(1.0,), exits=True)
    ends = {row.number: (row.stage, row.head) for row in supernet.report.exits}
    copy = "a copy of the model's head"
    assert ends == {
        1: ("stem.1", "mean over places, new linear layer"),
        2: ("blocks.0", copy),
        3: ("blocks.1", copy),
        4: ("blocks.3", copy),
        5: ("blocks.4", None),
    }
    # A stage that begins where paths can leave keeps a block.
    options = {c.name: c.options for c in supernet.space.choices}
    assert options == {
        "exit": (1, 2, 3, 4, 5), "stem.1.depth": (0, 1), "blocks.0.depth": (0, 1),
        "blocks.depth": (1, 2),
    }  # fmt: skip


@pytest.mark.parametrize("wanted", [0, (), (0,), -1], ids=str)
def test_what_is_no_number_of_a_stage_is_refused(wanted: int | tuple[int, ...]) -> None:
    with pytest.raises(ConversionError, match="these are no early exits"):
        convert(resnet(), torch.randn(IMAGE), exits=wanted)


def test_a_model_may_have_modules_that_are_called_like_parts_of_a_supernet() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.space = conv.conv_bn(3, 8)
            self.exits = nn.Sequential(conv.BasicBlock(8, 8, 1), conv.BasicBlock(8, 8, 1))
            self.leaves = conv.conv_bn(8, 16)
            self.forward_ = conv.Head(16)

        def forward(self, x: Tensor) -> Tensor:
            return self.forward_(self.leaves(self.exits(self.space(x))))

    model, x = made(Odd, IMAGE)
    supernet = convert(model, x, exits=True)
    with torch.no_grad():
        assert apart(supernet(x, supernet.space.largest), model(x)) < TOLERANCE
    assert supernet.space["exit"].options == (1, 2, 3)
