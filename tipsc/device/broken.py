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
#: what ssh, or the start of an agent, has in a line; what that means, and what is to be done then
SAID = {
    "Permission denied (": (
        "the device does not let this user in",
        "give it your key (ssh-copy-id), and see that `ssh` gets in without asking for anything",
    ),
    "Host key verification failed": (
        "the device's host key is not the one that is known",
        "find out why; if it is right, run ssh-keygen -R HOST and log in once by hand",
    ),
    "Could not resolve hostname": (
        "no host has this name",
        "correct the name, or give its address",
    ),
    **dict.fromkeys(
        ("Connection refused", "No route to host", "Network is unreachable", "timed out"),
        (
            "the device cannot be reached",
            "see that it is on, in this network, and has sshd running",
        ),
    ),
    **dict.fromkeys(
        ("too old for tipsc", "SyntaxError", "keyword argument 'exist_ok'"),
        (
            "the device's Python is too old",
            "install Python 3.10 or newer there, or name it in the URL: python=/path/to/python3",
        ),
    ),
    **dict.fromkeys(
        ("No space left on device", "Disk quota exceeded"),
        (
            "the device's disk is full",
            "free space there, or name a folder on another disk in the URL: root=/folder",
        ),
    ),
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


def explain_break(link: Link, status: int | None, said: str, *, greeted: bool) -> DeviceLinkError:
    """The error of a link that ended.

    Args:
        status: of its command, negative for a signal; None where it still runs.
        said: what its command and the device's shell said, many lines or none.
        greeted: whether the agent had answered before.
    """
    lines = [line for line in said.strip().splitlines() if not line.startswith("* daemon ")]
    got = lines[-1].strip() if lines else f"exit status {status}" if status else None
    over_adb = link.command[:1] == ("adb",)
    known = [(line, reason) for line in lines for word, reason in SAID.items() if word in line]
    if greeted:
        what = "the link to the device broke, or its agent was killed"
        fix = "see that the device is up, then start it again"
    else:
        what = "no agent answers on the device"
        fix = "see that a command gets through to it by hand, then start it again"
    if over_adb and status == 1 and lines and lines[0].startswith(("error: ", "adb: ")):
        what, got = "adb does not reach the device", lines[0].rstrip(".")
        fix = next(fix for part, fix in ADB_FIXES.items() if part in lines[0])
    elif known and not greeted:
        got, (what, fix) = known[-1][0].strip(), known[-1][1]
    elif status in NOT_RUN:
        what = f"{link.python} does not run on the device"
        fix = "install Python 3.8 or newer there (to build, 3.10), or name it in the URL: "
        fix += "python=/path/to/python3"
        if over_adb:
            fix += "; a phone brings none, and adb may not run that of an app such as Termux: "
            fix += "reach Termux by ssh:// instead (docs/device.md)"
    elif status == NO_FOLDER:
        what, fix = (
            "the device has no folder for tipsc's files",
            "name one that is new or empty in the URL: root=/folder",
        )
    elif over_adb:
        fix = "see that adb devices lists it as a device, then start it again"
    return DeviceLinkError(what, where=link.url, got=got, fix=fix)
