"""Operations in terms of others that give exactly the same, and that all later steps know."""

from __future__ import annotations

import torch

from tipsc.convert.blame import blamed_on
from tipsc.convert.ops import op_of
from tipsc.convert.program import Program
from tipsc.convert.writer import Writer


def rewrite(program: Program) -> None:
    """Replaces each operation whose record says how.

    Later ones first: they look at what they read as the model wrote it.
    """
    for node in reversed(program.nodes()):
        make = op_of(node).rewrite
        if make is None or not isinstance(node.target, torch._ops.OpOverload):
            continue
        program.check_time(node)
        with blamed_on(node):
            made = make(Writer(program, node))
        if made is None:
            continue
        if isinstance(node.meta["val"], tuple | list):  # of whose parts only the first is read
            for item in list(node.users):
                program.replace(item, made)
                program.graph.erase_node(item)
        else:
            program.replace(node, made)
        program.graph.erase_node(node)
