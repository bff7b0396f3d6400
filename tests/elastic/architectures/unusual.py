"""What real models have beside layers: constants, repeated heads, maxima, latent queries."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PointNet(nn.Module):
    """Points (N, 3, points): a learned rotation from the identity, maxima over all points."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv1d(3, 24, 1)
        self.turn = nn.Linear(24, 9)
        self.one, self.two = nn.Conv1d(3, 32, 1), nn.Conv1d(32, 64, 1)
        self.norm = nn.BatchNorm1d(64, momentum=None)
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        turn = self.turn(torch.max(F.relu(self.look(x)), 2)[0]).view(-1, 3, 3)
        turn = turn + torch.eye(3, device=x.device).view(1, 3, 3)
        x = torch.bmm(x.transpose(2, 1), turn).transpose(2, 1)
        x = self.norm(self.two(F.relu(self.one(x))))
        return self.head(torch.max(x, 2, keepdim=True)[0].view(-1, 64))


class Positions(nn.Module):
    """Tokens: an embedding of their places, a causal mask computed in the forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.places = nn.Embedding(17, 32), nn.Embedding(10, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        mask = torch.triu(torch.full((length, length), float("-inf"), device=x.device), 1)
        places = self.places(torch.arange(length, device=x.device))
        return self.head(self.layer(self.embed(x) + places[None], src_mask=mask)[:, -1])


class ConvAttention(nn.Module):
    """CBAM: channels weighed by their mean and maximum, places by those over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.expand = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 3)
        self.weigh = nn.Sequential(nn.Conv2d(32, 8, 1), nn.Hardsigmoid(), nn.Conv2d(8, 32, 1))
        self.place = nn.Conv2d(1, 1, 7, padding=3)
        self.project, self.head = nn.Conv2d(32, 24, 1), nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.expand(F.relu(self.stem(x))))
        mean, most = self.weigh(F.adaptive_avg_pool2d(x, 1)), F.adaptive_max_pool2d(x, 1)
        x = x * torch.sigmoid(mean + self.weigh(most))
        x = x * torch.sigmoid(self.place(x.max(1, keepdim=True)[0]))
        return self.head(F.relu(self.project(x)).mean((2, 3)))


class SharedKeys(nn.Module):
    """Grouped queries: four heads, two heads of keys and values that are repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 32)
        self.q, self.k, self.v = nn.Linear(32, 32), nn.Linear(32, 16), nn.Linear(32, 16)
        self.out, self.head = nn.Linear(32, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        q, k, v = (
            part(x).unflatten(-1, (-1, 8)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.head((x + self.out(y.transpose(1, 2).flatten(2))).mean(1))


class Latents(nn.Module):
    """Perceiver: few learned queries, repeated for the batch, read the input by einsum."""

    def __init__(self) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.randn(5, 32))
        self.q, self.kv = nn.Linear(32, 32, bias=False), nn.Linear(6, 64, bias=False)
        self.out, self.norm = nn.Linear(32, 32), nn.LayerNorm(32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        latents = self.latents.unsqueeze(0).repeat(x.shape[0], 1, 1)
        q, (k, v) = self.q(self.norm(latents)), self.kv(x).chunk(2, -1)
        q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in (q, k, v))
        scores = torch.einsum("...id,...jd->...ij", q, k) * 8**-0.5
        read = torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), v)
        latents = latents + self.out(read.transpose(1, 2).flatten(2))
        return self.head((latents + self.mlp(latents)).mean(1))


class FixedBatch(nn.Module):
    """Works for a batch of three only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16 * 14 * 14, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).reshape(3, -1))


class Noisy(nn.Module):
    """Adds noise to its weights' outputs, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(8, 32), nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x) + torch.randn(32))
