"""How many multiply-accumulates an operation takes: the one place that counts them."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: products of two matrices, in which a value of the output is one dot product
MATRIX_PRODUCTS = ("matmul", "bmm", "mm")

Shape = Sequence[int]


def layer_macs(given: Shape, result: Shape, weight: Shape, *, transposed: bool) -> int:
    """Of a convolution or linear layer.

    Args:
        given: shape of what it reads.
        result: shape of what it gives.
        weight: (out, in / groups, ...) of a layer, (in, out / groups, ...) of a transposed one.
        transposed: each value that it reads is multiplied by all that it spreads to; otherwise each
            value that it gives is one dot product with a filter.
    """
    return math.prod(given if transposed else result) * math.prod(weight[1:])


def product_macs(first: Shape, result: Shape) -> int:
    """Of a product of two matrices, (..., n, k) and (..., k, m)."""
    return math.prod(result) * first[-1]


def attention_macs(query: Shape, keys: int, values: int) -> int:
    """Of scaled dot products (..., n, width) with `keys` keys, and of the sum of their values."""
    return math.prod(query) * keys + math.prod(query[:-1]) * keys * values
