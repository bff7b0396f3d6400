"""Why a link broke, or was never made: from how its command ended, and from what it said.

ssh and adb end with the status of what ran on the device. A status says more than a message, which
each shell words in its own way; adb tells its own troubles in a line that begins with its name or
``error:``, among others that are of no use here.
"""

from __future__ import annotations

from tipsc.device.link import NO_FOLDER, Link
from tipsc.errors import DeviceLinkError

NOT_RUN = (126, 127)  # of a shell: what was found cannot be run, nothing was found

INSTALL = {
    "adb": "install Android's platform-tools (Debian, Ubuntu: apt-get install adb)",
    "ssh": "install OpenSSH's client (Debian, Ubuntu: apt-get install openssh-client)",
}
#: what a line of adb's has in it, and what is to be done then
ADB_FIXES = {
    "unauthorized": "unlock the device and allow this computer's key, then start it again",
    "offline": "connect it anew, or run adb reconnect offline, then start it again",
    "allocating a pty": "use a device with Android 7 or newer: the shell of this one is too old",
    "": "give a serial that adb devices lists; over a network, run adb connect HOST:PORT before",
}


def explain_missing(link: Link, error: OSError) -> DeviceLinkError:
    """The error of a link whose command cannot be started here."""
    program = link.command[0] if link.command else ""
    return DeviceLinkError(
        "the link cannot be made",
        where=link.url,
        got=str(error),
        fix=INSTALL.get(program, "name one that is here in the URL: python=/path/to/python3"),
    )


def explain_break(link: Link, status: int | None, said: str) -> DeviceLinkError:
    """The error of a link that ended.

    Args:
        status: of its command, negative for a signal; None where it still runs.
        said: what its command and the device's shell said, many lines or none.
    """
    lines = [line for line in said.strip().splitlines() if not line.startswith("* daemon ")]
    got = lines[-1].strip() if lines else f"exit status {status}" if status else None
    over_adb = link.command[:1] == ("adb",)
    what = "the link to the device broke"
    fix = "see that the device is up and has Python 3.8 or newer, then start it again"
    if over_adb and status == 1 and lines and lines[0].startswith(("error: ", "adb: ")):
        what, got = "adb does not reach the device", lines[0].rstrip(".")
        fix = next(fix for part, fix in ADB_FIXES.items() if part in lines[0])
    elif status in NOT_RUN:
        what = f"{link.python} does not run on the device"
        fix = "install Python 3.8 or newer there, or name it in the URL: python=/path/to/python3"
        if over_adb:
            fix += "; a phone brings none, and adb may not run that of an app such as Termux: "
            fix += "reach Termux by ssh:// instead (docs/device.md)"
    elif status == NO_FOLDER:
        what, fix = (
            "the device has no folder for tipsc's files",
            "name one in the URL: root=/folder",
        )
    elif over_adb:
        fix = "see that adb devices lists it as a device, then start it again"
    return DeviceLinkError(what, where=link.url, got=got, fix=fix)
