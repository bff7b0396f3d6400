"""The supernet that computes a program on any path of a plan."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from torch import Tensor, fx

from tipsc.convert.blame import blamed_on
from tipsc.convert.choices import Plan
from tipsc.convert.converted import Bypass, Call, ConvertedSupernet
from tipsc.convert.emit import Emitter, Gates, layer_name
from tipsc.convert.heads import add_head, leaves_of
from tipsc.convert.names import Names
from tipsc.convert.ops import build, is_layer
from tipsc.convert.output_tree import OutputTree
from tipsc.convert.program import Program
from tipsc.convert.units import Structure
from tipsc.elastic.resolution import ElasticResize, ElasticRestore
from tipsc.signature import Signature


def assemble(
    program: Program,
    structure: Structure,
    plan: Plan,
    values: Mapping[str, Tensor],
    signature: Signature,
    outputs: OutputTree,
) -> ConvertedSupernet:
    """The supernet with these weights (permuted copies of the program's tensors)."""
    net = ConvertedSupernet(plan.space, signature, outputs)
    layers = [layer_name(program, node) for node in program.nodes() if is_layer(program, node)]
    emitter = Emitter(
        program,
        structure,
        plan.sizes,
        values,
        net,
        Names(layers, net),
        _gates(program, plan),
        net._calls,
        {node: number for number, node in enumerate(program.inputs)},
        itertools.count(len(program.inputs)),
    )
    if plan.resolutions is not None:  # all else reads the resized input as value 0
        place = emitter.place("resize", ElasticResize(plan.resolutions.choice))
        emitter.calls.append(Call(place, (0,), 0, "last", ()))
    leaves, bypasses = leaves_of(program, plan.exits), _bypasses(plan)
    for node in program.nodes():
        program.check_time(node)
        with blamed_on(node):
            build(emitter, node)
        if node in bypasses:
            source, gate = bypasses[node]
            emitter.calls.append(Bypass(emitter.numbers[node], emitter.numbers[source], gate))
        for leave in leaves.get(node, ()):
            add_head(emitter, leave, plan.exits)
    net._finish([_result(emitter, plan, node) for node in program.outputs])
    return net


def _result(emitter: Emitter, plan: Plan, node: fx.Node) -> int:
    """The number of an output's value, which has one size on all paths."""
    value, found = emitter.value(node), plan.resolutions
    if found is None or node not in found.restored:
        return value
    restore = ElasticRestore(found.choice, found.restored[node])
    return emitter.emit("restore", restore, (value,), "last")


def _gates(program: Program, plan: Plan) -> dict[fx.Node, Gates]:
    """What switches on each operation that not all paths compute."""
    gates: dict[fx.Node, Gates] = {}
    for node in program.nodes():
        gate = plan.exits.gate([node])
        if gate is not None:
            gates[node] = (gate,)
    for stage, choice in plan.stages:
        for index, block in enumerate(stage.blocks):
            if index >= stage.kept[0]:
                for node in block.nodes:
                    gates[node] = (*gates.get(node, ()), (choice.name, index + 1))
    return gates


def _bypasses(plan: Plan) -> dict[fx.Node, tuple[fx.Node, tuple[str, int]]]:
    """For the end of each block that can be left out: where it begins, and its gate."""
    return {
        block.exit: (block.entry, (choice.name, index + 1))
        for stage, choice in plan.stages
        for index, block in enumerate(stage.blocks)
        if index >= stage.kept[0]
    }
