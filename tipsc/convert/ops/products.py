"""Products of tensors: matrices, attention, einsum."""

from __future__ import annotations

import math

import torch
from torch import fx

from tipsc.convert import axes as ax
from tipsc.convert.analysis import Analysis, Axes, NotUnderstood
from tipsc.convert.axes import Axis
from tipsc.convert.emit import Emitter
from tipsc.convert.functions import Attention
from tipsc.convert.ops.record import Arguments, Op, rank_of
from tipsc.convert.program import hint, name_of
from tipsc.convert.writer import Writer

aten = torch.ops.aten


def _matmul(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    first, second = list(args.values())[:2]
    x, y = a.of(first), a.of(second)
    if len(x) < 2 or len(y) < 2:
        raise NotUnderstood("a vector")
    ax.unify(x[-1], y[-2])
    if first not in a.program.tensors and second not in a.program.tensors:
        ax.fix(x[-1], "summed over in a product of two activations")
    batch: Axes = []
    for place in range(3, max(len(x), len(y)) + 1):
        ends = [axes[-place] for axes in (x, y) if len(axes) >= place]
        wide = [axis for axis in ends if ax.axis_size(axis) != 1]
        if len(wide) == 2:
            ax.unify(*wide)
        batch.insert(0, wide[0] if wide else ((),))
    return [*batch, x[-2], y[-1]]


def _attention(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    query, key, value = (a.of(args[name]) for name in ("query", "key", "value"))
    if args["dropout_p"]:
        raise NotUnderstood("dropout that is always on")
    if args.get("enable_gqa"):
        raise NotUnderstood("heads that share keys")
    if len(query) != len(key):
        raise NotUnderstood("another number of axes")
    for one, two in zip(query[:-2], key[:-2], strict=True):
        if ax.axis_size(two) != 1:  # not one head of keys for all queries
            ax.unify(one, two)
    for one, two in zip(key[:-1], value[:-1], strict=True):
        ax.unify(one, two)
    ax.unify(query[-1], key[-1])
    ax.fix(query[-1], "summed over in a product of two activations")
    ax.fix(key[-2], "softmax over it")
    mask = args["attn_mask"]
    if mask is not None:
        axes = a.of(mask)
        for one, two in zip(reversed(axes), reversed([*query[:-1], key[-2]]), strict=False):
            if ax.axis_size(one) != 1:
                ax.unify(one, two)
    return [*query[:-1], value[-1]]


def _einsum(a: Analysis, node: fx.Node, args: Arguments) -> Axes:
    equation = args["equation"].replace(" ", "")
    if "." in equation or "->" not in equation:
        raise NotUnderstood(f"the equation {equation}")
    left, right = equation.split("->")
    letters: dict[str, Axis] = {}
    by_weight: set[str] = set()  # summed over in a product with a weight, as in a linear layer
    for word, tensor in zip(left.split(","), args["tensors"], strict=True):
        if tensor in a.program.tensors:
            by_weight |= {letter for letter in word if left.count(letter) > 1}
        if len(set(word)) != len(word):
            raise NotUnderstood(f"the equation {equation}")
        for letter, axis in zip(word, a.of(tensor), strict=True):
            if letter in letters:
                ax.unify(letters[letter], axis)
            letters.setdefault(letter, axis)
    for letter, axis in letters.items():
        if letter not in right and letter not in by_weight:
            ax.fix(axis, "summed over in einsum")
    return [letters[letter] for letter in right]


_TRANSPOSES = ("t", "numpy_T", "mT", "transpose", "swapaxes", "permute")


def _linear_layer(w: Writer) -> fx.Node | None:
    """A product with a transposed weight is a linear layer."""
    x, other = list(w.args.values())[:2]
    if x in w.program.tensors or name_of(other) not in _TRANSPOSES:
        return None
    weight = other.all_input_nodes[0]
    if weight not in w.program.tensors or rank_of(weight) != 2 or rank_of(x) < 2:
        return None
    if other.meta["val"].stride() != weight.meta["val"].stride()[::-1]:
        return None  # a permutation that changes nothing
    return w(aten.linear.default, x, weight)


def _add_product(w: Writer) -> fx.Node | None:
    """``beta * self + alpha * (first @ second)``."""
    first, second = (
        w.args.get(name)
        for name in (("mat1", "mat2") if "mat1" in w.args else ("batch1", "batch2"))
    )
    product = w(aten.matmul.default, first, second)
    if w.args["alpha"] != 1:
        product = w(aten.mul.Tensor, product, w.args["alpha"])
    added = w.args["self"]
    if w.args["beta"] != 1:
        added = w(aten.mul.Tensor, added, w.args["beta"])
    return w(aten.add.Tensor, product, added)


def _build_attention(e: Emitter, node: fx.Node, args: Arguments) -> None:
    if args["dropout_p"] or args.get("enable_gqa"):
        e.same(node)
        return
    query, key, mask = args["query"], args["key"], args["attn_mask"]
    sizes = [hint(n.meta["val"].shape[-2]) for n in (query, key)]
    scale = args.get("scale") or 1 / math.sqrt(hint(query.meta["val"].shape[-1]))
    causal = None
    if args["is_causal"]:
        keep = torch.ones(sizes, dtype=torch.bool).tril()
        causal = torch.zeros(sizes).masked_fill(~keep, float("-inf"))
    kind = "none"
    if mask is not None:
        kind = "keep" if mask.meta["val"].dtype == torch.bool else "add"
    inputs = [query, key, args["value"], *([mask] if mask is not None else [])]
    e.module(node, "attention", Attention(scale, kind, causal), inputs)


PRODUCTS = {
    **dict.fromkeys(("matmul", "mm"), Op(_matmul, rewrite=_linear_layer)),
    "bmm": Op(_matmul),
    **dict.fromkeys(("addmm", "baddbmm"), Op(rewrite=_add_product)),
    "scaled_dot_product_attention": Op(_attention, build=_build_attention),
    "einsum": Op(_einsum),
}
