"""Whether a model computes the same on smaller images, and its sizes there.

It is captured again at each resolution. It must be the same operations with the same arguments,
and whatever sees a size that depends on the resolution must be known to follow it when it is
lowered: convolutions, pooling with fixed windows, interpolation, norms, what works on each value by
itself, and at the end a mean over all places. An output that has places is brought back to the
size that it has at full resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from tipsc.convert.capture import capture
from tipsc.convert.given import Given
from tipsc.convert.ops import Role, op_of
from tipsc.convert.program import Program, bound, hint, name_of, scope_of
from tipsc.convert.sizes import Resolutions
from tipsc.elastic.resolution import ElasticResize
from tipsc.errors import ConversionError
from tipsc.paths import Choice, SearchSpace

NAME = "resolution"


def find_resolutions(
    model: nn.Module, program: Program, given: Given, sizes: Sequence[int]
) -> Resolutions:
    """The choice of the resolution.

    Args:
        program: of the model, captured on the example.
        given: images (N, C, H, H).
        sizes: pixels a side; H is added.

    Raises:
        ConversionError: the sizes make no sense, or the model does not follow one of them.
    """
    if len(given.tensors) != 1:
        raise ConversionError(
            "the resolution can be a choice for models of one input only",
            where="resolutions",
            got=f"{len(given.tensors)} inputs: {', '.join(given.names)}",
        )
    (example,) = given.tensors
    shape = tuple(example.shape[1:])
    if len(shape) != 3 or shape[1] != shape[2] or example.dtype != torch.float32:
        raise ConversionError(
            "the resolution can be a choice for square images only",
            where="example_inputs",
            expected="float32 of shape (N, C, H, H)",
            got=f"{str(example.dtype).removeprefix('torch.')} of shape {tuple(example.shape)}",
        )
    full = shape[1]
    if any(not 0 < size <= full for size in sizes) or min(sizes, default=full) == full:
        raise ConversionError(
            "resolutions must be pixels a side, one of them less than the model's own",
            where="resolutions",
            expected=f"1..{full}",
            got=list(sizes),
        )
    choice = Choice(NAME, tuple(sorted({*sizes, full})))
    resize = ElasticResize(choice)
    space = SearchSpace((choice,))
    shapes = {node: [_shape(node)] for node in program.nodes()}
    for size in reversed(choice.options[:-1]):
        smaller = resize(example[:1], space.path({NAME: size}))
        try:
            other = capture(model, given.with_tensors([smaller]))
        except ConversionError as error:
            raise _refusal(size, error.where or "the model", error.what) from error
        for node, twin in _pairs(program, other, size):
            shapes[node].insert(0, _shape(twin))
    for node in program.nodes():
        seen = [node, *(n for n in node.all_input_nodes if n in shapes)]
        depends = any(len(set(shapes.get(n, ()))) > 1 for n in seen)
        if (depends or program.input in node.all_input_nodes) and not op_of(node).follows(node):
            raise _refusal(
                choice.smallest,
                scope_of(node) or "the model",
                f"{name_of(node)} works on a size that depends on the resolution",
            )
    depending = {node: tuple(found) for node, found in shapes.items() if len(set(found)) > 1}
    restored = {n: _places(n, depending[n], choice) for n in program.outputs if n in depending}
    return Resolutions(choice, depending, restored)


def _places(node: fx.Node, shapes: Sequence[tuple[int, ...]], choice: Choice) -> tuple[int, int]:
    """Height and width of an output at full resolution."""
    value = node.meta["val"]
    is_map = value.dim() == 4 and value.is_floating_point()
    if not is_map or len({shape[:2] for shape in shapes}) > 1:
        raise _refusal(
            choice.smallest,
            scope_of(node) or "the model",
            "the size of its output depends on the resolution, and it is no map (N, C, h, w) that "
            "could be brought back to full size",
        )
    return shapes[-1][2], shapes[-1][3]


def _pairs(program: Program, other: Program, size: int) -> list[tuple[fx.Node, fx.Node]]:
    """Each operation with its twin at another resolution, which must be the same."""
    ours, theirs = program.nodes(), other.nodes()
    named: dict[fx.Node, Any] = {program.input: "input", **program.tensors}
    twins: dict[fx.Node, Any] = {other.input: "input", **other.tensors}
    for number, (node, twin) in enumerate(zip(ours, theirs, strict=False)):
        same = node.target == twin.target
        if same and op_of(node).role is not Role.VIEW:
            left = fx.node.map_arg(_arguments(node), lambda n: named[n])
            right = fx.node.map_arg(_arguments(twin), lambda n: twins[n])
            same = repr(left) == repr(right)
        if not same:
            raise _refusal(size, scope_of(node) or "the model", f"{name_of(node)} differs there")
        named[node] = twins[twin] = f"operation {number}"
    if len(ours) != len(theirs):
        raise _refusal(size, "the model", "it takes another number of operations there")
    return list(zip(ours, theirs, strict=True))


def _arguments(node: fx.Node) -> Any:
    """All that must not depend on the resolution; the size that maps are interpolated to may."""
    if op_of(node).role is Role.RESIZE:
        return {name: value for name, value in bound(node).items() if name != "output_size"}
    return node.args, node.kwargs


def _shape(node: fx.Node) -> tuple[int, ...]:
    value = node.meta.get("val")
    values = value if isinstance(value, tuple | list) else (value,)
    return tuple(hint(size) for v in values if isinstance(v, Tensor) for size in v.shape)


def _refusal(size: int, where: str, reason: str) -> ConversionError:
    return ConversionError(
        f"the model cannot be run at resolution {size}: {reason}",
        where=where,
        expected="a fully convolutional model, up to a global pooling or to maps (N, C, h, w)",
        fix="leave resolutions out, or pool over all places before layers of a fixed size",
    )
