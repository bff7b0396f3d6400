"""A plain torch module becomes a supernet."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from tipsc.convert.analyse import analyse
from tipsc.convert.assemble import assemble
from tipsc.convert.blame import said_of
from tipsc.convert.blocks import find_stages, residual_additions
from tipsc.convert.capture import capture
from tipsc.convert.check import check_paths, check_resolutions, check_same
from tipsc.convert.choices import Plan, make_plan
from tipsc.convert.converted import ConvertedSupernet
from tipsc.convert.exits import Exits, check_wanted, depths, divided, find_exits
from tipsc.convert.given import Given, given_of
from tipsc.convert.importance import Importance, norms, permuted
from tipsc.convert.kernels import find_kernels
from tipsc.convert.outputs import outputs_on, signature_of
from tipsc.convert.program import Program
from tipsc.convert.report import ExitRow, Kept, Report, Row
from tipsc.convert.resolutions import find_resolutions
from tipsc.convert.units import Structure
from tipsc.convert.unwrap import unwrapped
from tipsc.elastic.cost import CostModel
from tipsc.elastic.ratios import settle_ratios
from tipsc.errors import ConversionError
from tipsc.fingerprint.values import fingerprint
from tipsc.progress import Progress, silent

WIDTHS = (0.25, 0.5, 0.75, 1.0)


_STEPS = 5  # that progress is told of


def convert(
    model: nn.Module,
    example_inputs: Any,
    *,
    widths: Sequence[float] = WIDTHS,
    depth: bool = True,
    streams: bool = False,
    kernels: bool = False,
    resolutions: Sequence[int] | None = None,
    exits: bool | int | Sequence[int] = False,
    importance: Importance = norms,
    batch_axes: Mapping[str, int | None] | None = None,
    progress: Progress = silent,
) -> ConvertedSupernet:
    """Finds what can be elastic in a model and makes it so; its weights are kept.

    The largest path computes what the model computes in eval mode, to within the rounding of
    float32; this is checked here, and so is that some paths equal their extraction. (That a path is
    the model without the units that it leaves out is what the tests hold, for each architecture.)
    The model itself is not changed; the supernet has copies of its weights, and is in eval mode.

    Args:
        model: with float32 weights, for any batch size. It may take several tensors, and give a
            tuple, list, dict or dataclass of them; each has at most one axis of the examples.
        example_inputs: one batch as the model takes it: a tensor (N, ...), a tuple of its
            arguments, or a dict of its keyword arguments; float32, int64, int32 or bool. The
            supernet takes their tensors one after the other, and then a path.
        widths: shares of channels or heads that options keep, rounded to whole heads and groups
            and, in wider layers, to multiples of 4 or 8 channels.
        depth: whether residual branches can be left out.
        streams: whether residual streams have a choice of their width, which all that is added to
            one follows: embeddings, projections, norms and what reads them.
        kernels: whether depthwise convolutions that are padded have a choice of their kernel's
            size, 3, 5, ..., if it is odd; a smaller kernel is the middle of the full one.
        resolutions: of the input, in pixels a side, for a fully convolutional model of square
            images; the example's own is always among them. The engine's input keeps that size:
            a path resizes its input itself, see :class:`tipsc.elastic.resolution.ElasticResize`.
        exits: whether paths can leave after a stage, through a copy of the head or a small one that
            is new; it has to be trained, see :func:`fit_exits`: True for all stages where that is
            possible, or how many (spread over the MACs), or the numbers of stages, from 1 on. The
            report says where it is not possible, and why.
        importance: what keeps units longest: :func:`norms` (no data) or ``taylor(batches, loss)``.
        batch_axes: by the name of an input, its axis of the examples, or None if it has none. Of
            an input that is not there it is the first axis that is as long as the first input's
            first axis; give more than one example, so that this is clear.
        progress: is told of each step.

    Raises:
        ConversionError: the model cannot be traced, or nothing of it can be elastic, or what came
            out is not the same model.
    """
    with said_of(type(model).__name__):
        model = unwrapped(model)
        given = given_of(model, example_inputs, batch_axes)
        return _converted(
            model, given, widths, depth, streams, kernels, resolutions, exits, importance, progress
        )


def _converted(
    model: nn.Module,
    given: Given,
    widths: Sequence[float],
    depth: bool,
    streams: bool,
    kernels: bool,
    resolutions: Sequence[int] | None,
    exits: bool | int | Sequence[int],
    importance: Importance,
    progress: Progress,
) -> ConvertedSupernet:
    begin = time.perf_counter()
    progress(0, _STEPS, "tracing")
    shares = sorted({float(width) for width in widths} | {1.0})
    if not 0 < shares[0] <= shares[-1] <= 1:
        raise ConversionError(
            "widths must be shares of the whole", got=list(widths), expected="(0, 1]"
        )
    check_wanted(exits)
    program = capture(model, given)
    progress(1, _STEPS, "analysing")
    outputs = outputs_on(model, given)
    signature = signature_of(program, given, outputs.tree)
    made_of = fingerprint((list(program.operations()), program.values))
    additions = residual_additions(program)
    structure = analyse(program, () if streams else additions)
    stages = find_stages(program, additions)
    found = Exits()
    if exits is not False:
        stages = divided(stages)
        found = find_exits(program, structure, stages, exits)
    kept = depths(stages, found) if depth else []
    sized = find_kernels(program) if kernels else {}
    plan = make_plan(program, structure, additions, kept, shares, found, sized)
    if resolutions is not None:
        plan = plan.at_resolutions(find_resolutions(model, program, given, resolutions))
    if not plan.space.choices:
        raise ConversionError(
            "nothing in this model can be elastic",
            where=type(model).__name__,
            got="; ".join(
                f"{k.reason}: {k.layers[0]}" for k in _kept(program, structure, plan)[:4]
            ),
            fix="a path leaves out channels between two layers, or residual blocks: have some",
        )
    progress(2, _STEPS, "assembling")
    weights = permuted(program, structure, plan, importance(model))
    supernet = assemble(program, structure, plan, weights, signature, outputs).eval()
    supernet.made_of = made_of
    progress(3, _STEPS, "comparing")
    difference = check_same(model, supernet, given)
    if plan.resolutions is not None:
        check_resolutions(model, supernet, given, plan.resolutions.choice)
    progress(4, _STEPS, "comparing")
    settle_ratios(supernet)
    costs = CostModel(supernet)
    check_paths(supernet, costs, given.first(1))
    ends = [costs.of(path) for path in (plan.space.largest, plan.space.smallest)]
    supernet.report = Report(
        type(model).__name__,
        _rows(program, plan),
        _kept(program, structure, plan),
        (*program.notes, *structure.notes),
        _exit_rows(plan.exits),
        plan.space.size,
        (ends[0].macs, ends[0].parameters),
        (ends[1].macs, ends[1].parameters),
        difference,
        time.perf_counter() - begin,
    )
    return supernet


def _rows(program: Program, plan: Plan) -> tuple[Row, ...]:
    rows = []
    weights = {choice.name: program.tensors[w] for w, choice in plan.kernels.items()}
    for choice in plan.space.choices:
        if choice.name in weights:
            rows.append(Row(choice.name, "kernel", choice.options, (weights[choice.name],)))
            continue
        members = [e for e in plan.elastic if e.counts.choice.name == choice.name]
        if members:
            names = tuple(dict.fromkeys(name for e in members for name in e.layers))
            rows.append(
                Row(
                    choice.name,
                    choice.name.rpartition(".")[2].rstrip("23456789"),
                    choice.options,
                    names,
                )
            )
            continue
        if choice == plan.exits.choice:
            names = (*(f"after {e.stage}" for e in plan.exits.found), "the model's own head")
            rows.append(Row(choice.name, "exit", choice.options, names))
            continue
        if plan.resolutions is not None and choice == plan.resolutions.choice:
            rows.append(Row(choice.name, "resolution", choice.options, ("the input",)))
            continue
        stage = next(stage for stage, depth in plan.stages if depth.name == choice.name)
        rows.append(Row(choice.name, "depth", choice.options, (f"{len(stage.blocks)} block(s)",)))
    return tuple(rows)


def _exit_rows(exits: Exits) -> tuple[ExitRow, ...]:
    """What became of each stage's end, in order."""
    rows = [ExitRow(number, stage, None, reason) for number, stage, reason in exits.refused]
    for leave in exits.found:
        head = "a copy of the model's head"
        if leave.pooling is not None:
            places = {None: "mean over places, ", 0: "first place, ", -1: "last place, "}
            head = places[leave.pooling.taken] if leave.pooling.places else ""
            head += "new linear layer"
        rows.append(ExitRow(leave.number, leave.stage, head, None))
    return tuple(sorted(rows, key=lambda row: row.number))


def _kept(program: Program, structure: Structure, plan: Plan) -> tuple[Kept, ...]:
    """The output channels of layers that stay, by reason."""
    elastic = {e.units for e in plan.elastic}
    reasons: dict[str, list[str]] = {}
    for node, name in program.tensors.items():
        if len(node.meta["val"].shape) < 2:
            continue
        channels = [units for term in structure.axes[node][0] for units in term]
        if any(units in elastic for units in channels):
            continue
        reasons_here = (u.fixed or "too few units to choose from" for u in channels)
        for reason in dict.fromkeys(reasons_here):
            reasons.setdefault(reason, []).append(name)
    return tuple(Kept(reason, tuple(names)) for reason, names in reasons.items())
