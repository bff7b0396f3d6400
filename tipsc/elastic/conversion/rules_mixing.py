"""Rules of operators that sum or compare along axes: products, attention, reductions."""

from __future__ import annotations

from typing import Any

from torch import fx

from tipsc.elastic.conversion import axes as ax
from tipsc.elastic.conversion.analysis import Analysis, Axes, NotUnderstood, Rule, spatial_axes
from tipsc.elastic.conversion.axes import Axis, Group
from tipsc.elastic.conversion.capture import name_of


def _matmul(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
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


def _attention(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    query, key, value = (a.of(args[name]) for name in ("query", "key", "value"))
    if args["dropout_p"]:
        raise NotUnderstood("dropout that is always on")
    if args.get("enable_gqa"):
        raise NotUnderstood("heads that share keys")
    if len(query) != len(key):
        raise NotUnderstood("another number of axes")
    for one, two in zip(query[:-2], key[:-2], strict=True):
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


def _softmax(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    ax.fix(x[args["dim"]], f"{name_of(node)} over it")
    return x


def _reduction(*, keeps_scale: bool) -> Rule:
    def rule(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
        x = a.of(args["self"])
        dims = args.get("dim")
        if dims is None or dims == []:
            dims = list(range(len(x)))
        places = {d % len(x) for d in ([dims] if isinstance(dims, int) else dims)}
        for place in places:
            if keeps_scale:
                ax.mix(x[place])
            else:
                ax.fix(x[place], f"{name_of(node)} over it")
        if args.get("keepdim"):
            return [((),) if i in places else axis for i, axis in enumerate(x)]
        return [axis for i, axis in enumerate(x) if i not in places]

    return rule


def _extreme(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Any:
    """max and min: of two tensors, or over an axis, which also tells the places."""
    if "other" in args:
        return a.broadcast(node, [args["self"], args["other"]])
    if "dim" not in args:
        raise NotUnderstood("over all axes")
    x = a.of(args["self"])
    place = args["dim"] % len(x)
    if any(user.args[1] == 1 for user in node.users):
        ax.fix(x[place], "places in it are told")
    ax.mix(x[place])
    kept = [((),)] if args["keepdim"] else []
    return [[*x[:place], *kept, *x[place + 1 :]] for _ in node.meta["val"]]


def _pixel_shuffle(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    r = args["upscale_factor"] ** 2
    channels = Group(ax.axis_size(x[-3]) // r)
    ax.unify(x[-3], ((channels, Group(r, "a block of pixels")),))
    out = ((channels,),) if channels.size != 1 else ((),)
    return [*x[:-3], out, *spatial_axes(node.meta["val"], 2)]


def _einsum(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
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


def _dropout(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    if args["train"]:
        raise NotUnderstood("it is on in eval mode too")
    return a.of(args["input"])


MIXING: dict[str, Rule] = {
    **dict.fromkeys(("matmul", "bmm", "mm"), _matmul),
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("softmax", "log_softmax", "_softmax", "cumsum"), _softmax),
    **dict.fromkeys(("mean", "amax", "amin"), _reduction(keeps_scale=True)),
    **dict.fromkeys(("sum", "linalg_vector_norm"), _reduction(keeps_scale=False)),
    **dict.fromkeys(("max", "min"), _extreme),
    "pixel_shuffle": _pixel_shuffle,
    "einsum": _einsum,
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout"), _dropout),
}
