"""How many multiply-accumulates an operation takes: the one place that counts them.

A counter takes the shapes of the tensors that an operation reads, weights among them, the shape of
what it gives, and the equation of an einsum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

Shape: TypeAlias = Sequence[int]
Counter: TypeAlias = Callable[[Sequence[Shape], Shape, str], int]


def no_macs(inputs: Sequence[Shape], result: Shape, equation: str = "") -> int:
    """Of what is no product."""
    return 0


def layer_macs(inputs: Sequence[Shape], result: Shape, equation: str = "") -> int:
    """Of a convolution or linear layer, whose weight is (out, in / groups, ...).

    Each value that it gives is one dot product with a filter.
    """
    _, weight, *_ = inputs
    return math.prod(result) * math.prod(weight[1:])


def transposed_macs(inputs: Sequence[Shape], result: Shape, equation: str = "") -> int:
    """Of a transposed convolution, whose weight is (in, out / groups, ...).

    Each value that it reads is multiplied by all that it spreads to.
    """
    given, weight, *_ = inputs
    return math.prod(given) * math.prod(weight[1:])


def product_macs(inputs: Sequence[Shape], result: Shape, equation: str = "") -> int:
    """Of a product of two matrices, (..., n, k) and (..., k, m)."""
    return math.prod(result) * inputs[0][-1]


def attention_macs(inputs: Sequence[Shape], result: Shape, equation: str = "") -> int:
    """Of scaled dot products of queries (..., n, width) with keys, and of the sum of values."""
    query, keys, *_ = inputs
    return math.prod(query) * keys[-2] + math.prod(query[:-1]) * keys[-2] * result[-1]


def recurrent_macs(inputs: Sequence[Shape], result: Shape, equation: str = "") -> int:
    """Of recurrent layers over (N, T, ...) or (T, N, ...): each matrix once a step and example."""
    given, *others = inputs
    matrices = (shape for shape in others if len(shape) == 2)
    return math.prod(given[:2]) * sum(map(math.prod, matrices))


def einsum_macs(inputs: Sequence[Shape], result: Shape, equation: str = "") -> int:
    """One for each combination of indices, the operands taken from left to right."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    if not arrow:
        right = "".join(index for index in left if left.count(index) == 1)
    sizes: dict[str, int] = {}
    words: list[list[str]] = []
    for word, shape in zip(left.split(","), inputs, strict=True):
        first, dots, last = word.partition("...")
        hidden = range(len(shape) - len(first) - len(last), 0, -1) if dots else ()
        words.append([*first, *map(str, hidden), *last])
        for index, size in zip(words[-1], shape, strict=True):
            sizes[index] = max(size, sizes.get(index, 1))
    products, made = 0, set(words[0])
    for place, read in enumerate(words[1:], 2):
        made |= set(read)
        products += math.prod(sizes[index] for index in made)
        later = {index for other in words[place:] for index in other}
        made = {index for index in made if index in later or index in right or index.isdigit()}
    return products or math.prod(sizes.values())
