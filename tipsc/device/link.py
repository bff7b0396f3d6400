"""Links: a device's URL as the command that runs Python there, with its pipes as ours.

``local``, ``ssh://[user@]host[:port]`` (the system's OpenSSH with its own configuration, keys and
jump hosts) and ``adb://serial``. ``?python=/path/to/python3`` chooses the interpreter,
``?quota=8G`` how much the agent may keep there (2 GiB), and ``?root=/folder`` where:
``~/.cache/tipsc-device``, or on a phone, where adb's user has no home that it may write,
``/data/local/tmp/tipsc-device``. A folder is taken only if it is new, empty or marked as tipsc's:
one that holds anything else, is a link or belongs to another user is refused. Nobody else can read
it.
"""

from __future__ import annotations

import base64
import re
import shlex
import sys
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from tipsc.device import agent
from tipsc.errors import UsageError, near

ROOT = "~/.cache/tipsc-device"
OPTIONS = ("python", "quota", "root")
NO_FOLDER = 73  # the status of a start that may write nowhere; EX_CANTCREAT of sysexits.h
SSH = ("ssh", "-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=5",
       "-o", "ServerAliveCountMax=3", "-o", "ConnectTimeout=15")  # fmt: skip
#: without a terminal, so that bytes stay what they are and both outputs stay apart
ADB = ("shell", "-T")

#: puts the agent in place unless it is there with the same content, and becomes it
_START = """
import hashlib,os,sys
digest,size,roots={digest!r},{size},[{root!r}]
os.umask(0o77)
if {phone}: roots.append(os.environ.get('TMPDIR','/data/local/tmp')+'/tipsc-device')
for root in map(os.path.expanduser,roots):
    try:
        os.makedirs(root,mode=0o700,exist_ok=True)
        names=os.listdir(root)
        others=sorted(n for n in names if n not in {own!r} and not n.startswith('agent-'))
        if os.path.islink(root): why=root+' is a symbolic link'
        elif os.stat(root).st_uid!=os.geteuid(): why=root+' belongs to another user'
        elif others and {marker!r} not in names:
            why=root+' holds what tipsc did not put there, such as '+others[0]
        elif not os.access(root,os.W_OK): why=root+' cannot be written'
        else:
            os.chmod(root,0o700)
            open(os.path.join(root,{marker!r}),'a').close()
            break
    except OSError as error: why=error
else:
    os.write(2,str(why).encode())
    os._exit({no_folder})
file=os.path.join(root,'agent-'+digest[:16]+'.py')
try: have=hashlib.sha256(open(file,'rb').read()).hexdigest()==digest
except OSError: have=False
os.write(1,b'have\\n' if have else b'push\\n')
if not have:
    text=b''
    while len(text)<size:
        part=os.read(0,size-len(text))
        if not part: sys.exit(1)
        text+=part
    part=file+'.%d'%os.getpid()
    with open(part,'wb') as stream: stream.write(text)
    os.replace(part,file)
os.execv(sys.executable,[sys.executable,'-u',file,'serve',root])
"""


@dataclass(frozen=True)
class Link:
    """How a device is reached.

    Attributes:
        url: as it was given.
        command: words before the one word that the device's shell reads; () for this machine.
        python: interpreter on the device.
        root: folder on the device; ``~`` is its user's.
        phone: whether the shell's TMPDIR will do where ``root`` cannot be written.
        quota: bytes that the agent may keep there; None: its own bound.
    """

    url: str
    command: tuple[str, ...]
    python: str
    root: str
    phone: bool = False
    quota: int | None = None

    def start(self, digest: str, size: int) -> list[str]:
        """The command that starts an agent of this content there."""
        code = _START.format(
            root=self.root,
            phone=self.phone,
            digest=digest,
            size=size,
            no_folder=NO_FOLDER,
            own=agent.OWN,
            marker=agent.MARKER,
        ).encode()
        program = f"import base64;exec(base64.b64decode({base64.b64encode(code).decode()!r}))"
        if not self.command:
            return [self.python, "-c", program]
        return [*self.command, f"exec {shlex.quote(self.python)} -c {shlex.quote(program)}"]


def parse_link(url: str) -> Link:
    """The link of a device's URL.

    Raises:
        UsageError: it is not one.
    """
    if not unquote(url).isprintable():  # no program can be given a NUL
        raise _not_a_url(repr(url))
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _not_a_url(url) from None
    options = _options(url, parts.query)
    python, root = options.pop("python", None), options.pop("root", None)
    quota = _bytes(url, options.pop("quota", None))
    if parts.fragment:
        raise _not_a_url(url)
    if not parts.scheme and parts.path == "local":
        return Link(url, (), python or sys.executable, root or ROOT, quota=quota)
    if parts.path not in ("", "/") or not parts.netloc or parts.netloc.startswith("-"):
        raise _not_a_url(url)
    if parts.scheme == "ssh":
        return Link(url, _ssh(url, parts), python or "python3", root or ROOT, quota=quota)
    if parts.scheme == "adb":  # a serial is no host: case counts, and usb:1-4 is one
        command = ("adb", "-s", unquote(parts.netloc), *ADB)
        return Link(
            url, command, python or "python3", root or ROOT, phone=root is None, quota=quota
        )
    raise _not_a_url(url)


def _ssh(url: str, parts: SplitResult) -> tuple[str, ...]:
    try:
        port = parts.port
    except ValueError:
        raise _not_a_url(url) from None
    host = parts.hostname
    if not host or host.startswith("-") or parts.password:
        raise _not_a_url(url)
    words = [*SSH, *(["-p", str(port)] if port else [])]
    words += ["-l", unquote(parts.username)] if parts.username else []
    return (*words, "--", host)


def _options(url: str, query: str) -> dict[str, str]:
    """What follows the ``?``: each once, and none without a value."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            raise UsageError(f"a device has no option {name!r}", where=url, fix=near(name, OPTIONS))
        if name in found:
            raise UsageError(f"the option {name!r} is given twice", where=url)
        if not value or not value.isprintable():
            raise UsageError(f"this is no {name}", where=url, expected="a value", got=repr(value))
        found[name] = value
    return found


def _bytes(url: str, text: str | None) -> int | None:
    """``8G`` or ``500M`` or a number: powers of 1024."""
    if text is None:
        return None
    number = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", text)
    found = int(number[1]) << 10 * ("KMGT".find(number[2] or "-") + 1) if number else 0
    if not 0 < found <= agent.MAX_QUOTA:
        raise UsageError(
            "this is no quota", where=url, expected="such as 8G or 500M, at most 1024T", got=text
        )
    return found


def _not_a_url(url: str) -> UsageError:
    return UsageError(
        "this is no device",
        expected="local, ssh://[user@]host[:port] or adb://serial, then options: "
        "?python=...&root=...&quota=...",
        got=url,
    )
