"""What is tried before a model is built: which paths, why, and what they showed."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

from tipsc.elastic import Supernet
from tipsc.errors import VerificationError
from tipsc.paths import Path, SearchSpace

RANDOM = 2  # paths beside those that are chosen for what they have
CALIBRATED = 4  # images: the statistics need not be good ones, but of the path


@dataclass(frozen=True)
class TriedPath:
    """A path that was compiled for the target, and compared.

    Attributes:
        id: of the path.
        why: what it is there for.
        macs, parameters: of the path.
        difference: largest from torch, relative to the largest output; None: it did not run.
        torch_s, engine_s: seconds for one example, in torch and compiled, in a batch and alone.
    """

    id: str
    why: str
    macs: int
    parameters: int
    difference: float | None
    torch_s: float | None
    engine_s: float | None


@dataclass(frozen=True)
class Problem:
    """Why a build would fail.

    Attributes:
        path: its id; "" where it concerns all of them.
        layer: that is compiled wrongly; "" where none can be named.
        what: one sentence.
    """

    path: str
    layer: str
    what: str


@dataclass(frozen=True)
class Precheck:
    """What was tried, and what came of it.

    Attributes:
        problems: why a build would fail; none: nothing was found.
        calibrate_s: seconds for one path, with :data:`CALIBRATED` images.
        export_s: seconds that compiling takes whatever the number of paths.
        compile_s: seconds for each path beside that.
        remark: of the compiler; "" for nothing.
    """

    paths: tuple[TriedPath, ...]
    problems: tuple[Problem, ...]
    calibrate_s: float
    export_s: float = 0.0
    compile_s: float = 0.0
    remark: str = ""

    def require(self) -> None:
        """Refuses a build that would fail.

        Raises:
            VerificationError: the first problem.
        """
        if self.problems:
            first = self.problems[0]
            raise VerificationError(
                first.what,
                where=f"path {first.path}" if first.path else None,
                fix="replace the layer, or build for another target"
                if first.layer
                else "build for another target, or change the model",
            )


def paths_to_try(supernet: Supernet, seed: int) -> dict[Path, str]:
    """Paths that show what can go wrong, and what each is there for.

    The smallest, the largest, those that end early, for each kind of choice one path that has as
    little of it and one that has as much of it as can be, and :data:`RANDOM` random ones.
    """
    space = supernet.space
    found = {space.largest: "largest", space.smallest: "smallest"}
    for path in supernet.spanning:
        found.setdefault(path, "ends early")
    for kind, names in _kinds(space).items():
        least = {name: space[name].smallest for name in names}
        most = {name: space[name].largest for name in names}
        found.setdefault(space.path({**space.largest.options, **least}), f"largest, least {kind}")
        found.setdefault(space.smallest_with(most), f"smallest, most {kind}")
    chance = random.Random(seed)
    for _ in range(RANDOM):
        found.setdefault(space.sample_options(chance), "random")
    return found


def _kinds(space: SearchSpace) -> dict[str, list[str]]:
    """The choices by their kind: the last part of their names, without a number behind it."""
    kinds: dict[str, list[str]] = {}
    for choice in space.choices:
        last = choice.name.rpartition(".")[2]
        kinds.setdefault(last.rstrip(string.digits) or last, []).append(choice.name)
    return kinds
