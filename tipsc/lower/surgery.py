"""A path's ONNX graph, put together from templates and the weight store."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from torch import nn
from torch.nn.modules.conv import _ConvNd

from tipsc.elastic.trace import input_labels
from tipsc.errors import LoweringError
from tipsc.lower.divisions import Rescaled
from tipsc.lower.operations import PlannedOperation, PlannedPath
from tipsc.lower.places import external_tensor
from tipsc.lower.recurrent import recurrence_of, write_recurrent
from tipsc.lower.resizing import is_resized, resize
from tipsc.lower.template import OPSET, Template
from tipsc.lower.weights import Stored, Use, Weight, WeightStore, use_of
from tipsc.signature import Signature, TensorSpec, batch_of

_INLINE_BYTES = 64  # smaller tensors cost less inside the graph than a reference to the store
_WEIGHT = "weight:"  # the prefix of weights' names in a template
_BIAS = f"{_WEIGHT}bias"
_LAYERS = ("Conv", "ConvTranspose", "Gemm")
_SHAPED = ("Reshape", "Expand")


@dataclass(frozen=True)
class PathGraph:
    """A path as a portable graph.

    Attributes:
        model: a serialised ONNX ModelProto; its weights are external data at ``"weights"``, by
            offset and length in the weight store.
        uses: what it uses of each stored tensor.
    """

    model: bytes
    uses: tuple[Use, ...]


def build_graph(
    name: str,
    plan: PlannedPath,
    templates: Mapping[str, Template],
    store: WeightStore,
    signature: Signature,
) -> PathGraph:
    """The graph of a planned path.

    Args:
        name: of the graph, the path's id.
        templates: from an export of a path that has all of these operations.
        store: gets the weights that it does not have yet.
        signature: what the graph takes and gives, batch included.

    Raises:
        LoweringError: an operation differs from its template in a way that surgery cannot follow,
            or an output's shape from the signature's.
    """
    return _Surgery(templates, store).run(name, plan, signature)


class _Surgery:
    def __init__(self, templates: Mapping[str, Template], store: WeightStore) -> None:
        self._templates = templates
        self._store = store
        self._nodes: list[NodeProto] = []
        self._initializers: dict[str, TensorProto] = {}
        self._uses: dict[Use, None] = {}
        self._views: set[str] = set()
        self._batch = 1

    def run(self, name: str, plan: PlannedPath, signature: Signature) -> PathGraph:
        self._batch = batch_of(signature.inputs)
        labels = input_labels(signature.inputs)
        shapes = {label: spec.shape for label, spec in zip(labels, signature.inputs, strict=True)}
        values = {label: [spec.name] for label, spec in zip(labels, signature.inputs, strict=True)}
        for index, operation in enumerate(plan.operations):
            values[operation.label] = self._place(f"t{index}", operation, values)
            shapes[operation.label] = operation.shape
        for label, spec in zip(plan.outputs, signature.outputs, strict=True):
            if shapes[label] != spec.shape:
                raise LoweringError(
                    f"the shape of output {spec.name} depends on the path",
                    where=f"path {name}, operation {label}",
                    expected=spec.shape,
                    got=shapes[label],
                )
        self._give([values[label][0] for label in plan.outputs], signature.outputs)
        graph = helper.make_graph(
            self._nodes,
            name,
            [_value_info(spec) for spec in signature.inputs],
            [_value_info(spec) for spec in signature.outputs],
            list(self._initializers.values()),
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="tipsc"
        )
        model.ir_version = 10
        return PathGraph(model.SerializeToString(deterministic=True), tuple(self._uses))

    def _give(self, values: Sequence[str], outputs: Sequence[TensorSpec]) -> None:
        """Lets nodes write the outputs themselves, where one makes it and nothing else reads it."""
        makers = {name: node for node in self._nodes for name in node.output}
        read = Counter(name for node in self._nodes for name in node.input) + Counter(values)
        for value, spec in zip(values, outputs, strict=True):
            if value in makers and read[value] == 1:
                written = makers[value].output
                written[:] = [spec.name if name == value else name for name in written]
            else:
                self._nodes.append(helper.make_node("Identity", [value], [spec.name]))

    def _place(
        self, prefix: str, operation: PlannedOperation, values: Mapping[str, list[str]]
    ) -> list[str]:
        inputs = [values[label] for label in operation.inputs]
        if isinstance(operation.module, Rescaled):
            return [self._levelled(prefix, operation, operation.module, inputs[0][0])]
        template = self._template_of(operation)
        if is_resized(operation, template):
            output = f"{prefix}:out:0"
            self._nodes.append(resize(output, operation, template, inputs[0][0], self._constant))
            return [output]
        if not template.nodes:
            if operation.item is not None:
                return [inputs[0][operation.item]]
            if not inputs:
                return [self._weight(operation.weights["value"])]
            return inputs[0]
        if operation.is_reshape:
            shape = self._constant(np.asarray(operation.shape, np.int64))
            output = f"{prefix}:out:0"
            self._nodes.append(helper.make_node("Reshape", [inputs[0][0], shape], [output]))
            return [output]
        if isinstance(operation.module, nn.GroupNorm) and operation.shape != template.shape:
            return [self._group_norm(prefix, operation, operation.module, inputs[0][0])]
        layers = recurrence_of(operation)
        if layers is not None:
            read = [value[0] for value in inputs]
            return write_recurrent(layers, prefix, read, self._constant, self._add)
        names = {f"in:{i}": value[0] for i, value in enumerate(inputs)}
        names |= {name: self._constant(value) for name, value in template.constants.items()}
        nodes = [_with_own_bias(node, operation) for node in template.nodes]
        _check_weights_read(nodes, operation)
        for place, node in enumerate(nodes):
            placed = NodeProto()
            placed.CopyFrom(node)
            placed.name = f"{operation.label}/{place}/"  # what a compiler refuses has a name
            placed.output[:] = [self._name(prefix, name, names, operation) for name in node.output]
            if _multiplies_rows(node, operation, self._batch):
                self._multiply_turned(placed, prefix, names, operation)
            else:
                placed.input[:] = [
                    self._name(prefix, name, names, operation) for name in node.input
                ]
                self._fit(placed, node, template, operation)
            self._nodes.append(placed)
        return [f"{prefix}:out:{i}" for i in range(template.outputs)]

    def _levelled(
        self,
        prefix: str,
        operation: PlannedOperation,
        module: Rescaled,
        x: str,
    ) -> str:
        """What :mod:`tipsc.lower.levels` put in, of which there is no template."""
        output = f"{prefix}:out:0"
        if module.after_layer:  # a product would be folded into the weights before it
            self._add("Div", [x, self._number(module.divisor)], output)
        elif len(operation.shape) == 4 and math.prod(operation.shape[2:]) > 1:
            # ONNX Runtime has it in its own layout of maps, unlike a product.
            full = (1 / module.divisor, 0.0, 0.0, 1.0)
            vectors = [np.full(operation.shape[1], value, np.float32) for value in full]
            read = [x, *map(self._constant, vectors)]
            self._add("BatchNormalization", read, output, epsilon=0.0)
        else:
            self._add("Mul", [x, self._number(1 / module.divisor)], output)
        return output

    def _number(self, value: float) -> str:
        return self._constant(np.asarray(value, np.float32))

    def _add(self, op_type: str, inputs: list[str], *outputs: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(op_type, inputs, outputs, **attributes))

    def _group_norm(
        self, prefix: str, operation: PlannedOperation, module: nn.GroupNorm, x: str
    ) -> str:
        """Written anew where a path has fewer groups: the template holds how many there were."""
        groups, shape = module.num_groups, operation.shape
        ones, zeros = (self._constant(np.full(groups, value, np.float32)) for value in (1.0, 0.0))
        by_group = self._constant(np.asarray([shape[0], groups, -1], np.int64))
        steps = [
            ("Reshape", [x, by_group]),
            ("InstanceNormalization", [f"{prefix}:0", ones, zeros]),
            ("Reshape", [f"{prefix}:1", self._constant(np.asarray(shape, np.int64))]),
        ]
        by_channel = self._constant(np.asarray([-1] + [1] * (len(shape) - 2), np.int64))
        for op_type, key in (("Mul", "weight"), ("Add", "bias")):
            if key in operation.weights:
                value = self._weight(operation.weights[key])
                column = self._once(f"{prefix}:{key}", "Reshape", [value, by_channel])
                steps.append((op_type, [f"{prefix}:{len(steps) - 1}", column]))
        for number, (op_type, read) in enumerate(steps):
            node = helper.make_node(op_type, read, [f"{prefix}:{number}"])
            if op_type == "InstanceNormalization":
                node.attribute.append(helper.make_attribute("epsilon", module.eps))
            self._nodes.append(node)
        return f"{prefix}:{len(steps) - 1}"

    def _template_of(self, operation: PlannedOperation) -> Template:
        template = self._templates.get(operation.label)
        if template is None:
            raise LoweringError(
                "is on none of the paths that are exported, so that one export cannot serve it",
                where=f"operation {operation.label}",
                fix="make it part of the largest path, or of one in Supernet.spanning",
            )
        if len(template.inputs) != len(operation.inputs):
            raise LoweringError(
                "takes another number of inputs than on the largest path",
                where=f"operation {operation.label}",
                expected=len(template.inputs),
                got=len(operation.inputs),
            )
        return template

    def _name(
        self, prefix: str, name: str, names: dict[str, str], operation: PlannedOperation
    ) -> str:
        if name.startswith(_WEIGHT):
            return self._weight(operation.weights[name.removeprefix(_WEIGHT)])
        if not name:
            return ""
        return names.setdefault(name, f"{prefix}:{name}")

    def _fit(
        self, placed: NodeProto, node: NodeProto, template: Template, operation: PlannedOperation
    ) -> None:
        """Adapts what a template holds of the sizes on the largest path."""
        module = operation.module
        if node.op_type in ("Conv", "ConvTranspose") and isinstance(module, _ConvNd):
            for attribute in placed.attribute:
                if attribute.name == "kernel_shape":
                    attribute.ints[:] = module.kernel_size
                elif attribute.name == "group":
                    attribute.i = module.groups
                elif attribute.name == "pads" and not isinstance(module.padding, str):
                    attribute.ints[:] = module.padding * 2
        elif node.op_type == "Split" and operation.parts:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            sizes = np.asarray([part[axis] for part in operation.parts], np.int64)
            placed.input[1] = self._constant(sizes)
        elif operation.shape != template.shape and node.op_type in _SHAPED:
            stated = template.constants.get(node.input[1])
            if node.output[0] == "out:0":
                stated = np.asarray(template.shape)  # however it is written there
            if stated is not None and node.op_type == "Reshape" and sum(stated != 1) == 1:
                # A vector along one axis, of whatever size: such as the slopes of PReLU.
                placed.input[1] = self._constant(np.where(stated == 1, 1, -1).astype(np.int64))
                return
            if stated is None or tuple(stated) != template.shape:
                raise LoweringError(
                    f"holds an inner {node.op_type} whose size depends on the path",
                    where=f"operation {operation.label}",
                    fix="write it as separate reshapes",
                )
            placed.input[1] = self._constant(np.asarray(operation.shape, np.int64))

    def _multiply_turned(
        self, placed: NodeProto, prefix: str, names: dict[str, str], operation: PlannedOperation
    ) -> None:
        """A matrix times a row: (in, out) runs faster than (out, in) unless it is repacked.

        Repacking would give each path a copy of its own.
        """
        row, matrix, *bias = placed.input
        weight = self._store.transposed(operation.weights[matrix.removeprefix(_WEIGHT)])
        others = [self._name(prefix, name, names, operation) for name in (row, *bias)]
        placed.input[:] = [others[0], self._weight(weight), *others[1:]]
        for attribute in placed.attribute:
            if attribute.name == "transB":
                attribute.i = 0

    def _constant(self, value: np.ndarray) -> str:
        data = np.asarray(value, order="C")
        digest = hashlib.sha256(f"{data.dtype}{data.shape}".encode() + data.tobytes())
        name = f"c:{digest.hexdigest()[:12]}"
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(data, name)
        return name

    def _weight(self, weight: Weight) -> str:
        """The name under which nodes can read a weight in float32, as the path uses it."""
        if math.prod(weight.shape) * weight.full.itemsize <= _INLINE_BYTES:
            return self._constant(weight.value.astype(_readable(weight.full.dtype)))
        stored = self._store.add(weight.full)
        self._uses[use_of(weight, stored)] = None
        first = weight.cut[0]
        is_prefix = isinstance(first, slice) and first.start in (None, 0)
        rows = weight.shape[0] if is_prefix else weight.full.shape[0]
        name = f"{weight.name}[{stored.offset},{rows}]"
        if name not in self._initializers:
            row_bytes = stored.length // weight.full.shape[0]
            kind = helper.np_dtype_to_tensor_dtype(weight.full.dtype)
            place = Stored(stored.offset, rows * row_bytes)
            shape = (rows, *weight.full.shape[1:])
            self._initializers[name] = external_tensor(name, kind, shape, place)
        read = self._sliced(name, weight, skip_first=is_prefix)
        if weight.full.dtype == np.float16:
            read = self._once(f"{read}:f32", "Cast", [read], to=TensorProto.FLOAT)
        return read

    def _sliced(self, name: str, weight: Weight, *, skip_first: bool) -> str:
        cuts = [
            (axis, *cut.indices(size)[:2])
            for axis, (cut, size) in enumerate(zip(weight.cut, weight.full.shape, strict=True))
            if isinstance(cut, slice)
            and cut.indices(size)[:2] != (0, size)
            and not (skip_first and axis == 0)
        ]
        for axis, cut in enumerate(weight.cut):
            if isinstance(cut, tuple):
                name = self._gathered(name, axis, cut)
        if not cuts:
            return name
        axes, starts, ends = (np.asarray(column, np.int64) for column in zip(*cuts, strict=True))
        inputs = [name, self._constant(starts), self._constant(ends), self._constant(axes)]
        return self._once(f"{name}:{'x'.join(map(str, weight.shape))}", "Slice", inputs)

    def _gathered(self, name: str, axis: int, ranges: tuple[slice, ...]) -> str:
        """Several ranges of an axis of a stored tensor, one after the other."""
        pieces = []
        for r in ranges:
            borders = (self._constant(np.asarray([at], np.int64)) for at in (r.start, r.stop, axis))
            output = f"{name}:{axis}[{r.start}:{r.stop}]"
            pieces.append(self._once(output, "Slice", [name, *borders]))
        return self._once("+".join(pieces), "Concat", pieces, axis=axis)

    def _once(self, output: str, op_type: str, inputs: list[str], **attributes: Any) -> str:
        if output not in self._views:
            self._views.add(output)
            self._nodes.append(helper.make_node(op_type, inputs, [output], **attributes))
        return output


def _value_info(spec: TensorSpec) -> ValueInfoProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    return helper.make_tensor_value_info(spec.name, kind, spec.shape)


def _with_own_bias(node: NodeProto, operation: PlannedOperation) -> NodeProto:
    """A layer's node with a bias exactly if it has one on this path.

    That is not the same on all paths: a norm folds into the layer before it where nothing else
    reads that layer, and which operations read it depends on what a path leaves out.
    """
    if node.op_type not in _LAYERS or node.input[1] != f"{_WEIGHT}weight":
        return node  # or a part of a larger module, whose weights have other names
    fitted = NodeProto()
    fitted.CopyFrom(node)
    has_bias = _BIAS.removeprefix(_WEIGHT) in operation.weights
    fitted.input[:] = [*node.input[:2], *([_BIAS] if has_bias else [])]
    return fitted


def _check_weights_read(nodes: Sequence[NodeProto], operation: PlannedOperation) -> None:
    """A weight that no node reads would be a path that computes something else."""
    read = {name for node in nodes for name in node.input}
    for name in operation.weights:
        if f"{_WEIGHT}{name}" not in read:
            raise LoweringError(
                f"its {name} has no place in what was exported",
                where=f"operation {operation.label}",
                fix="report this model",
            )


def _multiplies_rows(node: NodeProto, operation: PlannedOperation, batch: int) -> bool:
    """Whether a matrix is multiplied by one row for each example."""
    return (
        node.op_type == "Gemm"
        and node.input[1].startswith(_WEIGHT)
        and any(a.name == "transB" and a.i == 1 for a in node.attribute)
        and math.prod(operation.shape[:-1]) == batch
    )


def _readable(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float32) if dtype == np.float16 else dtype
