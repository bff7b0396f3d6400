"""Small models of kinds that people bring: older layers, odd arguments, tensors made on the way."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

IMAGE, VECTOR, SERIES, TOKENS = (3, 3, 12, 12), (3, 12), (3, 7, 12), (3, 9)


class Between(nn.Module):
    """Linear layers, with a function of the model and the activations between them."""

    def __init__(self, function: Callable[[nn.Module, Tensor], Tensor], width: int = 32) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, width), nn.Linear(width, 24), nn.Linear(24, 5)
        self.mask = nn.Buffer(torch.rand(width))
        self.position = nn.Parameter(torch.randn(1, 7, width))
        self.scale = nn.Parameter(torch.tensor(1.3))
        self.count = nn.Buffer(torch.tensor(2))
        self.root = nn.Buffer(torch.tensor(5.7, dtype=torch.bfloat16))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.relu(self.b(torch.relu(self.function(self, self.a(x))))))


def seen(*layers: nn.Module, channels: int = 16) -> nn.Module:
    """Layers after a convolution, and a head."""
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 5)]
    return nn.Sequential(nn.Conv2d(3, channels, 3), *layers, nn.Conv2d(channels, 16, 1), *head)


def old(norm: Callable[..., nn.Module]) -> nn.Module:
    """With torch's older norms of weights, by hooks."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(
            norm(nn.Conv1d(7, 24, 3)), nn.ReLU(), norm(nn.Conv1d(24, 16, 3)), nn.ReLU(),
            nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 5),
        )  # fmt: skip


def pruned() -> nn.Module:
    net = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 5))
    prune.l1_unstructured(net[0], "weight", 0.5)
    prune.random_structured(net[2], "weight", amount=0.25, dim=1)
    return net


class Repeated(nn.Module):
    """A layer with a norm of its weights, called twice: it has one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.c = nn.Linear(12, 32), nn.Linear(32, 5)
        self.b = nn.utils.parametrizations.weight_norm(nn.Linear(32, 32))

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.relu(self.b(torch.relu(self.b(torch.relu(self.a(x)))))))


class Tied(nn.Module):
    """A decoder that reads the table of the encoder, scaled: they stay one."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.a, self.b = nn.Embedding(17, 16), nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(torch.relu(self.a(self.table(x))))
        return F.linear(y.mean(1), self.table.weight * 0.5)


class Standardised(nn.Conv2d):
    """NFNet's and BiT's convolution: filters of mean 0 and variance 1, with a learned gain."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__(inputs, outputs, size)
        self.gain = nn.Parameter(torch.rand(outputs) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        flat = self.weight.reshape(1, len(self.weight), -1)
        weight = F.batch_norm(flat, None, None, weight=self.gain, training=True, eps=1e-6)
        return F.conv2d(x, weight.reshape_as(self.weight), self.bias)


class Bag(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.words, self.head = nn.EmbeddingBag(17, 32, mode=mode), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.words(x)))


class Shifted(nn.Module):
    """TSM: some channels are taken from the time before and after."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 32), nn.Linear(32, 24), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        out = torch.zeros_like(x)
        out[:, :-1, :8] = x[:, 1:, :8]
        out[:, 1:, 8:16] = x[:, :-1, 8:16]
        out[..., 16:] = x[..., 16:]
        return self.c(torch.relu(self.b(out)).mean(1))


class Recurrent(nn.Module):
    """A cell by hand, whose state begins with zeros of the batch's size."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 24), nn.Linear(24, 24), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[0], 24)
        for step in range(3):
            state = torch.tanh(self.a(x[:, step]) + self.b(state))
        return self.c(state)


class LastToken(nn.Module):
    """Takes one place of each example, by the numbers of the examples."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.a = nn.Embedding(17, 16), nn.Linear(16, 32)
        self.b, self.c = nn.Linear(32, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(torch.relu(self.a(self.embed(x))))
        last = (x != 0).sum(-1) - 1
        return self.c(y[torch.arange(x.shape[0], device=x.device), last])


class ShiftedWindows(nn.Module):
    """A mask as Swin makes it: written part by part, then viewed as windows."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 24, 1), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        mask = torch.zeros((1, 12, 12, 1), device=x.device)
        for number, part in enumerate((slice(0, -6), slice(-6, -3), slice(-3, None))):
            mask[:, part, part] = number
        windows = mask.view(1, 3, 4, 3, 4, 1).permute(0, 1, 3, 2, 4, 5).contiguous().view(1, 12, 12)
        return self.c(torch.relu(self.b(torch.relu(self.a(x) + windows))).mean((2, 3)))


class Conv1D(nn.Module):
    """GPT-2's linear layer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) / 4)
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight)
        return out.view((*x.size()[:-1], len(self.bias)))


class Transposed(nn.Module):
    """Linear layers as products with a transposed weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(32, 12) / 4)
        self.b = nn.Parameter(torch.randn(24, 32) / 4)
        self.c = nn.Parameter(torch.randn(5, 24) / 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x @ self.a.T)
        return torch.mm(torch.relu(torch.matmul(x, self.b.t())), self.c.transpose(0, 1))


class MultiQuery(nn.Module):
    """Falcon's attention: all queries read the same key and value, which lie behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 48), nn.Linear(32, 24), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        packed = self.a(x).view(x.shape[0], x.shape[1], 6, 8)
        query, key, value = packed[..., :-2, :], packed[..., [-2], :], packed[..., [-1], :]
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.c(torch.relu(self.b(seen.transpose(1, 2).flatten(2))))


class Blurred(nn.Module):
    """Halves an image by a filter that nobody trains, the same for all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        bell = torch.tensor([1.0, 2.0, 1.0])
        self.channels = channels
        self.register_buffer("bell", (bell[:, None] * bell / 16)[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        filters = self.bell.expand(self.channels, 1, 3, 3)
        return F.conv2d(F.pad(x, [1] * 4, "reflect"), filters, stride=2, groups=self.channels)


class Probe(nn.Module):
    """A pooling by attention begins so: a learned query, repeated for each example."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(12, 32), nn.Linear(32, 24), nn.Linear(24, 5)
        self.query = nn.Parameter(torch.randn(1, 1, 32))

    def forward(self, x: Tensor) -> Tensor:
        query = self.query.repeat(x.shape[0], 1, 1)
        found = query + self.a(x).sum(1, keepdim=True)
        return self.c(torch.relu(self.b(torch.relu(found)[:, 0])))


def cast(s: nn.Module, x: Tensor) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return x.float() * s.mask.to(x)


def frozen(s: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        angles = torch.arange(7, device=x.device).float()[None, :, None] / 10
    return x * angles.cos().to(x.dtype)


def written(s: nn.Module, x: Tensor) -> Tensor:
    y = x.clone()
    y[:, :8] = y[:, :8].sigmoid() * 2
    y[:, 8:9] = 0
    y[y < -2] = -2.0
    return y


def numbered(s: nn.Module, x: Tensor) -> Tensor:
    rows = torch.ones(x.shape[0], 1, 32, dtype=x.dtype, device=x.device)
    return x + torch.full((x.shape[0], 7, 1), 0.5).to(x) * rows


KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    # model, shape of a batch, choices of widths
    "position to the device": (
        lambda: Between(lambda s, x: x + s.position.to(x.device)), SERIES, 2
    ),
    "position to x": (lambda: Between(lambda s, x: x + s.position.to(x)), SERIES, 2),
    "as another type, and back": (
        lambda: Between(lambda s, x: (x.double() * s.mask.type_as(x)).to("cpu", x.dtype)), VECTOR, 2
    ),
    "to the cpu": (lambda: Between(lambda s, x: x.cpu()), VECTOR, 2),
    "scalars": (
        lambda: Between(lambda s, x: x * s.scale.exp() * torch.tensor(0.5) / s.count), VECTOR, 2
    ),
    "a buffer in half precision": (
        lambda: Between(lambda s, x: x * s.root.type(x.dtype)), VECTOR, 2
    ),
    "dropout of a constant": (
        lambda: Between(lambda s, x: x + F.dropout(torch.arange(32.0), 0.1, s.training)), VECTOR, 2
    ),
    "products with transposed weights": (Transposed, VECTOR, 2),
    "heads that share a key": (MultiQuery, SERIES, 2),
    "a token repeated for each example": (Probe, SERIES, 2),
    "average with a divisor": (lambda: seen(nn.AvgPool2d(2, 2, divisor_override=3)), IMAGE, 2),
    "average with a divisor and windows over the edge": (
        lambda: seen(nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, divisor_override=5)), IMAGE, 2
    ),
    "maxima of uneven windows": (lambda: seen(nn.AdaptiveMaxPool2d((3, 4))), IMAGE, 2),
    "maxima of even windows": (lambda: seen(nn.AdaptiveMaxPool2d(5)), IMAGE, 2),
    "instance norm with statistics": (
        lambda: seen(nn.InstanceNorm2d(16, affine=True, track_running_stats=True)), IMAGE, 2
    ),
    "instance norm": (lambda: seen(nn.InstanceNorm2d(16)), IMAGE, 2),
    "instance norm with weights": (lambda: seen(nn.InstanceNorm2d(16, affine=True)), IMAGE, 2),
    "group norm without weights": (lambda: seen(nn.GroupNorm(4, 16, affine=False)), IMAGE, 2),
    "layer norm without weights": (lambda: Between(lambda s, x: F.layer_norm(x, (32,))), VECTOR, 2),
    "RMS norm without weights": (lambda: Between(lambda s, x: F.rms_norm(x, (32,))), VECTOR, 2),
    "RReLU": (lambda: seen(nn.RReLU()), IMAGE, 2),
    "old weight norm": (lambda: old(nn.utils.weight_norm), SERIES, 2),
    "old spectral norm": (lambda: old(nn.utils.spectral_norm), SERIES, 2),
    "weight norm, called twice": (Repeated, VECTOR, 1),
    "tied with a computed table": (Tied, TOKENS, 1),
    "pruned": (pruned, VECTOR, 1),
    "filters that nobody trains": (lambda: seen(Blurred(16)), IMAGE, 2),
    "standardised filters": (lambda: seen(Standardised(16, 16, 3)), IMAGE, 3),
    "bag of words, mean": (lambda: Bag("mean"), TOKENS, 1),
    "bag of words, sum": (lambda: Bag("sum"), TOKENS, 1),
    "bag of words, maximum": (lambda: Bag("max"), TOKENS, 1),
    "channels shifted in time": (Shifted, SERIES, 2),
    "slices written": (lambda: Between(written), VECTOR, 2),
    "state of zeros": (Recurrent, SERIES, 1),
    "last token": (LastToken, TOKENS, 2),
    "tensors of the batch's size": (lambda: Between(numbered), SERIES, 2),
    "mask of shifted windows": (ShiftedWindows, IMAGE, 2),
    "addmm": (lambda: nn.Sequential(Conv1D(12, 32), nn.GELU(), Conv1D(32, 5)), SERIES, 1),
    "autocast off": (lambda: Between(cast), VECTOR, 2),
    "no_grad": (lambda: Between(frozen), SERIES, 2),
    "wrapped for several GPUs": (lambda: nn.DataParallel(Between(lambda s, x: x)), VECTOR, 2),
    "compiled": (lambda: torch.compile(Between(lambda s, x: x), backend="eager"), VECTOR, 2),
}  # fmt: skip


def make(name: str) -> tuple[nn.Module, Tensor]:
    """A model in eval mode, and a batch."""
    torch.manual_seed(0)
    build, shape, _ = KINDS[name]
    x = torch.randint(0, 17, shape) if shape == TOKENS else torch.randn(shape)
    model = build()
    if "statistics" in name:
        with torch.no_grad():
            model.train()(x)
    return model.eval(), x
