"""ONE export of the largest path and its early exits, cut into a template for each operation.

Each operation is a submodule of the module that is exported, so that the exporter's own record
of scopes says which ONNX nodes belong to which operation. A path's graph is then put together
from the templates of its operations.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from tipsc.errors import LoweringError, first_line
from tipsc.lower.constants import evaluated
from tipsc.lower.operations import PlannedOperation, PlannedPath, with_values

OPSET = 20
SIZES = "sizes"  # of the parts of a split; surgery fills them in
_PLAIN = re.compile(r"\W")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_SCOPES = "pkg.torch.onnx.name_scopes"


@dataclass(frozen=True)
class Template:
    """The ONNX nodes of one operation.

    Values are named ``in:0``, ``in:1`` ... (inputs), ``out:0`` ... (outputs), ``weight:NAME``,
    and anything else inside. An operation without nodes hands its input on.

    Attributes:
        nodes: in the order of computation.
        constants: small tensors that the nodes read, by the name they have there.
        outputs: how many.
        inputs, shape: of the operation on the path that was exported.
    """

    nodes: tuple[NodeProto, ...]
    constants: Mapping[str, np.ndarray]
    outputs: int
    inputs: tuple[str, ...]
    shape: tuple[int, ...]


class _Part(nn.Module):
    """Picks one of several outputs, and copies it: so the graph says which of them it is."""

    def __init__(self, pick: nn.Module) -> None:
        super().__init__()
        self.pick = pick

    def forward(self, outputs: Any) -> Tensor:
        return self.pick(outputs).clone()


class _Assembled(nn.Module):
    """Runs operations one after the other; operation i is the submodule ``op<i>``."""

    def __init__(
        self,
        operations: Sequence[PlannedOperation],
        given: Sequence[str],
        ends: Sequence[str],
    ) -> None:
        super().__init__()
        self._given, self._ends = tuple(given), tuple(ends)
        for index, operation in enumerate(operations):
            module = with_values(operation)
            self.add_module(f"op{index}", module if operation.item is None else _Part(module))
        self._wiring = [(o.label, o.inputs) for o in operations]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        values: dict[str, Any] = dict(zip(self._given, tensors, strict=True))
        for index, (label, inputs) in enumerate(self._wiring):
            values[label] = getattr(self, f"op{index}")(*(values[i] for i in inputs))
        return tuple(values[label] for label in self._ends)


def export_templates(
    plans: Sequence[PlannedPath], given: Mapping[str, Tensor]
) -> dict[str, Template]:
    """Exports some paths as one module with an output for each; templates by label.

    Args:
        plans: of the largest path, and of others with operations that it does not have.
        given: an input of batch 1 for each label of one.

    Raises:
        LoweringError: torch.onnx cannot export them, or an operation has no clear border.
    """
    by_label = {o.label: o for plan in reversed(plans) for o in plan.operations}
    order = dict.fromkeys(o.label for plan in plans for o in plan.operations)
    operations = [by_label[label] for label in order]
    # Of what is given as it was stored the exporter makes no node.
    stored = {label for label, operation in by_label.items() if not operation.inputs}
    ends = dict.fromkeys(label for plan in plans for label in plan.outputs)
    ends = {label: None for label in ends if label not in given and label not in stored}
    model = _export(operations, list(ends), given)
    graph = model.graph
    groups: dict[int, list[NodeProto]] = {index: [] for index in range(len(operations))}
    constants = {}
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(node)
        else:
            groups[_operation_of(node)].append(node)
    types = {v.name: v.type.tensor_type.elem_type for v in graph.value_info}
    types |= {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.output)}
    parameters = {tensor.name for tensor in graph.input if _is_weight(tensor.name)}
    constants |= {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    results = {output.name for output in graph.output}
    read_later = {name for node in graph.node for name in node.input} | results

    parts: dict[str, dict[int, str]] = {}
    for index, operation in enumerate(operations):
        if operation.item is not None:
            parts.setdefault(operation.inputs[0], {})[operation.item] = groups[index][0].input[0]

    values = {label: [_PLAIN.sub("_", label)] for label in given}
    templates = {}
    for index, operation in enumerate(operations):
        inputs = [values[label][0] for label in operation.inputs]
        nodes = list(_fold_constants(groups[index], constants, types))
        if operation.parts:
            nodes = _with_split(nodes, constants, len(operation.parts))
        if operation.name.partition(".")[0].endswith("_like"):
            nodes = _of_own_shape(nodes, constants, operation.shape)
        if isinstance(operation.module, _ConvNd) and operation.module.bias is None:
            nodes = _without_zero_bias(nodes)
        if operation.item is not None:
            nodes = []  # the split before it has an output for each part
        made = [name for node in nodes for name in node.output]
        inner = {name for node in nodes for name in node.input}
        outer = {
            name for i, group in groups.items() if i != index for n in group for name in n.input
        }
        outputs = [n for n in made if n in outer or n in results]
        if operation.item is not None:
            values[operation.label] = [groups[index][-1].output[0]]
        elif not nodes:
            values[operation.label] = _pass_on(operation, values, parameters, index)
        else:
            unread = [name for name in made if name not in inner]
            values[operation.label] = outputs or unread[:1]
            if operation.parts:
                read = parts.get(operation.label, {})
                values[operation.label] = [
                    read.get(part, f"{operation.label}: unread part {part}")
                    for part in range(len(operation.parts))
                ]
        names = {name: f"in:{i}" for i, name in reversed(list(enumerate(inputs)))}
        names |= {name: f"out:{i}" for i, name in enumerate(values[operation.label]) if nodes}
        names |= {
            p: "weight:" + p.partition(".")[2] for p in parameters if p.startswith(f"op{index}.")
        }
        used = {}
        for name in inner - set(made) - set(names) - {SIZES, ""}:
            if name not in constants:
                raise LoweringError(
                    f"reads the value {name}, which is not one of its inputs",
                    where=f"operation {operation.label}",
                    fix="report this model: its ONNX export mixes operations",
                )
            used[name] = constants[name]
        templates[operation.label] = Template(
            tuple(
                _renamed(node, names) for node in nodes if set(node.output) & (read_later | inner)
            ),
            used,
            len(values[operation.label]),
            operation.inputs,
            operation.shape,
        )
    return templates


def _pass_on(
    operation: PlannedOperation, values: Mapping[str, list[str]], parameters: set[str], index: int
) -> list[str]:
    if not operation.inputs:  # a parameter that others read
        found = [name for name in parameters if name.startswith(f"op{index}.")]
        if not found and operation.weights:  # read by nothing: it is given as it is
            return [f"op{index}.value"]
        if not found:
            raise LoweringError(
                "makes a tensor of the batch's size from nothing, which has no place in the graph",
                where=f"operation {operation.label}",
                fix="write it without torch.arange over the batch, for example with gather",
            )
        return found
    return values[operation.inputs[0]]


def _export(
    operations: Sequence[PlannedOperation], ends: Sequence[str], given: Mapping[str, Tensor]
) -> onnx.ModelProto:
    module = _Assembled(operations, list(given), ends).eval()
    try:
        with _silence(), torch.no_grad():
            program = torch.onnx.export(
                module,
                tuple(given.values()),
                dynamo=True,
                optimize=False,
                opset_version=OPSET,
                verbose=False,
                input_names=[_PLAIN.sub("_", label) for label in given],
                output_names=[f"output{number}" for number in range(len(ends))],
            )
    except Exception as error:
        raise _refusal(operations, error) from error
    assert program is not None
    _leave_out_weights(program.model.graph)
    return onnx.shape_inference.infer_shapes(program.model_proto)


def _is_weight(name: str) -> bool:
    """Whether a value of the exported graph is a parameter or buffer of an operation."""
    return re.match(r"op\d+\.", name) is not None


def _leave_out_weights(graph: Any) -> None:
    """Makes inputs of them: templates have their names only, and protobuf ends at 2 GiB."""
    for name, value in list(graph.initializers.items()):
        if _is_weight(name):
            del graph.initializers[name]
            value.const_value = None
            graph.inputs.append(value)


def _refusal(operations: Sequence[PlannedOperation], error: BaseException) -> LoweringError:
    """Which operations the exporter could not express; what it says itself is no help."""
    said, last = str(error), error
    while last.__cause__ is not None:
        last = last.__cause__
        said += f" {last}"
    unknown = re.search(r"No ONNX function found for <OpOverload\(op='\w+\.(\w+)'", said)
    if unknown is None:
        return LoweringError(
            "the graph of the largest path cannot be exported to ONNX",
            got=f"{type(last).__name__}: {_COLOURS.sub('', first_line(last))}",
            fix="report this model",
        )
    name = unknown[1]
    alike = [o.label.removesuffix(f".{o.name}") for o in operations if o.name.endswith(name)]
    return LoweringError(
        f"ONNX has no operation for {name}, nor torch a way to write it with others",
        where=f"operation {', '.join(alike[:3])}" if alike else "the largest path",
        fix="write it with other operations",
    )


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """The exporter reports its progress on stdout and warns of packages it can do without."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _operation_of(node: NodeProto) -> int:
    scopes = next((p.value for p in node.metadata_props if p.key == _SCOPES), "")
    for scope in scopes.replace("'", " ").replace(",", " ").split():
        if scope.startswith("op") and scope[2:].isdigit():
            return int(scope[2:])
    raise LoweringError(
        f"ONNX node {node.name} ({node.op_type}) belongs to no operation", got=scopes or "no scope"
    )


def _constant(node: NodeProto) -> np.ndarray:
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    is_float = attribute.name.startswith("value_float")
    return np.asarray(value, dtype=np.float32 if is_float else np.int64)


def _fold_constants(
    nodes: Sequence[NodeProto], constants: dict[str, np.ndarray], types: Mapping[str, int]
) -> Iterator[NodeProto]:
    """Evaluates what depends on constants alone (not on weights); yields the other nodes."""
    for node in nodes:
        if node.op_type == "CastLike" and node.input[0] in constants:
            dtype = helper.tensor_dtype_to_np_dtype(types[node.input[1]])
            constants[node.output[0]] = constants[node.input[0]].astype(dtype)
        elif node.input and all(name in constants for name in node.input if name):
            feeds = {name: constants[name] for name in node.input if name}
            constants.update(zip(node.output, evaluated(node, feeds, OPSET), strict=True))
        elif node.op_type == "CastLike" and node.input[1] in types:
            # Older parsers know no such operator.
            yield _cast(node, types[node.input[1]])
        else:
            yield node


def _cast(node: NodeProto, to: int) -> NodeProto:
    cast = helper.make_node("Cast", [node.input[0]], node.output, to=to)
    cast.metadata_props.extend(node.metadata_props)
    return cast


def _with_split(
    nodes: Sequence[NodeProto], constants: Mapping[str, np.ndarray], parts: int
) -> list[NodeProto]:
    """The exporter splits into a sequence and picks from it; few runtimes know sequences."""
    picked = {
        (node.input[0], int(constants[node.input[1]])): node.output[0]
        for node in nodes
        if node.op_type == "SequenceAt"
    }
    result = []
    for node in nodes:
        if node.op_type == "SplitToSequence":
            sequence = node.output[0]
            outputs = [picked.get((sequence, i), f"{sequence}:{i}") for i in range(parts)]
            split = helper.make_node("Split", [node.input[0], SIZES], outputs)
            split.attribute.extend(a for a in node.attribute if a.name == "axis")
            result.append(split)
        elif node.op_type != "SequenceAt":
            result.append(node)
    return result


def _of_own_shape(
    nodes: Sequence[NodeProto], constants: dict[str, np.ndarray], shape: tuple[int, ...]
) -> list[NodeProto]:
    """The exporter asks for the shape of what is read, which is known: it is the output's."""
    asked = {node.output[0] for node in nodes if node.op_type == "Shape"}
    for node in nodes:
        if node.op_type == "Expand" and node.input[1] in asked:
            node.input[1] = f"{node.output[0]}: shape"
            constants[node.input[1]] = np.asarray(shape, np.int64)
    return [node for node in nodes if node.op_type != "Shape"]


def _without_zero_bias(nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """The exporter gives a convolution without a bias zeros as large as the largest path's."""
    kept = []
    for node in nodes:
        if node.op_type in ("Conv", "ConvTranspose"):
            del node.input[2:]
            kept.append(node)
    return kept


def _renamed(node: NodeProto, names: Mapping[str, str]) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    del copy.metadata_props[:]
    copy.ClearField("doc_string")
    copy.ClearField("name")
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names.get(name, name) for name in node.output]
    return copy
