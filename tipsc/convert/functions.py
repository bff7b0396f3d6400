"""Operations without weights, as modules that are given the path."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tipsc.elastic.dims import Dim, at
from tipsc.paths import Path


@dataclass(frozen=True)
class Slot:
    """In place of an argument: the input with this number."""

    index: int


@dataclass(frozen=True)
class Size:
    """In place of an argument: a size that depends on the path."""

    dim: Dim


class Function(nn.Module):
    """A function of torch, or a method by its name; slots and sizes are filled at each call."""

    def __init__(
        self,
        target: Callable[..., Any] | str,
        arguments: Sequence[Any],
        named: dict[str, Any],
    ) -> None:
        super().__init__()
        self.target = target
        self.arguments = tuple(arguments)
        self.named = dict(named)

    def forward(self, path: Path, *inputs: Any) -> Any:
        named = {key: _filled(value, path, inputs) for key, value in self.named.items()}
        arguments = [_filled(argument, path, inputs) for argument in self.arguments]
        if isinstance(self.target, str):
            return getattr(arguments[0], self.target)(*arguments[1:], **named)
        return self.target(*arguments, **named)

    def extra_repr(self) -> str:
        return str(getattr(self.target, "__name__", self.target))


def _filled(argument: Any, path: Path, inputs: Sequence[Any]) -> Any:
    # No closure: one that calls itself is a cycle, which would hold the inputs until it is found.
    if isinstance(argument, Slot):
        return inputs[argument.index]
    if isinstance(argument, Size):
        return at(argument.dim, path)
    if isinstance(argument, list | tuple):
        return [_filled(a, path, inputs) for a in argument]
    return argument


class LookUp(nn.Module):
    """One axis looked up by an index of several axes, step by step, so that each can be lowered.

    Args:
        axis: of what is looked up.
        shape: of the result; sizes may depend on the path.
    """

    def __init__(self, axis: int, shape: Sequence[int | Size]) -> None:
        super().__init__()
        self.axis = axis
        self.shape = tuple(shape)

    def forward(self, path: Path, x: Tensor, index: Tensor) -> Tensor:
        found = torch.index_select(x, self.axis, torch.flatten(index))
        return torch.reshape(found, _filled(self.shape, path, ()))


class Attention(nn.Module):
    """Scaled dot-product attention, step by step, so that each step can be lowered.

    Args:
        scale: of the scores; 1 / sqrt(size of a head) in most models.
        mask: "none", "add" or "keep" (a boolean mask of what is attended to).
        causal: positions that may be attended to, (queries, keys) bool, or None.
    """

    def __init__(self, scale: float, mask: str, causal: Tensor | None) -> None:
        super().__init__()
        self.scale = scale
        self.mask = mask
        self.causal: Tensor | None
        self.register_buffer("causal", causal, persistent=False)

    def forward(
        self, path: Path, query: Tensor, key: Tensor, value: Tensor, *mask: Tensor
    ) -> Tensor:
        scores = torch.matmul(query, key.transpose(-2, -1)) * self.scale
        if self.mask == "add":
            scores = scores + mask[0]
        elif self.mask == "keep":
            scores = torch.where(mask[0], scores, float("-inf"))
        if self.causal is not None:
            scores = scores + self.causal
        return torch.matmul(torch.softmax(scores, -1), value)
