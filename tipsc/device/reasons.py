"""Why there is no link: from what its program said, one sentence and what to do about it."""

from __future__ import annotations

from tipsc.errors import DeviceLinkError

#: words of ssh, a shell or Python, to what is wrong and what puts it right; the first that fits
_SAID = (
    (("Permission denied (",), "the device does not let this user in",
     "give it your key (ssh-copy-id), and see that `ssh` gets in without asking for anything"),
    (("Host key verification failed",), "the device's host key is not the one that is known",
     "find out why; if it is right, run ssh-keygen -R HOST and log in once by hand"),
    (("Could not resolve hostname",), "no host has this name",
     "correct the name, or give its address"),
    (("Connection refused", "No route to host", "Network is unreachable", "timed out"),
     "the device cannot be reached", "see that it is on, in this network, and has sshd running"),
    (("python3: not found", "command not found", "No such file or directory\n", "inaccessible or"),
     "the device has no such Python", "install one there, or name it: ?python=/path/to/python3"),
    (("too old for tipsc", "SyntaxError", "keyword argument 'exist_ok'"),
     "the device's Python is too old",
     "tipsc needs 3.10 there: install it, or name it: ?python=/path/to/python3"),
    (("PermissionError", "Read-only file system", "FileNotFoundError", "NotADirectoryError"),
     "the agent cannot write its folder on the device", "name another folder: ?root=/folder"),
    (("No space left", "Disk quota exceeded"), "the device's disk is full",
     "free space there, or name a folder on another disk: ?root=/folder"),
)  # fmt: skip


def never_made(url: str, said: str) -> DeviceLinkError:
    """Before the agent greeted.

    Args:
        said: what the link's program and the device wrote on stderr.
    """
    for words, what, fix in _SAID:
        if any(word in f"{said}\n" for word in words):
            return DeviceLinkError(what, where=url, got=_line(said, words), fix=fix)
    return DeviceLinkError(
        "no agent answers on the device",
        where=url,
        got=_line(said, ()),
        fix="see that a command gets through to it by hand, and that it has Python 3.10 or newer",
    )


def broke(url: str, said: str) -> DeviceLinkError:
    """After that."""
    if "No space left" in said:
        return never_made(url, said)
    return DeviceLinkError(
        "the link to the device broke, or its agent was killed",
        where=url,
        got=_line(said, ()),
        fix="see that the device is up, and start the command again",
    )


def _line(said: str, words: tuple[str, ...]) -> str | None:
    """The line that says it, else the last one."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    fitting = [line for line in lines if any(word.strip() in line for word in words)]
    found = fitting or lines
    return found[-1] if found else None
