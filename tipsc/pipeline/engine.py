"""Stage ``engine``: the chosen paths, compiled into one file, verified and measured as it ships.

Needs the paths as they ship, and what they were chosen by. Nothing in the engine is estimated:
its qualities are those of the compiled paths on the test data, its latencies are of this file on
the device. Where the device has to finish it (see :mod:`tipsc.pipeline.plan`), it has no latencies
and a recipe; its paths are verified all the same, and tried as far as that goes here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from tipsc.batch import Tensors, joined
from tipsc.compile import Compiled, Job, compile_candidates
from tipsc.device.measuring import ThisMachine
from tipsc.elastic import Supernet
from tipsc.engine import Manifest, read_engine
from tipsc.engine.atomic import write_atomically
from tipsc.lower.ranges import CALIBRATION_IMAGES
from tipsc.pipeline.again import like_of
from tipsc.pipeline.answers import Answers, answers_of, save_answers
from tipsc.pipeline.asked import needs_reference
from tipsc.pipeline.asked_paths import asked_paths
from tipsc.pipeline.context import StageSpec, TargetProject, publish
from tipsc.pipeline.goal import estimate_of
from tipsc.pipeline.manifest import make_manifest, with_qualities
from tipsc.pipeline.measured import described, measured_engine
from tipsc.pipeline.narrow import narrowed_supernet, shipped_key
from tipsc.pipeline.profile import measured_key, profiled
from tipsc.pipeline.ship import ship_stage, shipped
from tipsc.pipeline.stages import StageDone
from tipsc.pipeline.train import TRAIN
from tipsc.pipeline.unbuilt import recipe_of, tried_with, try_paths
from tipsc.pipeline.verdicts import LeftOut
from tipsc.pipeline.verify import Verified, verify_engine
from tipsc.pipeline.worth import Worth, all_left_out
from tipsc.progress import Progress, part
from tipsc.project.target import essence_of
from tipsc.search.candidates import Candidate

FILE, VERIFIED = "engine.tipsc", "verified.json"
FIRST_SHARE = 0.6  # of the progress: most builds are written again, without paths that are no use


def _inputs(project: TargetProject) -> dict[str, object]:
    build = project.config.build
    return {
        "shipped": ship_stage(project).key,
        **_measured_by(project),
        "name": project.config.name,
        "target": essence_of(project.target),
        "tolerance": build.tolerance,
        "quantised_loss": build.quantised_loss,
        "verify_examples": build.verify_examples,
        "limits": build.limits.model_dump(),
        "goals": [goal.model_dump() for goal in build.goals],
        "states": build.states,
        "names": build.names,
        "batch": build.batches,
        "data": project.data.test.fingerprint,
        "task": project.task_key,
        **(tried_with(project.target) if project.plan.unbuilt else {}),
    }


def _measured_by(project: TargetProject) -> dict[str, object]:
    """What its paths were chosen by; where they are an engine's, what they are measured on."""
    if like_of(project) is not None:
        runtime = dict(project.device.versions(project.target.backend))
        return {"cpu": project.device.system().cpu, "runtime": runtime, **project.device.essence}
    return {"profile": None if project.plan.unmeasured else measured_key(project)}


def _make(project: TargetProject, folder: Path, progress: Progress) -> None:
    supernet, candidates = narrowed_supernet(project), shipped(project)
    useless: tuple[LeftOut, ...] = ()
    begin = 0.0
    while True:  # measured again, another order of two paths may make one more useless
        end = begin + FIRST_SHARE * (1.0 - begin)
        record, more = _compiled(project, folder, supernet, candidates, part(progress, begin, end))
        if not more:
            break
        useless, begin = all_left_out(useless, more), end
        without = {path.id for path in more}
        candidates = [c for c in candidates if c.path.id not in without]
    progress(1.0, 1.0, "done")
    record["left_out"] = [asdict(path) for path in useless]
    write_atomically(folder / VERIFIED, [json.dumps(record, indent=1).encode()])


def _compiled(
    project: TargetProject,
    folder: Path,
    supernet: Supernet,
    candidates: Sequence[Candidate],
    progress: Progress,
) -> tuple[dict[str, Any], tuple[LeftOut, ...]]:
    """Writes the engine with these paths; what was found of it, and paths that it could do without.

    Where it is left unbuilt, nobody knows which these are.
    """
    file = folder / FILE
    compiled = compile_candidates(
        Job(
            target=project.target,
            supernet=supernet,
            candidates=candidates,
            inputs=_calibration(project),
            cache=project.compiled,
            progress=part(progress, 0.0, 0.15),
            batches=project.config.build.batches,
        )
    )
    manifest = make_manifest(
        project.config.name,
        project.target,
        supernet,
        candidates,
        compiled,
        _provenance(project),
        project.config.build.batches,
    )
    manifest = replace(manifest, states=dict(project.config.build.states))
    verifying = part(progress, 0.15, 0.4)
    verified = _verify(project, file, manifest, compiled, supernet, candidates, verifying)
    differences = verified.differences
    qualities = {name: difference.quality for name, difference in differences.items()}
    manifest = with_qualities(manifest, qualities)
    record: dict[str, Any] = {"differences": {k: asdict(d) for k, d in differences.items()}}
    useless: tuple[LeftOut, ...] = ()
    if project.plan.unbuilt:
        cost = estimate_of(project)
        estimates = {c.path.id: cost.of(c.path) for c in candidates} if cost is not None else {}
        recipe = recipe_of(project.target, project.plan, compiled.remark, estimates)
        compiled.write(file, replace(described(manifest, project), recipe=recipe))
        try_paths(project.target, file, folder, part(progress, 0.4, 1.0))
    else:
        worths = [Worth(c.path.id, qualities[c.path.id].merit) for c in candidates]
        measuring = part(progress, 0.4, 1.0)
        found = measured_engine(project, file, manifest, compiled, worths, measuring)
        record |= found.to_json()
        useless = tuple(path for path in found.useless if path.id not in asked_for(project))
    save_answers(folder, _answers(file, verified, supernet, candidates))
    return record, useless


def asked_for(project: TargetProject) -> frozenset[str]:
    """Ids of paths that ship even if another one covers them: somebody has asked for them."""
    found = {path.id for path in asked_paths(project)}
    if project.like is not None:
        found |= {path.id for path in project.like.paths(project.untrained)}
    if project.model.original is None and needs_reference(project.config.build.goals):
        found.add(project.untrained.space.largest.id)
    return frozenset(found)


def _calibration(project: TargetProject) -> Tensors:
    """Inputs for int8, which needs few."""
    images = min(project.config.build.calibration_images, CALIBRATION_IMAGES)
    return joined(project.data.calibration(images))


def _noise(folder: Path) -> str:
    return read_engine(folder / FILE).manifest.noise


ENGINE: StageSpec[TargetProject] = StageSpec("engine", _inputs, _make, noise=_noise)


def built(project: TargetProject) -> StageDone:
    """The stage with the engine, which then lies where people look for it."""
    stage = project.done(ENGINE)
    publish(stage.folder / FILE, project.output)
    return stage


def _provenance(project: TargetProject) -> dict[str, str]:
    """The keys of what it was made from."""
    like = like_of(project)
    if like is not None:
        known = like.manifest.provenance
        return {
            **{name: known[name] for name in ("trained", "profile") if name in known},
            "weights": shipped_key(project),
            "shipped": ship_stage(project).key,
            "data": project.data.train.fingerprint[:16],
        }
    return {
        "trained": project.done(TRAIN).key,
        "weights": shipped_key(project),
        **({} if project.plan.unmeasured else {"profile": profiled(project).key}),
        "shipped": ship_stage(project).key,
        "data": project.data.train.fingerprint[:16],
    }


def _verify(
    project: TargetProject,
    file: Path,
    manifest: Manifest,
    compiled: Compiled,
    supernet: Supernet,
    candidates: Sequence[Candidate],
    progress: Progress,
) -> Verified:
    """Writes the engine as it can run now, and compares each path with torch."""
    build, backend = project.config.build, project.plan.verifies_as
    compiled.write(file, replace(manifest, backend=backend))
    return verify_engine(
        file,
        project.target.model_copy(update={"backend": backend}),
        supernet,
        candidates,
        project.data.test,
        project.data.judged_by,
        build.verify_examples,
        build.tolerance,
        progress,
        build.quantised_loss,
        device=ThisMachine() if project.plan.unbuilt else project.device,
        batches=build.batches,
    )


def _answers(
    file: Path, verified: Verified, supernet: Supernet, candidates: Sequence[Candidate]
) -> Answers:
    """Of the fastest path as it was measured, the best one, and one between."""
    ids = {candidate.path.id for candidate in candidates}  # others are these for other batches
    paths = [path for path in read_engine(file).manifest.paths if path.id in ids]
    # Unmeasured ones are in order.
    known = [p.id for p in sorted(paths, key=lambda p: p.latency.p50_ms if p.latency else 0.0)]
    outputs = {name: verified.outputs[name] for name in known}
    merit = {name: verified.differences[name].quality.merit for name in known}
    return answers_of(verified.batch, outputs, merit, supernet.signature)
