"""Whether a model answers to an example the same, whatever others stand beside it."""

from __future__ import annotations

from tipsc.batch import Tensors, flat, joined, mapped, rows
from tipsc.convert.check import difference, require_alone, unlike
from tipsc.elastic import Supernet, extract
from tipsc.elastic.looking import looking


def check_alone(supernet: Supernet, inputs: Tensors) -> None:
    """Refuses a model whose answer to the first example depends on the others.

    Args:
        inputs: of two examples.

    Raises:
        ConversionError: it does.
    """
    net, signature = extract(supernet, supernet.space.largest), supernet.signature
    alone = rows(inputs, slice(1))
    with looking(net):
        by_itself = signature.gives.flat(net(*flat(alone)), "the output")
        among = net(*flat(joined([inputs, mapped(unlike, alone)])))
    firsts = [
        value if spec.batch_axis is None else value.narrow(spec.batch_axis, 0, 1)
        for value, spec in zip(
            signature.gives.flat(among, "the output"), signature.outputs, strict=True
        )
    ]
    require_alone(net, difference(by_itself, firsts))
