"""The supernet that a conversion gives: a list of calls, some of which a path leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tipsc.convert.output_tree import OutputTree
from tipsc.elastic.supernet import Supernet
from tipsc.paths import Path, SearchSpace
from tipsc.signature import Signature


@dataclass(frozen=True)
class Call:
    """One operation of the forward pass.

    Attributes:
        module: its name in the supernet.
        inputs: numbers of the values that it reads; the first ones are the inputs.
        output: number of the value that it gives.
        with_path: whether the module is given the path, first or last or not.
        gates: (choice, least option) that switch it on, all of them.
    """

    module: str
    inputs: tuple[int, ...]
    output: int
    with_path: str
    gates: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Bypass:
    """After a block: if it was left out, its output is its input."""

    output: int
    source: int
    gate: tuple[str, int]


@dataclass(frozen=True)
class Leave:
    """After a stage: paths with this option of a choice compute a head, and end with it.

    Attributes:
        linear: name of the head's layer with weights.
    """

    choice: str
    option: int
    head: tuple[Call, ...]
    linear: str


class ConvertedSupernet(Supernet):
    """A supernet made of a plain module; see :func:`tipsc.convert.convert`.

    Attributes:
        report: what became elastic, what did not and why.
        made_of: a digest of the model: its operations and tensors; see :mod:`tipsc.fingerprint`.
    """

    report: Any
    made_of: str

    def __init__(self, space: SearchSpace, signature: Signature, outputs: OutputTree) -> None:
        super().__init__(space, signature.inputs)
        self._signature = signature
        self._outputs = outputs
        self._calls: list[Call | Bypass | Leave] = []
        self._results: tuple[int, ...] = (0,)
        self._spent: list[tuple[int, ...]] = []

    @property
    def signature(self) -> Signature:
        return self._signature

    @property
    def leaves(self) -> tuple[Leave, ...]:
        """Where paths can leave early, in order."""
        return tuple(call for call in self._calls if isinstance(call, Leave))

    @property
    def spanning(self) -> tuple[Path, ...]:
        whole = self.space.largest
        early = ({**whole.options, leave.choice: leave.option} for leave in self.leaves)
        return (whole, *map(self.space.path, early))

    def forward(self, *given: Any) -> Any:
        """The outputs on one path: of the tensors of a batch, one after the other, and a path."""
        *tensors, path = given
        values: dict[int, Any] = dict(enumerate(tensors))
        for call, spent in zip(self._calls, self._spent, strict=True):
            if isinstance(call, Leave):
                if path[call.choice] == call.option:
                    for step in call.head:
                        self._run(step, values, path)
                    return self._outputs.build([values[call.head[-1].output]])
            elif isinstance(call, Bypass):
                choice, blocks = call.gate
                if path[choice] < blocks and call.source in values:
                    values[call.output] = values[call.source]
            elif all(path[choice] >= least for choice, least in call.gates):
                self._run(call, values, path)
            for number in spent:
                values.pop(number, None)
        return self._outputs.build([values[number] for number in self._results])

    def _finish(self, results: Sequence[int]) -> None:
        """Notes what the outputs are, and after which call each other value is read no more."""
        last: dict[int, int] = {}
        for place, call in enumerate(self._calls):
            if isinstance(call, Leave):
                used = [number for step in call.head for number in step.inputs]
            elif isinstance(call, Bypass):
                used = [call.source, call.output]
            else:
                used = [*call.inputs, call.output]
            last |= dict.fromkeys(used, place)
        for number in results:
            last.pop(number, None)
        spent: list[list[int]] = [[] for _ in self._calls]
        for number, place in last.items():
            spent[place].append(number)
        self._results, self._spent = tuple(results), [tuple(numbers) for numbers in spent]

    def _run(self, call: Call, values: dict[int, Any], path: Path) -> None:
        module = self.get_submodule(call.module)
        inputs = [values[i] for i in call.inputs]
        if call.with_path == "last":
            values[call.output] = module(*inputs, path)
        elif call.with_path == "first":
            values[call.output] = module(path, *inputs)
        else:
            values[call.output] = module(*inputs)
