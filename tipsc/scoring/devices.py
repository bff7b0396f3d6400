"""The one or two devices that are scored: from profiles, or estimates where none was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

from tipsc.elastic import Supernet
from tipsc.errors import DataError
from tipsc.factors import Additive
from tipsc.pipeline.fold import check_space, cost_of_profile, predictor_of_profile
from tipsc.profile import Profile, Shares
from tipsc.profile.roofline import estimated_ms
from tipsc.project.target import Target

MACS, MS, ESTIMATED_MS = "MACs", "ms", "estimated ms"


@dataclass(frozen=True, eq=False)
class ScoredDevice:
    """A name with a cost.

    Attributes:
        unit: ``ms``, ``estimated ms`` or ``MACs``.
        source: where the costs come from, and how far to trust them.
    """

    name: str
    cost: Additive
    unit: str
    source: str


def devices_of(
    supernet: Supernet,
    totals: Mapping[str, Additive],
    files: Sequence[FilePath],
    *,
    target: Target | None = None,
    macs: bool = False,
) -> tuple[ScoredDevice, ...]:
    """The devices of these profiles; MACs beside them if asked for, or if there is nothing else.

    Args:
        totals: of the supernet, by :func:`tipsc.elastic.factors.additive_totals`.
        target: if there is no profile, costs are estimated from what is published of it.

    Raises:
        ProfileError: a profile cannot be read, is of another search space, or too small.
        DataError: more than two devices.
    """
    if len(files) + macs > 2:
        raise DataError(
            "score compares one or two devices",
            got=f"{len(files)} profiles{' and MACs' if macs else ''}",
        )
    found: list[ScoredDevice] = []
    profiles = [Profile.load(file) for file in files]
    for profile, file, name in zip(profiles, files, _names(profiles, files), strict=True):
        check_space(profile, supernet.space, where=str(file))
        cost = cost_of_profile(supernet, profile, totals=totals)
        errors = Shares.of(predictor_of_profile(profile, totals).leave_one_out)
        found.append(
            ScoredDevice(
                name,
                cost,
                MS,
                f"{len(profile.paths)} paths measured on {profile.target} ({file}); each predicted "
                f"from the others: {errors.within_10_pct:.0%} within 10 %"
                + (f"; {profile.noise}" if profile.noise else ""),
            )
        )
    if not found and target is not None and target.roofline is not None:
        source = f"nothing was measured: estimated from figures of {target.roofline.device}"
        estimate = estimated_ms(supernet, target.roofline, target.precision)
        found.append(ScoredDevice(target.name, estimate, ESTIMATED_MS, source))
    if macs or not found:
        measured = "counted, not measured" if found else "nothing was measured yet"
        found.append(ScoredDevice(MACS, totals["macs"], MACS, f"{measured}: a path costs its MACs"))
    return tuple(found)


def _names(profiles: Sequence[Profile], files: Sequence[FilePath]) -> list[str]:
    """Their targets, or what else tells them apart."""
    stems = [f"{profile.target}/{file.stem}" for profile, file in zip(profiles, files, strict=True)]
    for names in ([profile.target for profile in profiles], stems):
        if len(set(names)) == len(names):
            return names
    return [f"{place}: {name}" for place, name in enumerate(stems, 1)]
