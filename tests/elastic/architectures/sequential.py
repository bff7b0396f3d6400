"""Transformers, series, recurrent nets, gated units."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Packed queries, keys and values, as in most vision transformers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(width, width * 3)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, width // self.num_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = (q * (width // self.num_heads) ** -0.5) @ k.transpose(-2, -1)
        if bias is not None:
            scores = scores + bias
        x = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, tokens, width)
        return self.proj(x)


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 4, 4)
        self.cls_token = nn.Parameter(torch.randn(1, 1, 32))
        self.pos_embed = nn.Parameter(torch.randn(1, 17, 32))
        self.blocks = nn.Sequential(*(Block(32, 4) for _ in range(3)))
        self.norm = nn.LayerNorm(32)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


class SwinBlock(nn.Module):
    """Attention in windows, shifted or not, with a table of relative positions."""

    def __init__(self, width: int, heads: int, size: int, window: int, shift: int) -> None:
        super().__init__()
        self.size, self.window, self.shift = size, window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads))
        at = torch.stack(torch.meshgrid(*[torch.arange(window)] * 2, indexing="ij")).flatten(1)
        relative = (at[:, :, None] - at[:, None, :]).permute(1, 2, 0) + window - 1
        index = relative[..., 0] * (2 * window - 1) + relative[..., 1]
        self.register_buffer("index", index)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, _, width = x.shape
        size, window = self.size, self.window
        y = self.norm1(x).view(batch, size, size, width)
        if self.shift:
            y = torch.roll(y, shifts=(-self.shift, -self.shift), dims=(1, 2))
        y = y.view(batch, size // window, window, size // window, window, width)
        y = y.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, window * window, width)
        bias = self.table[self.index.view(-1)].view(window**2, window**2, -1)
        y = self.attn(y, bias.permute(2, 0, 1).unsqueeze(0))
        y = y.view(batch, size // window, size // window, window, window, width)
        y = y.permute(0, 1, 3, 2, 4, 5).contiguous().view(batch, size, size, width)
        if self.shift:
            y = torch.roll(y, shifts=(self.shift, self.shift), dims=(1, 2))
        x = x + y.view(batch, size * size, width)
        return x + self.mlp(self.norm2(x))


class Swin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 32, 4, 4)
        self.blocks = nn.Sequential(
            *(SwinBlock(32, 4, 4, 2, shift) for _ in range(2) for shift in (0, 1))
        )
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


class TorchEncoder(nn.Module):
    """torch's own encoder layers, norm before or after."""

    def __init__(self, norm_first: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            32, 4, 64, batch_first=True, norm_first=norm_first, activation="gelu"
        )
        self.embed = nn.Linear(6, 32)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)).mean(1))


class CrossAttention(nn.Module):
    """nn.MultiheadAttention with other queries than keys, sequence first."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(6, 32)
        self.queries = nn.Parameter(torch.randn(3, 1, 32))
        self.attention = nn.MultiheadAttention(32, 4)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).transpose(0, 1)
        query = self.queries.expand(-1, x.shape[1], -1)
        y, _ = self.attention(query, x, x, need_weights=False)
        return self.head(y.mean(0))


class CausalLanguageModel(nn.Module):
    """Tokens; the output layer uses the embedding's weight; SwiGLU; fused attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(17, 32)
        self.layers = nn.ModuleList(_SwiGLUBlock(32, 4) for _ in range(2))
        self.norm = nn.RMSNorm(32)
        self.head = nn.Linear(32, 17, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class _SwiGLUBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.wq, self.wk, self.wv = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.wo = nn.Linear(width, width, bias=False)
        self.w1, self.w3 = (nn.Linear(width, 64, bias=False) for _ in range(2))
        self.w2 = nn.Linear(64, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        q, k, v = (
            w(y).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for w in (self.wq, self.wk, self.wv)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.wo(y.transpose(1, 2).flatten(2))
        y = self.norm2(x)
        return x + self.w2(F.silu(self.w1(y)) * self.w3(y))


class GLU(nn.Module):
    """Gated units by nn.functional.glu, by chunk and by slices."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(12, 64)
        self.two = nn.Linear(32, 64)
        self.three = nn.Linear(32, 64)
        self.out = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.glu(self.one(x), dim=-1)
        value, gate = self.two(x).chunk(2, dim=-1)
        x = value * torch.sigmoid(gate)
        y = self.three(x)
        return self.out(y[..., :32] * torch.tanh(y[..., 32:]))


class TCN(nn.Module):
    """Dilated causal convolutions with the padding cut off again."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv1d(4, 24, 1)
        self.blocks = nn.ModuleList(_TemporalBlock(24, 2**i) for i in range(3))
        self.head = nn.Linear(24, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.entry(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x[:, :, -1])


class _TemporalBlock(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.padding = 2 * dilation
        self.conv1 = nn.Conv1d(width, 48, 3, padding=self.padding, dilation=dilation)
        self.conv2 = nn.Conv1d(48, width, 3, padding=self.padding, dilation=dilation)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.conv1(x)[:, :, : -self.padding])
        y = self.dropout(F.relu(self.conv2(y)[:, :, : -self.padding]))
        return F.relu(x + y)


class Recurrent(nn.Module):
    """Convolutions over time, a recurrent layer, a head."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(4, 32, 3, padding=1)
        self.conv2 = nn.Conv1d(32, 16, 3, padding=1)
        self.rnn = kind(16, 24, batch_first=True)
        self.head = nn.Sequential(nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv2(F.relu(self.conv1(x)))).transpose(1, 2)
        return self.head(self.rnn(x)[0][:, -1])


class DataDependent(nn.Module):
    """Does more work on some inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Linear(8, 32)
        self.two = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.one(x))
        if y.sum() > 3:
            y = y * 2
        return self.two(y)
