"""What a user sees when a device fails: each failure provoked through the command, over ssh.

    python benchmarks/device_failures.py [--only WORD] [--json FILE] [--markdown FILE]

It starts an sshd on loopback with throw-away keys. Of each failure it prints the exit code and the
message as it was printed, whether the command succeeds afterwards, and what was left behind:
processes here and on the device, files in the agent's folder that are no whole blobs, and files in
this machine's temporary folder. Needs root for a full disk, and an old Python (also looked for
among pyenv's) for those; what cannot be provoked here is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import failing  # also puts the tests' helpers on the path
from failing import Case, Seen, during, in_transfer, kill, stop_client
from loopback import free_port, sshd
from synthetic_engine import tiny_net

from tipsc.engine import write_engine

ROOT = Path(__file__).resolve().parents[1]
#: how an import is made to end the job's process, or to need more memory than there is
SEGFAULT = "import ctypes; ctypes.string_at(0)"
HEAD = """\
# What a user sees when a device fails

Printed by `python benchmarks/device_failures.py`: each failure provoked through the command, over
a real sshd on loopback. `URL` is the device's, as it was given. The last three columns count what
was left behind: processes ten seconds after the command, files after it, and either after the
command was given again without the failure. Garbage is tried more widely by the tests: 10,000 wrong
streams to the agent, and 10,000 to the client.

| provoked | exit code | message | again works | processes left | files left | after that |
|---|---|---|---|---|---|---|"""
ABSENT = 'raise ModuleNotFoundError(f"No module named {name!r}", name=name)'
PRINTING = 'echo Welcome to this device; eval "$SSH_ORIGINAL_COMMAND"'


@dataclass
class Place:
    """What all cases share: engines, a project, and the ways into this machine."""

    folder: Path
    port: int
    printing: int
    project: Path
    engine: Path
    large: Path
    cases: int = 0

    def root(self) -> Path:
        self.cases += 1
        return self.folder / f"root{self.cases}"

    def url(self, root: Path, **options: object) -> str:
        given = {"python": sys.executable, "root": root, **options}
        host, port = given.pop("host", "127.0.0.1"), given.pop("port", self.port)
        return f"ssh://{host}:{port}?" + "&".join(f"{k}={v}" for k, v in given.items())

    def bench(self, engine: Path | None = None, *, minutes: int = 0) -> list[str]:
        longer = ["--sustained", str(minutes)] if minutes else []
        return ["bench", str(engine or self.engine), "--rounds", "4", *longer, "--device"]

    def interpreter(self, label: str, blocked: str, instead: str, before: str = "") -> Path:
        """A Python in whose jobs importing a module ends otherwise."""
        folder = self.folder / f"python-{label}"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(
            "import sys\nclass Blocked:\n    def find_spec(self, name, *_):\n"
            f"        if name == {blocked!r} and 'job' in sys.argv:\n            {instead}\n"
            "sys.meta_path.insert(0, Blocked())\n"
        )
        start = f'{before}\nPYTHONPATH={folder} exec {sys.executable} "$@"'
        return script(folder / "python3", start)


def while_it_works(place: Place) -> Iterator[Case]:
    """Something dies in the middle."""
    build = ["build", str(place.project), "--device"]
    long, short = place.bench(minutes=1), place.bench()
    agents, jobs = lambda c: failing.there(c, b"serve"), lambda c: failing.there(c, b"job")
    disturbed: list[tuple[str, list[str], failing.Act, list[str] | None]] = [
        ("agent killed in a build", build, during("measure", kill(agents, SIGKILL)), None),
        ("job killed in a build", build, during("measure", kill(jobs, SIGKILL)), None),
        ("Ctrl-C in a build", build, during("measure", stop_client(SIGINT, group=True)), None),
        ("agent killed", long, during("bench", kill(agents, SIGKILL)), short),
        ("job killed (kill -9)", long, during("bench", kill(jobs, SIGKILL)), short),
        ("ssh killed", long, during("bench", kill(failing.links, SIGKILL)), short),
        ("sshd's session killed", long, during("bench", kill(failing.session_of, SIGKILL)), short),
        ("Ctrl-C", long, during("bench", stop_client(SIGINT, group=True)), short),
        ("SIGINT to the client alone", long, during("bench", stop_client(SIGINT, group=False)),
         short),
        ("SIGTERM to the client", long, during("bench", stop_client(SIGTERM, group=False)), short),
        ("SIGKILL to the client", long, during("bench", stop_client(SIGKILL, group=False)), short),
        ("the client's machine sleeps 30 s", long, during("bench", failing.sleep), short),
    ]  # fmt: skip
    for name, words, act, again in disturbed:
        root = place.root()
        yield Case(name, words, place.url(root), root, act, again)
    large = place.bench(place.large)
    for name, act in {
        "ssh killed in a transfer": kill(failing.links, SIGKILL),
        "sshd's session killed in a transfer": kill(failing.session_of, SIGKILL),
        "agent killed in a transfer": kill(agents, SIGKILL),
        "Ctrl-C in a transfer": stop_client(SIGINT, group=True),
    }.items():
        root = place.root()
        yield Case(name, large, place.url(root), root, in_transfer(act))


def of_the_device(place: Place) -> Iterator[Case]:
    """The device is full, too small, too old or not prepared."""
    bench, info = place.bench(), ["device", "info"]
    pythons = {
        "job has a segmentation fault": ("crash", "onnxruntime", SEGFAULT, ""),
        "out of memory": ("memory", "onnxruntime", "held = bytearray(1 << 62)", ""),
        "out of memory in a library (ulimit -v)": ("ulimit", "none", "pass", "ulimit -v 100000"),
        "no numpy there": ("numpy", "numpy", ABSENT, ""),
        "no backend package there": ("backend", "onnxruntime", ABSENT, ""),
        "locale C and a path that is not ASCII": ("c", "none", "pass", "export LC_ALL=C"),
    }
    for name, told in pythons.items():
        root = place.root()
        if "locale" in name:
            root = root.with_name(f"größe-{root.name}")
        python = place.interpreter(*told)
        yield Case(name, bench, place.url(root, python=python), root, again_url=place.url(root))
    cgroup = Path("/sys/fs/cgroup/memory/tipsc-failures")
    if os.access(cgroup.parent, os.W_OK):
        cgroup.mkdir(exist_ok=True)
        (cgroup / "memory.limit_in_bytes").write_text(str(300 << 20))
        eats = "held = [b'1' * (64 << 20) for _ in range(100)]"
        before = f"echo $$ > {cgroup}/cgroup.procs"
        python = place.interpreter("cgroup", "onnxruntime", eats, before)
        root = place.root()
        yield Case("out of memory (killed by the system)", bench, place.url(root, python=python),
                   root, again_url=place.url(root))  # fmt: skip
        cgroup.rmdir()
    limits = {
        "timeout (of 2 s)": (
            place.bench(minutes=1),
            "Connection.run = lambda *given, **named: run(*given, **{**named, 'timeout_s': 2.0})",
        ),
        "the quota (of 100 MB) is used up": (
            place.bench(place.large),
            "Connection.start = lambda self, text, quota: start(self, text, 100_000_000)",
        ),
    }
    for name, (words, program) in limits.items():
        root = place.root()
        yield Case(name, words, place.url(root), root, again=bench,
                   environment=patched(place, program))  # fmt: skip
    for version in ("2.7", "3.7", "3.8", "3.9"):
        if (old := old_python(version)) is not None:
            root = place.root()
            yield Case(f"Python {version} there", bench, place.url(root, python=old), root,
                       again_url=place.url(root))  # fmt: skip
    root = place.root()
    yield Case("no Python there", info, place.url(root, python="/nowhere/python3"), root,
               again_url=place.url(root))  # fmt: skip
    yield Case("folder not writable", info, place.url(Path("/proc/tipsc")), Path("/proc/tipsc"),
               again_url=place.url(place.root()))  # fmt: skip
    if os.geteuid() == 0:
        disk = place.folder / "disk"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", disk], check=True)
        try:
            root = disk / "root"
            yield Case("the disk there is full", place.bench(place.large), place.url(root), root,
                       again=bench)  # fmt: skip
            fill(disk)
            yield Case("not one byte free there", bench, place.url(disk / "other"), disk / "other",
                       again_url=place.url(place.root()))  # fmt: skip
        finally:
            subprocess.run(["umount", "-l", disk], check=True)


def patched(place: Place, program: str) -> dict[str, str]:
    """An environment in which the command finds another tipsc."""
    folder = Path(tempfile.mkdtemp(dir=place.folder))
    head = (
        "from tipsc.device.client import Connection\nrun, start = Connection.run, Connection.start"
    )
    (folder / "sitecustomize.py").write_text(f"{head}\n{program}\n")
    return {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}


def fill(disk: Path) -> None:
    with suppress(OSError):
        (disk / "rest").write_bytes(bytes(32 << 20))


def of_the_link(place: Place) -> Iterator[Case]:
    """There is no way in."""
    info = ["device", "info"]

    def case(name: str, again: str | None = None, **options: object) -> Case:
        root = place.root()
        environment = options.pop("environment", {})
        url = place.url(root, **options)
        return Case(name, info, url, root, again_url=again or place.url(root),
                    environment=environment)  # type: ignore[arg-type]  # fmt: skip

    yield case("a login script prints", port=place.printing)
    yield case("nothing listens there", port=free_port())
    yield case("no such host", host="no-such-host.invalid")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield case("a host that does not answer", port=silent.getsockname()[1])
    yield case(
        "permission denied (publickey)", environment=ssh_with(place, "-o PubkeyAuthentication=no")
    )
    yield case("host key changed", environment=ssh_with(
        place, f"-o UserKnownHostsFile={another_key(place)}"))  # fmt: skip
    header = r"TPSC\000\000\000\144\000\000\000\000"
    for name, sent in {
        "garbage instead of frames": "head -c 100000 /dev/urandom",
        "a frame that ends early": f"printf '{header}{{'",
    }.items():
        python = script(Path(tempfile.mkdtemp(dir=place.folder)) / "python3",
                        f"echo have; {sent}")  # fmt: skip
        yield case(name, place.url(place.root()), python=python)
    yield case("no ssh here", environment={"PATH": "/nowhere"})


def ssh_with(place: Place, options: str) -> dict[str, str]:
    """A path on which `ssh` has these options first."""
    folder = Path(tempfile.mkdtemp(dir=place.folder))
    script(folder / "ssh", f'exec {shutil.which("ssh")} {options} "$@"')
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def another_key(place: Place) -> Path:
    """A file of known hosts that has another key for this one."""
    key = Path(tempfile.mkdtemp(dir=place.folder)) / "key"
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(make, check=True)
    known = key.with_name("known")
    known.write_text(f"[127.0.0.1]:{place.port} {key.with_name('key.pub').read_text()}")
    return known


def script(file: Path, text: str) -> Path:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def two_clients(place: Place) -> Iterator[Case]:
    """Another client at the same folder of the device."""
    root = place.root()
    url, large = place.url(root), place.bench(place.large)

    def also(words: list[str]) -> failing.Act:
        def act(case: Case, process: subprocess.Popen[str]) -> None:
            command = [sys.executable, "-m", "tipsc", *words, case.url]
            other = subprocess.run(command, capture_output=True, text=True, check=False)
            said = [line for line in other.stderr.splitlines() if line.startswith("error")]
            case.remarks.append(" ".join(["the other client:", str(other.returncode), *said]))

        return act

    yield Case("both push the same blob", large, url, root, in_transfer(also(large)))
    root = place.root()
    yield Case("another cleans while a job runs", place.bench(minutes=1), place.url(root), root,
               during("bench", also(["device", "clean"])), again=place.bench())  # fmt: skip
    root = place.root()
    yield Case("another cleans in a transfer", large, place.url(root), root,
               in_transfer(also(["device", "clean"])))  # fmt: skip


GROUPS: tuple[Callable[[Place], Iterator[Case]], ...] = (
    of_the_link, of_the_device, while_it_works, two_clients,
)  # fmt: skip


def old_python(version: str) -> str | None:
    installed = Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python")
    return next(map(str, installed), shutil.which(f"python{version}"))


@contextmanager
def prepared() -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="failures-") as name:
        folder = Path(name)
        net = tiny_net()
        graphs = net.paths(4)
        engine, large = folder / "tiny.tipsc", folder / "large.tipsc"
        write_engine(engine, net.manifest(list(graphs)), bytes(net.store.blob), graphs)
        heavy = bytes(net.store.blob) + os.urandom(failing.LARGE)
        write_engine(large, net.manifest(list(graphs)), heavy, graphs)
        (folder / "sshd").mkdir()
        printing = free_port()
        more = (
            f"ListenAddress 127.0.0.1:{printing}\nMatch LocalPort {printing}\n"
            f" ForceCommand {PRINTING}\n"
        )
        with sshd(folder / "sshd", more) as port:
            yield Place(folder, port, printing, project(folder / "digits"), engine, large)


def project(folder: Path) -> Path:
    """The tiny project of the command line's tests, trained."""
    file = ROOT / "tests" / "cli" / "conftest.py"
    spec = importlib.util.spec_from_file_location("cli_projects", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_project(folder)
    subprocess.run([sys.executable, "-m", "tipsc", "train", folder, "-q"], check=True)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    found: list[Seen] = []
    signal.signal(SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    with prepared() as place:
        for group in GROUPS:
            for case in group(place):
                if arguments.only not in case.name:
                    continue
                seen = failing.run(case)
                for place_of, short in {case.url: "URL", str(place.folder): "FOLDER"}.items():
                    seen.message = seen.message.replace(place_of, short)
                found.append(seen)
                print(row(seen), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(seen) for seen in found], indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text("\n".join([HEAD, *map(row, found), ""]))


def row(seen: Seen) -> str:
    left = "; ".join(seen.lying) or "0"
    cells = (
        seen.provoked, str(seen.exit_code), seen.message.replace("|", "/").replace("\n", " "),
        seen.retry, "; ".join(seen.running) or "0", left, "; ".join(seen.after) or "0",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
