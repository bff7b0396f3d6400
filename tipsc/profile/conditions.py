"""Whether a profile still holds: the settings under which it was taken, against those of now.

Another power mode or another version of the backend makes other latencies: such a profile is
refused for a device that is at hand. Where one of the two sides is not told, it is used with a
remark.
"""

from __future__ import annotations

from tipsc.errors import ProfileError
from tipsc.profile.profile import Profile

UNKNOWN = "unknown"


def conditions_of(profile: Profile) -> dict[str, str]:
    """Backend, its version and the power mode that a profile was taken with."""
    return {
        "backend": profile.backend.name,
        f"{profile.backend.name} version": profile.backend.version or UNKNOWN,
        "power mode": profile.system.power_mode or UNKNOWN,
    }


def check_conditions(
    taken: dict[str, str], now: dict[str, str], where: str, *, fix: str = "measure again"
) -> tuple[str, ...]:
    """What cannot be told of conditions that should be the same.

    Args:
        taken: of :func:`conditions_of`.
        now: the same of the device.
        where: the profile, for messages.

    Returns:
        A remark for each condition that only one of the two sides tells.

    Raises:
        ProfileError: both tell a condition, and it differs.
    """
    remarks = []
    for name, before in taken.items():
        after = now.get(name, UNKNOWN)
        if UNKNOWN not in (before, after) and before != after:
            raise ProfileError(
                f"the profile was taken with another {name}",
                where=where,
                expected=f"{after}, as on the device",
                got=before,
                fix=fix,
            )
        if before != after:
            side = "the profile" if before == UNKNOWN else "the device"
            remarks.append(f"{side} does not tell its {name}: {before} then, {after} now")
    return tuple(remarks)
