"""What a build can do here for a target, settled before anything is done.

A target whose engines are finished on the device has none of them here: its paths are chosen by a
profile of such a device that was taken before, else by latencies that are estimated from what is
published of it, else by their MACs; and its engine is left unbuilt. All others are measured, on
this machine or on a device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tipsc.backends import backend
from tipsc.device.measuring import Device, conditions
from tipsc.errors import ConfigError, ProfileError, UsageError
from tipsc.profile import Profile
from tipsc.profile.conditions import check_conditions, conditions_of
from tipsc.project.config import Build
from tipsc.project.target import Roofline, Target


@dataclass(frozen=True)
class BuildPlan:
    """What can be done here.

    Attributes:
        unbuilt: the engine ends without latencies and with a recipe: a device has to finish it.
        verifies_as: the backend that runs the engine's paths, to compare them with torch.
        given: the profile that paths are chosen by; None: they are measured, or if the engine is
            left unbuilt, nothing was measured when they are chosen.
        roofline: of the target: what they are chosen by then; None: their MACs.
        taken: under which conditions that profile was taken.
        remarks: what could not be told of that profile, or makes it doubtful.
    """

    unbuilt: bool
    verifies_as: str
    given: Path | None = None
    roofline: Roofline | None = None
    taken: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def unmeasured(self) -> bool:
        """Whether nothing was measured when paths are chosen."""
        return self.unbuilt and self.given is None

    @property
    def chosen_by(self) -> str:
        """What the paths of an unbuilt engine are chosen by, in words."""
        if self.given is not None:
            return f"the profile {self.given.name}"
        if self.roofline is not None:
            return (
                f"latencies estimated from figures of {self.roofline.device} (nothing was measured)"
            )
        return "MACs (nothing was measured)"


def plan_of(
    target: Target, build: Build, given: Path | None = None, device: Device | None = None
) -> BuildPlan:
    """The plan for a target.

    With a device, the profile that is given has to be taken under the conditions that it is in
    now; without one, the engine keeps them so that ``tipsc finish`` can compare.

    Args:
        given: a profile of such a device.
        device: that is at hand.

    Raises:
        UsageError: a profile is given for a target whose paths are measured.
        ProfileError: the profile is not of this target, or not of the device's conditions.
        ConfigError: the configuration has milliseconds, which only a profile can judge.
    """
    found_backend = backend(target.backend)
    if not found_backend.finishes:
        if given is not None:
            raise UsageError(
                "paths for this target are measured, not chosen by a profile",
                fix="leave --profile out",
            )
        return BuildPlan(False, target.backend)
    runs_here = found_backend.verifies_as or target.backend
    if given is None:
        for key, given_ms in (
            ("budgets_ms", build.budgets_ms),
            ("limits.latency_ms", build.limits.latency_ms),
            ("goals", any(goal.latency_ms for goal in build.goals)),
        ):
            if given_ms:
                raise ConfigError(
                    "milliseconds mean nothing without a profile of the device",
                    where=f"build.{key}",
                    fix="give --profile FILE, or leave this out",
                )
        return BuildPlan(True, runs_here, roofline=target.roofline)
    found = Profile.load(given)
    if found.target != target.name:
        raise ProfileError(
            "the profile is of another target",
            where=str(given),
            expected=target.name,
            got=found.target,
        )
    taken = conditions_of(found)
    remarks: tuple[str, ...] = (f"of the profile: {found.noise}",) if found.noise else ()
    if device is not None:
        remarks += check_conditions(taken, conditions(device, target.backend), str(given))
    return BuildPlan(True, runs_here, given, taken=taken, remarks=remarks)
