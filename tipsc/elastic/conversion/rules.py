"""What each operator does to the axes of its tensors.

A rule takes the axes of an operation's inputs, unifies what is paired, and gives the axes of its
output. An operator without a rule fixes everything that it touches.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, fx

from tipsc.elastic.conversion import axes as ax
from tipsc.elastic.conversion.axes import Axis, Group
from tipsc.elastic.conversion.capture import Program, hint, name_of, scope_of

Axes: TypeAlias = list[Axis]

_SPATIAL = "positions, not channels"


class NotUnderstood(Exception):
    """A rule met arguments that it does not cover; the message says which."""


class Analysis:
    """The axes of all values of a program.

    Attributes:
        axes: of each node that gives a tensor, one :data:`Axis` for each of its axes; for a node
            that gives several tensors a list of such lists.
        notes: (layer, why) where an operation was not understood.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.axes: dict[fx.Node, Any] = {}
        self.notes: list[tuple[str, str]] = []
        for node in program.tensors:
            self.axes[node] = [ax.new_axis(size) for size in node.meta["val"].shape]
        self.axes[program.input] = self.opaque(program.input, "the model's input")
        for node in program.nodes():
            if is_tensors(node.meta.get("val")):
                self._apply(node)
        for axis in self.axes[program.output]:
            ax.fix(axis, "the model's output")

    def _apply(self, node: fx.Node) -> None:
        try:
            found = self._rule(node)
            self._check(node, found)
        except (
            NotUnderstood, ValueError, IndexError, KeyError, TypeError, AttributeError
        ) as error:  # fmt: skip
            reason = str(error) if isinstance(error, NotUnderstood) else ""
            reason = f"{name_of(node)} is not understood" + (f": {reason}" if reason else "")
            touched = self._fix_inputs(node, reason)
            if touched:
                self.notes.append((scope_of(node) or name_of(node), reason))
            found = self.opaque(node, reason)
        self.axes[node] = found

    def _rule(self, node: fx.Node) -> Any:
        if node.target is operator.getitem:
            return self.axes[node.all_input_nodes[0]][cast(int, node.args[1])]
        if not isinstance(node.target, torch._ops.OpOverload):
            raise NotUnderstood
        name = name_of(node)
        arguments = _bound(node)
        if name in RULES:
            return RULES[name](self, node, arguments)
        if torch.Tag.pointwise in node.target.tags or name in POINTWISE:
            return self.broadcast(node, [n for n in node.all_input_nodes if n in self.axes])
        raise NotUnderstood

    def _check(self, node: fx.Node, found: Any) -> None:
        value = node.meta["val"]
        if isinstance(value, Tensor):
            found, value = [found], [value]
        for axes, tensor in zip(found, value, strict=True):
            sizes = [hint(size) for size in tensor.shape]
            if [ax.axis_size(axis) for axis in axes] != sizes:
                raise NotUnderstood("its output has another shape than expected")

    def _fix_inputs(self, node: fx.Node, reason: str) -> bool:
        touched = False
        for source in node.all_input_nodes:
            if source not in self.axes:
                continue
            axes = self.axes[source]
            for axis in (
                axes if isinstance(source.meta["val"], Tensor) else [x for i in axes for x in i]
            ):
                for term in ax.settled(axis):
                    for group in term:
                        touched = touched or group.fixed is None
                        group.fix(reason)
        return touched

    def opaque(self, node: fx.Node, reason: str) -> Any:
        """Axes of which nothing is known but their sizes."""
        value = node.meta["val"]
        if isinstance(value, Tensor):
            return [ax.new_axis(hint(size), reason) for size in value.shape]
        return [[ax.new_axis(hint(size), reason) for size in item.shape] for item in value]

    def broadcast(self, node: fx.Node, inputs: Sequence[fx.Node]) -> Axes:
        """Unifies the axes of tensors that are combined element by element."""
        sizes = [hint(size) for size in node.meta["val"].shape]
        result: Axes = []
        for place in range(1, len(sizes) + 1):
            size, chosen = sizes[-place], None
            for source in inputs:
                axes = self.axes[source]
                if len(axes) < place or ax.axis_size(axes[-place]) != size:
                    continue
                if chosen is None:
                    chosen = axes[-place]
                elif size != 1:
                    ax.unify(chosen, axes[-place])
            if chosen is None:
                raise NotUnderstood("its output has an axis of its own")
            result.insert(0, chosen)
        return result

    def of(self, node: Any) -> Axes:
        """The axes of an argument that must be one tensor."""
        if not isinstance(node, fx.Node) or node not in self.axes:
            raise NotUnderstood("an argument is no tensor")
        return list(self.axes[node])


def is_tensors(value: Any) -> bool:
    """Whether a node gives a tensor, or several."""
    if isinstance(value, tuple | list):
        return bool(value) and all(isinstance(item, Tensor) for item in value)
    return isinstance(value, Tensor)


def _bound(node: fx.Node) -> dict[str, Any]:
    """The arguments by name, defaults filled in."""
    schema = node.target._schema  # type: ignore[union-attr]
    arguments = {a.name: a.default_value for a in schema.arguments if a.has_default_value()}
    names = [a.name for a in schema.arguments]
    arguments |= dict(zip(names, node.args, strict=False))
    return arguments | node.kwargs


def bound(node: fx.Node) -> dict[str, Any]:
    """The arguments of an ATen operation by name, defaults filled in."""
    return _bound(node)


Rule: TypeAlias = Callable[[Analysis, fx.Node, dict[str, Any]], Any]


def _fresh(value: Tensor, count: int) -> Axes:
    return [ax.new_axis(hint(size), _SPATIAL) for size in value.shape[value.dim() - count :]]


def _fix_all(axes: Sequence[Axis], reason: str) -> None:
    for axis in axes:
        ax.fix(axis, reason)


def _convolution(rank: int, *, transposed: bool) -> Rule:
    def rule(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
        x, weight = a.of(args["input"]), a.of(args["weight"])
        if len(x) != rank + 2:
            raise NotUnderstood("its input has no batch axis")
        if args["weight"] not in a.program.tensors:
            raise NotUnderstood("its weight is computed")
        _fix_all(x[2:], _SPATIAL)
        _fix_all(weight[2:], "the kernel")
        groups = args["groups"]
        first, second = weight[0], weight[1]
        entering, leaving = (first, second) if transposed else (second, first)
        if groups == 1:
            ax.unify(x[1], entering)
            out = leaving
        else:
            g, each = Group(groups), ax.axis_size(x[1]) // groups
            into = (_nest(g, Group(each)),)
            ax.unify(x[1], into)
            outputs = hint(node.meta["val"].shape[1])
            out = (_nest(g, Group(outputs // groups)),)
            if transposed:
                ax.unify(first, into)
                ax.unify(second, (out[0][1:],))
            else:
                ax.unify(first, out)
                ax.unify(second, (into[0][1:],))
        if args["bias"] is not None:
            ax.unify(a.of(args["bias"])[0], out)
        return [x[0], out, *_fresh(node.meta["val"], rank)]

    return rule


def _nest(outer: Group, inner: Group) -> ax.Term:
    return (outer, inner) if inner.size != 1 else (outer,)


def _linear(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x, weight = a.of(args["input"]), a.of(args["weight"])
    if args["weight"] not in a.program.tensors:
        raise NotUnderstood("its weight is computed")
    ax.unify(x[-1], weight[1])
    if args["bias"] is not None:
        ax.unify(a.of(args["bias"])[0], weight[0])
    return [*x[:-1], weight[0]]


def _batch_norm(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["input"])
    if args["training"]:
        raise NotUnderstood("it has no running statistics")
    for key in ("weight", "bias", "running_mean", "running_var"):
        if args[key] is not None:
            ax.unify(x[1], a.of(args[key])[0])
    return x


def _instance_norm(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["input"])
    for key in ("weight", "bias", "running_mean", "running_var"):
        if args[key] is not None:
            ax.unify(x[1], a.of(args[key])[0])
    return x


def _layer_norm(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["input"])
    count = len(args["normalized_shape"])
    for key in ("weight", "bias"):
        if args.get(key) is not None:
            for axis, own in zip(x[-count:], a.of(args[key]), strict=True):
                ax.unify(axis, own)
    for axis in x[-count:]:
        ax.mix(axis)
    return x


def _group_norm(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["input"])
    groups = args["num_groups"]
    each = Group(ax.axis_size(x[1]) // groups, "normalised together")
    ax.unify(x[1], (_nest(Group(groups), each),))
    for key in ("weight", "bias"):
        if args[key] is not None:
            ax.unify(x[1], a.of(args[key])[0])
    return x


def _embedding(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    weight = a.of(args["weight"])
    ax.fix(weight[0], "the vocabulary")
    return [*a.of(args["indices"]), weight[1]]


def _prelu(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x, weight = a.of(args["self"]), a.of(args["weight"])
    if len(weight) and ax.axis_size(weight[0]) != 1:
        ax.unify(x[1], weight[0])
    return x


def _windows(rank: int) -> Rule:
    """Pooling, interpolation: the last axes change, the others pass."""

    def rule(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Any:
        x = a.of(args.get("self", args.get("input")))
        _fix_all(x[-rank:], _SPATIAL)
        value = node.meta["val"]
        if isinstance(value, Tensor):
            return [*x[:-rank], *_fresh(value, rank)]
        return [[*x[:-rank], *_fresh(item, rank)] for item in value]  # maxima and their places

    return rule


def _pad(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    result = list(x)
    for place, size in enumerate(node.meta["val"].shape):
        low = 2 * (len(x) - 1 - place)
        if any(args["pad"][low : low + 2]):
            ax.fix(x[place], "padded")
            result[place] = ax.new_axis(hint(size), "padded")
    return result


def _concatenate(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    parts = [a.of(t) for t in args["tensors"]]
    rank = len(node.meta["val"].shape)
    axis = args["dim"] % rank
    result: Axes = []
    for place in range(rank):
        if place == axis:
            result.append(tuple(term for p in parts for term in p[place]))
            continue
        for other in parts[1:]:
            ax.unify(parts[0][place], other[place])
        result.append(parts[0][place])
    return result


def _stack(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    parts = [a.of(t) for t in args["tensors"]]
    axis = args["dim"] % (len(parts[0]) + 1)
    for other in parts[1:]:
        for one, two in zip(parts[0], other, strict=True):
            ax.unify(one, two)
    parts[0].insert(axis, ax.new_axis(len(parts), "pieces of a stack"))
    return parts[0]


def _split(a: Analysis, node: fx.Node, args: dict[str, Any]) -> list[Axes]:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    pieces = [ax.new_axis(hint(item.shape[axis])) for item in node.meta["val"]]
    ax.unify(x[axis], tuple(term for piece in pieces for term in piece))
    return [[*x[:axis], piece, *x[axis + 1 :]] for piece in pieces]


def _glu(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    half = ax.new_axis(ax.axis_size(x[axis]) // 2)
    ax.unify(x[axis], half + half)
    x[axis] = half
    return x


def _index(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    chosen = [(place, i) for place, i in enumerate(args["indices"]) if i is not None]
    if len(chosen) != 1 or chosen[0][1].meta["val"].dtype == torch.bool:
        raise NotUnderstood("several indices")
    place, index = chosen[0]
    ax.fix(x[place], "looked up by index")
    _fix_all(a.of(index), "indices")
    return x[:place] + a.of(index) + x[place + 1 :]


def _roll(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    for place in args.get("dims") or range(len(x)):
        ax.fix(x[place], "rolled or flipped")
    return x


def _unbind(a: Analysis, node: fx.Node, args: dict[str, Any]) -> list[Axes]:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    ax.fix(x[axis], "taken apart one by one")
    return [x[:axis] + x[axis + 1 :] for _ in node.meta["val"]]


def _slice(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    size, kept = ax.axis_size(x[axis]), hint(node.meta["val"].shape[axis])
    if size == kept and args["step"] == 1:
        return x
    if args["step"] != 1:
        ax.fix(x[axis], "every n-th is taken")
        x[axis] = ax.new_axis(kept, "every n-th is taken")
        return x
    start = slice_start(args["start"], size)
    sizes = (start, kept, size - start - kept)
    pieces = [ax.new_axis(s) if s else () for s in sizes]
    ax.unify(x[axis], tuple(term for piece in pieces for term in piece))
    x[axis] = pieces[1]
    return x


def slice_start(start: int | None, size: int) -> int:
    """Where a slice begins, counted from the front."""
    start = start or 0
    return max(0, min(size, start + size if start < 0 else start))


def _select(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    axis = args["dim"] % len(x)
    ax.fix(x[axis], "one of them is taken")
    return x[:axis] + x[axis + 1 :]


def _permute(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    return [x[place] for place in args["dims"]]


def _transpose(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    first, second = args.get("dim0", 0), args.get("dim1", 1)
    if name_of(node) in ("t", "numpy_T", "mT") and len(x) < 2:
        return x
    if name_of(node) == "mT":
        first, second = -2, -1
    x[first], x[second] = x[second], x[first]
    return x


def _unsqueeze(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    x.insert(args["dim"] % (len(x) + 1), ((),))
    return x


def _squeeze(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    dims = args.get("dim", list(range(len(x))))
    places = {d % len(x) for d in ([dims] if isinstance(dims, int) else dims)}
    return [axis for i, axis in enumerate(x) if i not in places or ax.axis_size(axis) != 1]


def _reshape(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    return ax.reshape(a.of(args["self"]), [hint(s) for s in node.meta["val"].shape])


def _expand(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x = a.of(args["self"])
    shape = [hint(s) for s in node.meta["val"].shape]
    x = [((),)] * (len(shape) - len(x)) + x
    return [
        axis if ax.axis_size(axis) == size else ax.new_axis(size, "repeated")
        for axis, size in zip(x, shape, strict=True)
    ]


def _repeat(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x, repeats = a.of(args["self"]), args["repeats"]
    x = [((),)] * (len(repeats) - len(x)) + x
    result: Axes = []
    for axis, count, size in zip(x, repeats, node.meta["val"].shape, strict=True):
        if count == 1:
            result.append(axis)
            continue
        ax.fix(axis, "repeated")
        result.append(ax.new_axis(hint(size), "repeated"))
    return result


def _repeat_interleave(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    x, copies = a.of(args["self"]), args["repeats"]
    if not isinstance(copies, int) or args["dim"] is None or args["output_size"] is not None:
        raise NotUnderstood("another number of copies of each, or of a flattened tensor")
    axis = args["dim"] % len(x)
    if copies > 1:
        x[axis] = tuple((*term, Group(copies, "repeated")) for term in x[axis])
    return x


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
    return [*x[:-3], out, *_fresh(node.meta["val"], 2)]


def _einsum(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    equation = args["equation"].replace(" ", "")
    if "." in equation or "->" not in equation:
        raise NotUnderstood(f"the equation {equation}")
    left, right = equation.split("->")
    letters: dict[str, Axis] = {}
    for word, tensor in zip(left.split(","), args["tensors"], strict=True):
        if len(set(word)) != len(word):
            raise NotUnderstood(f"the equation {equation}")
        for letter, axis in zip(word, a.of(tensor), strict=True):
            if letter in letters:
                ax.unify(letters[letter], axis)
            letters.setdefault(letter, axis)
    for letter, axis in letters.items():
        if letter not in right:
            ax.fix(axis, "summed over in einsum")
    return [letters[letter] for letter in right]


def _dropout(a: Analysis, node: fx.Node, args: dict[str, Any]) -> Axes:
    if args["train"]:
        raise NotUnderstood("it is on in eval mode too")
    return a.of(args["input"])


POINTWISE = {
    "relu6", "to", "_to_copy", "type_as", "hardswish", "hardsigmoid", "silu", "mish", "gelu",
    "selu", "celu", "elu", "leaky_relu", "softplus", "logsigmoid", "log_sigmoid", "hardtanh",
    "square",
    "where", "clamp", "masked_fill", "zeros_like", "ones_like", "full_like", "float", "rsub",
    "fill", "copy", "softshrink", "hardshrink", "tanhshrink", "softsign", "threshold", "relu",
}  # fmt: skip

RULES: dict[str, Rule] = {
    **{f"conv{r}d": _convolution(r, transposed=False) for r in (1, 2, 3)},
    **{f"conv_transpose{r}d": _convolution(r, transposed=True) for r in (1, 2, 3)},
    "linear": _linear,
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "rms_norm": _layer_norm,
    "group_norm": _group_norm,
    "embedding": _embedding,
    "prelu": _prelu,
    **{
        f"{kind}_pool{r}d": _windows(r)
        for kind in ("max", "avg", "adaptive_avg", "adaptive_max", "lp")
        for r in (1, 2, 3)
    },
    **{f"upsample_nearest{r}d": _windows(r) for r in (1, 2, 3)},
    **{f"_upsample_nearest_exact{r}d": _windows(r) for r in (1, 2, 3)},
    "upsample_linear1d": _windows(1),
    "upsample_bilinear2d": _windows(2),
    "upsample_bicubic2d": _windows(2),
    "upsample_trilinear3d": _windows(3),
    "pad": _pad,
    "constant_pad_nd": _pad,
    "cat": _concatenate,
    "concat": _concatenate,
    "stack": _stack,
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "tensor_split"), _split),
    "unbind": _unbind,
    "slice": _slice,
    "select": _select,
    "permute": _permute,
    **dict.fromkeys(("transpose", "t", "swapaxes", "mT"), _transpose),
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "_unsafe_view"), _reshape),
    "expand": _expand,
    "expand_as": _expand,
    "repeat": _repeat,
    "repeat_interleave": _repeat_interleave,
    **dict.fromkeys(("matmul", "bmm", "mm"), _matmul),
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("softmax", "log_softmax", "_softmax", "cumsum"), _softmax),
    **dict.fromkeys(("mean", "amax", "amin"), _reduction(keeps_scale=True)),
    **dict.fromkeys(("sum", "linalg_vector_norm"), _reduction(keeps_scale=False)),
    **dict.fromkeys(("max", "min"), _extreme),
    "pixel_shuffle": _pixel_shuffle,
    "einsum": _einsum,
    "glu": _glu,
    "index": _index,
    "roll": _roll,
    "flip": _roll,
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout"), _dropout),
}
