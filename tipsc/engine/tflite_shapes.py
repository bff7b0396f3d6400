"""What shapes an operator of a .tflite gives, as TensorFlow Lite computes them.

LiteRT works them out by itself when it opens a file, and believes that the rest of the file fits:
where a stride is zero, an axis is not there or weights are shorter than their shape, it divides,
reads or allocates all the same. Here each tensor must have the shape that its operator gives, so
what is opened takes the memory that its shapes say, and reads what is there.

The rules are functions of an :class:`Operation` by name; :func:`expected` calls the one of an
operator. They raise :class:`Unfit` for what cannot be.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]

#: numbers in a constant that says a shape, axes or pads
_MOST_NUMBERS = 64
_SAME, _VALID = 0, 1


class Unfit(Exception):
    """An operator whose parts do not fit each other; says which."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph.

    Attributes:
        shape: all of it known, each at least 1.
        dtype: numpy's name.
        content: of a constant; None for what is computed.
        sparse: its axes are stored in another order.
        scales: of a quantized one.
    """

    shape: Shape
    dtype: str
    content: memoryview | None
    sparse: bool
    scales: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operation:
    """One operator in its place.

    Attributes:
        inputs: None for one that is left out.
        count: of its outputs.
        options: by name; empty if it has none.
    """

    inputs: tuple[Tensor | None, ...]
    count: int
    options: Mapping[str, Any]

    def given(self, place: int) -> Tensor:
        tensor = self.inputs[place] if place < len(self.inputs) else None
        if tensor is None:
            raise Unfit(f"input {place} is missing")
        return tensor

    def optional(self, place: int) -> Tensor | None:
        return self.inputs[place] if place < len(self.inputs) else None

    def numbers(self, place: int) -> Shape:
        """The values of an input that has to be a short constant of integers."""
        tensor = self.given(place)
        code = {"int32": "i", "int64": "q"}.get(tensor.dtype)
        if tensor.content is None or code is None or tensor.size > _MOST_NUMBERS:
            raise Unfit(f"input {place} is no short constant of integers")
        return struct.unpack(f"<{tensor.size}{code}", tensor.content)

    def positive(self, *names: str) -> Shape:
        """Options that count something."""
        values = tuple(int(self.options[name]) for name in names)
        for name, value in zip(names, values, strict=True):
            if not 1 <= value < 1 << 20:
                raise Unfit(f"{name} is {value}")
        return values


def expected(rule: str, operation: Operation) -> Sequence[Shape]:
    """The shapes of the outputs of an operation.

    Raises:
        Unfit: its inputs and options do not fit each other, or not the number of its outputs.
    """
    shapes = _RULES[rule](operation)
    if len(shapes) != operation.count:
        raise Unfit(f"{operation.count} outputs instead of {len(shapes)}")
    return shapes


def _axis(value: int, rank: int, beyond: int = 0) -> int:
    _need(-rank - beyond <= value < rank + beyond, f"axis {value} of {rank}")
    return value % (rank + beyond)


def _need(ok: bool, what: str) -> None:
    if not ok:
        raise Unfit(what)


def _ranked(tensor: Tensor, rank: int) -> Shape:
    _need(len(tensor.shape) == rank, f"a shape of {len(tensor.shape)} axes instead of {rank}")
    return tensor.shape


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = tuple(map(max, zip(*padded, strict=True)))
    for shape in padded:
        _need(all(n in (1, m) for n, m in zip(shape, result, strict=True)), "shapes that differ")
    return result


def _same(op: Operation) -> list[Shape]:
    return [op.given(0).shape]


def _along_axes(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    for value in op.numbers(1):
        _axis(value, len(shape))
    return [shape]


def _densify(op: Operation) -> list[Shape]:
    _need(op.given(0).sparse, "DENSIFY of a tensor that is dense")
    return [op.given(0).shape]


def _of_all(op: Operation) -> list[Shape]:
    return [_broadcast([op.given(place).shape for place in range(len(op.inputs))])]


def _prelu(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    _need(_broadcast([shape, op.given(1).shape]) == shape, "a slope of another shape")
    return [shape]


def _reshape(op: Operation) -> list[Shape]:
    size = op.given(0).size
    shape = op.numbers(1) if len(op.inputs) > 1 else tuple(op.options.get("new_shape", ()))
    _need(min(shape, default=1) >= -1 and shape.count(-1) <= 1, "a size below 1")
    rest = math.prod(n for n in shape if n != -1)
    _need(rest > 0 and size % rest == 0, "another number of values")
    shape = tuple(size // rest if n == -1 else n for n in shape)
    _need(math.prod(shape) == size, "another number of values")
    return [shape]


def _squeeze(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    axes = {_axis(value, len(shape)) for value in op.options["squeeze_dims"]}
    axes = axes or {i for i, n in enumerate(shape) if n == 1}
    _need(all(shape[axis] == 1 for axis in axes), "an axis that is longer than 1")
    return [tuple(n for i, n in enumerate(shape) if i not in axes)]


def _expand_dims(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    (value,) = _exactly(op.numbers(1), 1)
    axis = _axis(value, len(shape), beyond=1)
    return [(*shape[:axis], 1, *shape[axis:])]


def _transpose(op: Operation) -> list[Shape]:
    shape, order = op.given(0).shape, op.numbers(1)
    axes = [_axis(value, len(shape)) for value in order]
    _need(sorted(axes) == list(range(len(shape))), "no permutation")
    return [tuple(shape[axis] for axis in axes)]


def _reduce(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    axes = {_axis(value, len(shape)) for value in op.numbers(1)}
    if op.options["keep_dims"]:
        return [tuple(1 if i in axes else n for i, n in enumerate(shape))]
    return [tuple(n for i, n in enumerate(shape) if i not in axes)]


def _arg(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    (value,) = _exactly(op.numbers(1), 1)
    axis = _axis(value, len(shape))
    return [shape[:axis] + shape[axis + 1 :]]


def _exactly(values: Shape, count: int) -> Shape:
    _need(len(values) == count, f"{len(values)} numbers instead of {count}")
    return values


def _concatenation(op: Operation) -> list[Shape]:
    shapes = [op.given(place).shape for place in range(len(op.inputs))]
    first = shapes[0]
    axis = _axis(op.options["axis"], len(first))
    for shape in shapes:
        _need(len(shape) == len(first), "shapes that differ")
        others = shape[:axis] + shape[axis + 1 :] == first[:axis] + first[axis + 1 :]
        _need(others, "shapes that differ")
    return [(*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])]


def _pack(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    _need(op.options["values_count"] == len(op.inputs), "another values_count than inputs")
    for place in range(len(op.inputs)):
        _need(op.given(place).shape == shape, "shapes that differ")
    axis = _axis(op.options["axis"], len(shape), beyond=1)
    return [(*shape[:axis], len(op.inputs), *shape[axis:])]


def _unpack(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    axis = _axis(op.options["axis"], len(shape))
    _need(op.options["num"] == shape[axis] == op.count, "another num than the axis has")
    return [shape[:axis] + shape[axis + 1 :]] * shape[axis]


def _split(op: Operation) -> list[Shape]:
    (value,) = _exactly(op.numbers(0), 1)
    shape, (parts,) = op.given(1).shape, op.positive("num_splits")
    axis = _axis(value, len(shape))
    _need(shape[axis] % parts == 0 and parts == op.count, "parts that do not fit")
    return [(*shape[:axis], shape[axis] // parts, *shape[axis + 1 :])] * parts


def _split_v(op: Operation) -> list[Shape]:
    shape, sizes = op.given(0).shape, op.numbers(1)
    (value,) = _exactly(op.numbers(2), 1)
    axis = _axis(value, len(shape))
    _need(op.options["num_splits"] == len(sizes), "another num_splits than sizes")
    _need(sum(sizes) == shape[axis] and min(sizes) > 0, "sizes that do not fit")
    return [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


def _slice(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    begins = _exactly(op.numbers(1), len(shape))
    sizes = _exactly(op.numbers(2), len(shape))
    found = []
    for n, begin, size in zip(shape, begins, sizes, strict=True):
        length = n - begin if size == -1 else size
        _need(begin >= 0 and 0 < length <= n - begin, "a slice beyond its input")
        found.append(length)
    return [tuple(found)]


def _strided_slice(op: Operation) -> list[Shape]:
    shape, masks = op.given(0).shape, op.options
    begins, ends, steps = (_exactly(op.numbers(place), len(shape)) for place in (1, 2, 3))
    _need(not (masks["ellipsis_mask"] or masks["new_axis_mask"] or masks["offset"]), "masks")
    found = []
    for axis, (n, begin, end, step) in enumerate(zip(shape, begins, ends, steps, strict=True)):
        _need(step != 0, "a step of 0")
        single = masks["shrink_axis_mask"] >> axis & 1
        if single:
            _need(-n <= begin < n and step == 1, "an index beyond its input")
            continue
        first = None if masks["begin_mask"] >> axis & 1 else begin
        last = None if masks["end_mask"] >> axis & 1 else end
        found.append(len(range(n)[first:last:step]))
    return [tuple(found)]


def _gather(op: Operation) -> list[Shape]:
    shape, indices = op.given(0).shape, op.given(1).shape
    axis, batch = _axis(op.options["axis"], len(shape)), op.options["batch_dims"]
    _need(0 <= batch <= min(axis, len(indices)), f"batch_dims is {batch}")
    _need(shape[:batch] == indices[:batch], "shapes that differ")
    return [shape[:axis] + indices[batch:] + shape[axis + 1 :]]


def _gather_nd(op: Operation) -> list[Shape]:
    shape, indices = op.given(0).shape, op.given(1).shape
    _need(bool(indices) and indices[-1] <= len(shape), "indices of more axes than the input")
    return [indices[:-1] + shape[indices[-1] :]]


def _embedding_lookup(op: Operation) -> list[Shape]:
    indices, shape = op.given(0).shape, op.given(1).shape
    _need(len(indices) == 1 and len(shape) > 1, "shapes that differ")
    return [indices + shape[1:]]


def _pads(op: Operation) -> list[tuple[int, int]]:
    rank = len(op.given(0).shape)
    _need(op.given(1).shape == (rank, 2), "pads of another number of axes")
    values = op.numbers(1)
    _need(min(values, default=0) >= 0, "a negative pad")
    return list(zip(values[::2], values[1::2], strict=True))


def _pad(op: Operation) -> list[Shape]:
    pads = _pads(op)
    return [tuple(n + sum(pad) for n, pad in zip(op.given(0).shape, pads, strict=True))]


def _mirror_pad(op: Operation) -> list[Shape]:
    _need(op.options["mode"] in (0, 1), "mode")
    for n, pad in zip(op.given(0).shape, _pads(op), strict=True):
        _need(max(pad) <= n - 1 + op.options["mode"], "a pad that is wider than its input")
    return _pad(op)


def _broadcast_to(op: Operation) -> list[Shape]:
    shape = op.numbers(1)
    _need(_broadcast([op.given(0).shape, shape]) == shape, "shapes that differ")
    return [shape]


def _filled(op: Operation) -> list[Shape]:
    _need(op.given(1).size == 1, "a value that is several")
    return [op.numbers(0)]


def _tile(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    times = _exactly(op.numbers(1), len(shape))
    _need(min(times, default=1) >= 1, "repeats below 1")
    return [tuple(n * m for n, m in zip(shape, times, strict=True))]


def _resize(op: Operation) -> list[Shape]:
    batch, _, _, channels = _ranked(op.given(0), 4)
    height, width = _exactly(op.numbers(1), 2)
    _need(not (op.options["align_corners"] and op.options["half_pixel_centers"]), "both corners")
    return [(batch, height, width, channels)]


def _space_to_depth(op: Operation) -> list[Shape]:
    batch, height, width, channels = _ranked(op.given(0), 4)
    (block,) = op.positive("block_size")
    _need(height % block == 0 and width % block == 0, "blocks that do not fit")
    return [(batch, height // block, width // block, channels * block * block)]


def _depth_to_space(op: Operation) -> list[Shape]:
    batch, height, width, channels = _ranked(op.given(0), 4)
    (block,) = op.positive("block_size")
    _need(channels % (block * block) == 0, "blocks that do not fit")
    return [(batch, height * block, width * block, channels // (block * block))]


def _windows(padding: int, sizes: Shape, windows: Shape, strides: Shape, dilations: Shape) -> Shape:
    found = []
    for n, window, stride, dilation in zip(sizes, windows, strides, dilations, strict=True):
        if padding == _VALID:
            n -= (window - 1) * dilation
        _need(padding in (_SAME, _VALID) and n > 0, "a window that is wider than its input")
        found.append(-(-n // stride))
    return tuple(found)


def _pool(op: Operation) -> list[Shape]:
    batch, height, width, channels = _ranked(op.given(0), 4)
    windows = op.positive("filter_height", "filter_width")
    strides = op.positive("stride_h", "stride_w")
    sizes = (height, width)
    return [(batch, *_windows(op.options["padding"], sizes, windows, strides, (1, 1)), channels)]


def _bias(op: Operation, place: int, outputs: int) -> None:
    bias = op.optional(place)
    _need(bias is None or bias.size == outputs, "a bias of another length")


def _conv_2d(op: Operation) -> list[Shape]:
    batch, height, width, channels = _ranked(op.given(0), 4)
    outputs, *windows, depth = _ranked(op.given(1), 4)
    _need(channels % depth == 0 and outputs % (channels // depth) == 0, "weights that do not fit")
    op.given(2)  # LiteRT reads it, there or not
    _bias(op, 2, outputs)
    return [(batch, *_moved(op, (height, width), tuple(windows)), outputs)]


def _moved(op: Operation, sizes: Shape, windows: Shape) -> Shape:
    strides = op.positive("stride_h", "stride_w")
    dilations = op.positive("dilation_h", "dilation_w")
    return _windows(op.options["padding"], sizes, windows, strides, dilations)


def _depthwise(op: Operation) -> list[Shape]:
    batch, height, width, channels = _ranked(op.given(0), 4)
    one, *windows, outputs = _ranked(op.given(1), 4)
    (multiplier,) = op.positive("depth_multiplier")
    _need(one == 1 and outputs == channels * multiplier, "weights that do not fit")
    op.given(2)  # LiteRT reads it, there or not
    _bias(op, 2, outputs)
    return [(batch, *_moved(op, (height, width), tuple(windows)), outputs)]


def _conv_3d(op: Operation) -> list[Shape]:
    batch, *sizes, channels = _ranked(op.given(0), 5)
    *windows, depth, outputs = _ranked(op.given(1), 5)
    _need(channels == depth, "weights that do not fit")
    _bias(op, 2, outputs)
    strides = op.positive("stride_d", "stride_h", "stride_w")
    dilations = op.positive("dilation_d", "dilation_h", "dilation_w")
    padding = op.options["padding"]
    return [(batch, *_windows(padding, tuple(sizes), tuple(windows), strides, dilations), outputs)]


def _transpose_conv(op: Operation) -> list[Shape]:
    shape = _exactly(op.numbers(0), 4)
    outputs, *windows, depth = _ranked(op.given(1), 4)
    batch, *sizes, channels = _ranked(op.given(2), 4)
    _need(channels == depth and (shape[0], shape[3]) == (batch, outputs), "weights do not fit")
    _bias(op, 3, outputs)
    strides = op.positive("stride_h", "stride_w")
    there = _windows(op.options["padding"], shape[1:3], tuple(windows), strides, (1, 1))
    _need(there == tuple(sizes), "an output of another size")
    return [shape]


def _fully_connected(op: Operation) -> list[Shape]:
    shape = op.given(0).shape
    units, depth = _ranked(op.given(1), 2)
    _need(op.options["weights_format"] == 0 and op.given(0).size % depth == 0, "weights do not fit")
    _bias(op, 2, units)
    if op.options["keep_num_dims"]:
        _need(bool(shape) and shape[-1] == depth, "weights that do not fit")
        return [(*shape[:-1], units)]
    return [(op.given(0).size // depth, units)]


def _batch_matmul(op: Operation) -> list[Shape]:
    first, second = op.given(0).shape, op.given(1).shape
    _need(min(len(first), len(second)) >= 2, "fewer than two axes")
    rows, inner = first[:-3:-1] if op.options["adj_x"] else first[-2:]
    other, columns = second[:-3:-1] if op.options["adj_y"] else second[-2:]
    _need(inner == other, "shapes that differ")
    outer = _broadcast([first[:-2], second[:-2]])
    return [(*outer, rows, columns)]


#: by name, as :class:`tipsc.engine.tflite_schema.Kind` has them
_RULES: dict[str, Callable[[Operation], list[Shape]]] = {
    "along_axes": _along_axes, "arg": _arg, "batch_matmul": _batch_matmul, "broadcast": _of_all,
    "broadcast_to": _broadcast_to, "concatenation": _concatenation, "conv_2d": _conv_2d,
    "conv_3d": _conv_3d, "densify": _densify, "depth_to_space": _depth_to_space,
    "depthwise": _depthwise, "embedding_lookup": _embedding_lookup, "filled": _filled,
    "fully_connected": _fully_connected, "gather": _gather, "gather_nd": _gather_nd,
    "mirror_pad": _mirror_pad, "pack": _pack, "pad": _pad, "pool": _pool, "prelu": _prelu,
    "expand_dims": _expand_dims, "reduce": _reduce, "reshape": _reshape, "resize": _resize,
    "same": _same, "slice": _slice, "space_to_depth": _space_to_depth, "split": _split,
    "split_v": _split_v, "squeeze": _squeeze, "strided_slice": _strided_slice, "tile": _tile,
    "transpose": _transpose, "transpose_conv": _transpose_conv, "unpack": _unpack,
}  # fmt: skip
