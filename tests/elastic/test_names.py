"""Names of a supernet's modules, whatever the user's words are."""

from __future__ import annotations

import pytest
import torch
from comparing import apart
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor, fx, nn
from torch.nn import functional as F

from tipsc.convert import convert
from tipsc.convert.converted import ConvertedSupernet
from tipsc.convert.names import Names, cleaned
from tipsc.convert.output_tree import OutputTree
from tipsc.elastic import extract
from tipsc.paths import SearchSpace
from tipsc.signature import Signature, TensorSpec
from tipsc.tree import TENSOR

WORDS = (
    *("a", "b", "0", "1", "a_b", "a_", "a_2", "relu", "größe 1", "", "lambda"),
    *(
        "input_shape",
        "inputs",
        "to",
        "half",
        "report",
        "graph",
        "forward",
        "training",
        "_modules",
        "space",
        "spanning",
    ),
    *("code", "T_destination"),
)
IMAGE = TensorSpec("input", "float32", (1, 3, 8, 8), "NCHW")
NET = ConvertedSupernet(SearchSpace(()), Signature.plain([IMAGE], [IMAGE]), OutputTree(TENSOR))
PARTS = st.sampled_from(WORDS) | st.text(max_size=4)
NAMES = st.lists(PARTS, min_size=1, max_size=4).map(".".join)


@given(layers=st.lists(NAMES, max_size=6), others=st.lists(NAMES, max_size=8), late=st.booleans())
@example(layers=["a"], others=["a.relu", "a.relu"], late=False)
@example(layers=["a", "a.b"], others=["a.b.relu", "a"], late=True)
def test_names_never_collide(layers: list[str], others: list[str], late: bool) -> None:
    names = Names(layers, NET)
    found: list[str] = []
    for place in (others, layers) if late else (layers, others):
        found += map(names.of_layer if place is layers else names.new, place)
    assert len(set(found)) == len(found)
    net = nn.Module()
    for name in found:
        owner, leaf = net, name
        *parents, leaf = name.split(".")
        for parent in parents:
            assert parent.isascii() and parent.replace("_", "a").isalnum()
            if parent not in owner._modules:
                owner.add_module(parent, nn.Module())  # raises where there is such an attribute
            owner = owner.get_submodule(parent)
            assert type(owner) is nn.Module, f"{name} is beneath another module"
        owner.add_module(leaf, nn.ReLU())
        assert not hasattr(NET, name.partition(".")[0])
    graph = fx.Graph()
    value = graph.placeholder("x")
    for name in found:
        value = graph.call_module(name, (value,))
    graph.output(value)
    x = torch.ones(2)
    assert torch.equal(fx.GraphModule(net, graph)(x), x)  # its code can be written, and read


@given(NAMES)
def test_a_layer_keeps_a_name_that_is_usable(name: str) -> None:
    usable = cleaned(f"net.{name}")
    names = Names([usable], NET)
    names.new(f"{usable}.relu")
    if not any(hasattr(nn.Module(), part) for part in usable.split(".")):
        assert names.of_layer(usable) == usable


class ConvAct(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


class NormAct(nn.BatchNorm2d):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


class Adapted(nn.Linear):
    """A layer beside a narrow one, both scaled: LoRA."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.down, self.up = nn.Linear(inputs, 4), nn.Linear(4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x * 2) + self.up(self.down(x)) * 0.5


class RMSNorm(nn.Module):
    """Casts in its own scope, where an operation would be called `to`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(channels) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        kind, x = x.dtype, x.to(torch.float32)
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)).to(kind)


def hooked() -> nn.Module:
    net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 5))
    net[0].register_forward_hook(lambda module, inputs, output: output * 2)
    net[2].register_forward_pre_hook(lambda module, inputs: inputs[0] + 1)
    return net


def named(*words: str) -> nn.Module:
    net = nn.Sequential(nn.Linear(12, 32), nn.ReLU())
    for number, word in enumerate(words):
        net.add_module(word, nn.Linear(32 - 4 * number, 28 - 4 * number))
        net.add_module(f"act{number}", nn.Tanh())
    return net


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)]


MODELS = {
    "convolution and activation": nn.Sequential(ConvAct(3, 16, 3), ConvAct(16, 8, 3), *head(8)),
    "norm and activation": nn.Sequential(nn.Conv2d(3, 16, 3), NormAct(16), *head(16)),
    "adapter": nn.Sequential(
        Adapted(12, 32), nn.ReLU(), Adapted(32, 16), nn.ReLU(), Adapted(16, 5)
    ),
    "casts": nn.Sequential(nn.Linear(12, 32), RMSNorm(32), nn.Linear(32, 5)),
    "hooks": hooked(),
    "words of torch and tipsc": named("report", "graph", "lambda", "space_"),
    "other letters": named("größe 1", "größe_1", "a=b,c"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_any_scope_and_any_word_converts(kind: str) -> None:
    model = MODELS[kind].eval()
    torch.manual_seed(0)
    x = torch.randn(2, 3, 12, 12) if isinstance(model[0], nn.Conv2d) else torch.randn(2, 12)
    supernet = convert(model, x)
    with torch.no_grad():
        assert apart(supernet(x, supernet.space.largest), model(x)) < 1e-5
        for path in (supernet.space.largest, supernet.space.smallest):
            assert apart(extract(supernet, path)(x), supernet(x, path)) < 1e-5
