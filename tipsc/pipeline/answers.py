"""What three paths of an engine say to some test examples: kept so that a report can show it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tipsc.batch import Batch, arrays
from tipsc.engine.atomic import write_atomically
from tipsc.engine.strict import decode, dumps, encode, loads
from tipsc.lower.verify import Outputs
from tipsc.signature import Signature
from tipsc.tree import Tree, tree_of

FILE = "answers.npz"
_PICTURED = 6  # examples whose inputs are kept
_ROOM = 32 << 20  # bytes of inputs, and of all else


@dataclass(frozen=True)
class _About:
    """What the arrays of the file are: those of the inputs, of the targets, of each path."""

    takes: Tree
    targets: Tree
    gives: Tree
    paths: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Answers:
    """Of some paths of an engine.

    Attributes:
        inputs: of the first few examples, a tree of arrays (n, *shape).
        targets: of the first examples, at least as many: a tree of arrays (N, ...).
        outputs: by path id, the cheapest first, what the engine gives for these: trees of arrays.
    """

    inputs: Any
    targets: Any
    outputs: Mapping[str, Any]


def answers_of(
    batch: Batch, outputs: Mapping[str, Outputs], merit: Mapping[str, float], signature: Signature
) -> Answers:
    """The cheapest path, the best one and one between them, on as many examples as have room.

    Args:
        outputs: of all paths on the examples of `batch`, the cheapest first.
        merit: of each path; higher is better.
    """
    chosen = {path: outputs[path] for path in telling(merit)}
    targets, inputs = arrays(batch.targets), arrays(batch.inputs)
    each = sum(a.nbytes for a in targets) + sum(a.nbytes for o in chosen.values() for a in o.got)
    count = _fitting(each, batch.examples)
    few = min(count, _PICTURED, _fitting(sum(a.nbytes for a in inputs), batch.examples))
    axes = [spec.batch_axis for spec in signature.outputs]
    return Answers(
        inputs=signature.takes.build([a[:few] for a in inputs]),
        targets=tree_of(batch.targets, "targets").build([a[:count] for a in targets]),
        outputs={
            path: found.gives.build(
                [
                    a if axis is None else a.take(range(count), axis)
                    for a, axis in zip(found.got, axes, strict=True)
                ]
            )
            for path, found in chosen.items()
        },
    )


def telling(merit: Mapping[str, float]) -> tuple[str, ...]:
    """The first path, the best one, and the one half-way between them, in order.

    Args:
        merit: by path, the cheapest first; higher is better.
    """
    paths = list(merit)
    best = paths.index(max(paths, key=lambda path: merit[path]))
    # A best path that is the cheapest leaves nothing between: then the costliest is shown as well.
    last = best or len(paths) - 1
    return tuple(paths[place] for place in sorted({0, (last + 1) // 2, last}))


def save_answers(folder: Path, answers: Answers) -> None:
    """Writes them into a folder."""
    gives = tree_of(next(iter(answers.outputs.values())), "outputs")
    about = _About(
        tree_of(answers.inputs, "inputs"),
        tree_of(answers.targets, "targets"),
        gives,
        tuple(answers.outputs),
    )
    kept = [
        *about.takes.flat(answers.inputs, "inputs"),
        *about.targets.flat(answers.targets, "targets"),
        *(array for said in answers.outputs.values() for array in gives.flat(said, "outputs")),
    ]
    stream = io.BytesIO()
    header = np.frombuffer(dumps(encode(about)), np.uint8)
    np.savez_compressed(stream, header, *kept)
    write_atomically(folder / FILE, [stream.getvalue()])


def load_answers(folder: Path) -> Answers:
    """Those of a folder."""
    file = folder / FILE
    with np.load(file, allow_pickle=False) as parts:
        arrays = [parts[f"arr_{number}"] for number in range(len(parts.files))]
    about = decode(_About, loads(arrays[0].tobytes(), str(file)), str(file))
    left = iter(arrays[1:])

    def built(tree: Tree) -> Any:
        return tree.build([next(left) for _ in range(tree.tensors)])

    return Answers(
        built(about.takes), built(about.targets), {path: built(about.gives) for path in about.paths}
    )


def _fitting(nbytes: int, examples: int) -> int:
    """How many examples have room; `nbytes` are those of all of them."""
    return min(examples, max(1, _ROOM * examples // max(nbytes, 1)))
