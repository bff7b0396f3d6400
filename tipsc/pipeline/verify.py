"""Every path of an engine is compared with torch, where it will run or as near as that goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

from tipsc.backends import check_caches
from tipsc.batch import Batch, Examples, arrays, first, rows
from tipsc.device.measuring import Device, ThisMachine
from tipsc.elastic import Supernet, extract
from tipsc.engine import read_engine
from tipsc.engine.manifest import entry_ids
from tipsc.errors import VerificationError
from tipsc.lower import MOST_LOST, Difference, check_distinct, run_both
from tipsc.lower.verify import Outputs
from tipsc.progress import Progress
from tipsc.project.target import Target
from tipsc.search.candidates import Candidate
from tipsc.tasks import Task

_CACHE_EXAMPLES = 16  # packed weights are right or wrong at once


@dataclass(frozen=True, eq=False)
class Verified:
    """Paths that compute what torch does.

    Attributes:
        differences: by path id, how they differ all the same.
        batch: the test examples that they were compared on.
        outputs: by path id, what they give for these. All ids are those that the engine has.
    """

    differences: Mapping[str, Difference]
    batch: Batch
    outputs: Mapping[str, Outputs]


def verify_engine(
    file: FilePath,
    target: Target,
    supernet: Supernet,
    candidates: Sequence[Candidate],
    examples: Examples,
    task: Task,
    limit: int,
    tolerance: float,
    progress: Progress,
    quantised_loss: float = MOST_LOST,
    device: Device | None = None,
    batches: Sequence[int] = (1,),
) -> Verified:
    """Compares each path of an engine with the extracted torch subnetwork.

    Args:
        examples: with known targets, so that the engine's quality is measured as well.
        task: of the data.
        limit: how many examples of it to use.
        tolerance: of a path in fp32.
        quantised_loss: most quality that a path in int8 or fp16 may lose.
        device: this machine if not given.
        batches: of the engine.

    Raises:
        VerificationError: one differs by more than `tolerance`, or loses too much quality, or
            computes what another does, or something else with the backend's caches than without;
            or the engine has other paths than the candidates.
    """
    entries = [
        (candidate, name, size)
        for candidate in candidates
        for name, size in entry_ids(candidate.path.id, batches).items()
    ]
    ids = [name for _, name, _ in entries]
    engine = read_engine(file)
    unknown = {path.id for path in engine.manifest.paths} ^ set(ids)
    if unknown:
        raise VerificationError(
            "the engine has other paths than were compiled",
            where=file.name,
            got=f"path {min(unknown)}, which is in one of both",
            fix="do not ship this engine; build it again",
        )
    batch, signature = first(examples, limit), supernet.signature
    total = len(entries) * batch.examples
    found, outputs = {}, {}
    device = ThisMachine() if device is None else device
    with device.opened(file, target, ids, arrays(batch.inputs)) as run:
        for index, (candidate, path_id, size) in enumerate(entries):
            before = index * batch.examples
            where = f"path {path_id} of {file.name}"
            outputs[path_id] = run_both(
                lambda example, path=path_id: run(example, path),  # type: ignore[misc]
                extract(supernet, candidate.path, candidate.statistics),
                batch.inputs,
                signature,
                lambda done, _, before=before: progress(before + done, total, "verifying"),  # type: ignore[misc]
                where,
                size,
            )
            found[path_id] = outputs[path_id].difference(batch.targets, task)
            if target.precision == "fp32":
                found[path_id].check(where, tolerance)
            else:
                found[path_id].check_rounded(where, quantised_loss)
    if target.precision != "fp32":
        check_distinct(outputs, file.name)
    few = arrays(rows(batch.inputs, slice(_CACHE_EXAMPLES)))
    check_caches(engine, few, threads=target.threads)
    return Verified(found, batch, outputs)
