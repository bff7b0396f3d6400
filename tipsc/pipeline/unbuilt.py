"""An engine that is left unbuilt: its recipe, and its paths tried as far as that goes here.

Where what builds plans is installed here as well, it tries every path, and those that differ in
depth as one plan.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tipsc.backends import finisher
from tipsc.backends.finishing import PathCheck
from tipsc.engine import read_engine
from tipsc.engine.atomic import write_atomically
from tipsc.engine.manifest import TAKEN
from tipsc.engine.plan import paths_of, plan_name
from tipsc.errors import VerificationError
from tipsc.fingerprint.installed import versions
from tipsc.pipeline.plan import BuildPlan
from tipsc.progress import Progress
from tipsc.project.target import Target

_CHECKS = "checks.json"


def recipe_of(target: Target, plan: BuildPlan, remark: str) -> dict[str, str]:
    """What the device has to do, and what it should know of the paths; see :class:`Manifest`.

    Args:
        remark: of the compiler; "" for nothing.
    """
    return {
        "precision": target.precision,
        "plans": finisher(target.backend).PLANS,
        "paths chosen by": plan.chosen_by,
        "verified with": plan.verifies_as,
        **({"remark": remark} if remark else {}),
        **{f"{TAKEN}{name}": value for name, value in plan.taken.items()},
    }


def tried_with(target: Target) -> dict[str, object]:
    """What tries the paths here, and how: part of the engine's key."""
    left = finisher(target.backend)
    module = left.installed()
    return {
        "checked with": module and f"{module} {versions([module])[module]}",
        "plans": left.PLANS,
    }


def try_paths(target: Target, file: Path, folder: Path, progress: Progress) -> None:
    """Has each path of an engine compiled without the device, and keeps what came of it.

    Raises:
        VerificationError: a path is refused.
    """
    checks: tuple[PathCheck, ...] = ()
    left = finisher(target.backend)
    module = left.installed()
    if module is not None:
        engine = read_engine(file)
        ids = [path.id for path in engine.manifest.paths]
        groups = left.depth_groups({name: engine.graph(name) for name in ids})
        checks = left.check_engine(
            file,
            [*ids, *map(plan_name, groups)],
            lambda done, all_: progress(done, all_, module),
        )
    # A group that is refused costs nothing but the saving: its paths keep a plan each.
    alone, _ = by_paths(checks)
    refused = [f"{check.path_id}: {check.problem}" for check in alone if check.problem]
    if refused:
        raise VerificationError(
            f"{module} refuses {len(refused)} of {len(alone)} paths",
            got="; ".join(refused),
            fix="replace the layers that are named",
        )
    write_atomically(folder / _CHECKS, [json.dumps([asdict(c) for c in checks], indent=1).encode()])


def load_checks(folder: Path) -> tuple[PathCheck, ...]:
    """What :func:`try_paths` kept."""
    return tuple(PathCheck(**check) for check in json.loads((folder / _CHECKS).read_text()))


def by_paths(
    checks: Sequence[PathCheck],
) -> tuple[tuple[PathCheck, ...], tuple[PathCheck, ...]]:
    """Checks of single paths, and of several as one."""
    return (
        tuple(check for check in checks if len(paths_of(check.path_id)) == 1),
        tuple(check for check in checks if len(paths_of(check.path_id)) > 1),
    )
