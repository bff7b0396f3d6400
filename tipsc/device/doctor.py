"""Doctor: is this installation well, and what is it; enough for a bug report.

Every examination stands alone: one that fails becomes a line that says so, and never an error.
It names no user, host or folder, so that its text can be pasted in public.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import shutil
import statistics
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import pairwise

import numpy as np

from tipsc import __version__
from tipsc.extras import PACKAGES, how_to_install

WIDTH = 100


class Status(str, Enum):
    """How an examination ended: `absent` is no fault, only something that is not there."""

    OK = "ok"
    NOTE = "note"
    ABSENT = "absent"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, what was found, and what to do about it."""

    group: str
    name: str
    status: Status
    found: str
    fix: str | None = None


@dataclass(frozen=True)
class Examination:
    """Everything that was found, in order. ``str()`` of it goes into a bug report."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        return all(finding.status is not Status.FAILED for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """``healthy``, and ``findings[]`` with group, name, status, found, fix."""
        findings = [asdict(f) | {"status": f.status.value} for f in self.findings]
        return {"healthy": self.healthy, "findings": findings}

    def __str__(self) -> str:
        width = max((len(finding.name) for finding in self.findings), default=0)
        lines: list[str] = []
        group = None
        for finding in self.findings:
            if finding.group != group:
                group = finding.group
                lines += ["", group] if lines else [group]
            fix = f"; {finding.fix}" if finding.fix else ""
            status = f"  {finding.status.value:<6}  {finding.name:<{width}}"
            text = f"{status}  {finding.found}{fix}"
            hang = " " * (len(status) + 2)
            lines += textwrap.wrap(
                text, WIDTH, subsequent_indent=hang, drop_whitespace=True, break_on_hyphens=False
            )
        failed = sum(finding.status is Status.FAILED for finding in self.findings)
        lines += ["", "all is well" if not failed else f"{failed} failed"]
        return "\n".join(lines)


# y = x + x for two floats: an ONNX model small enough to write out (IR version 8, opset 13).
TINY_MODEL = bytes.fromhex(
    "08083a350a0e0a01780a017812017922034164641201675a0f0a0178120a0a08080112040a02080262"
    "0f0a0179120a0a08080112040a02080242040a00100d"
)


def examine() -> Examination:
    """Look at everything. Takes a second or two; never raises."""
    groups: tuple[tuple[str, Callable[[], Iterable[Finding]]], ...] = (
        ("tipsc", _tipsc),
        ("machine", _machine),
        ("packages", _packages),
        ("backends", _backends),
        ("targets", _targets),
        ("measuring", _measuring),
        ("self-test", _self_test),
    )
    return Examination(tuple(finding for name, look in groups for finding in guarded(name, look)))


def guarded(group: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """What `look` found; if it fails, what it had found until then and that it failed."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except Exception as error:
        found.append(Finding(group, group, Status.FAILED, _named(error)))
    return found


def _named(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _ok(group: str, name: str, found: object) -> Finding:
    """A finding, or the remark that the system does not tell."""
    if found is None or found == "":
        return Finding(group, name, Status.NOTE, "not told by this system")
    return Finding(group, name, Status.OK, str(found))


def _tipsc() -> Iterator[Finding]:
    yield _ok("tipsc", "tipsc", __version__)
    yield _ok("tipsc", "python", f"{platform.python_implementation()} {platform.python_version()}")
    yield _ok("tipsc", "platform", platform.platform())
    yield _ok("tipsc", "C library", " ".join(platform.libc_ver()).strip())


def _machine() -> Iterator[Finding]:
    from tipsc.measure.pinning import allowed_cores
    from tipsc.profile.system import read_system

    system = read_system()
    group = "machine"
    yield _ok(group, "processor", system.cpu)
    yield _ok(group, "board", system.board)
    usable = len(allowed_cores()) or "all"
    yield _ok(group, "cores", f"{len(system.cores)}, of which usable: {usable}")
    yield _ok(group, "vector instructions", " ".join(system.vector_flags))
    yield _ok(
        group, "maximum MHz", _distinct(core.max_mhz for core in system.cores if core.max_mhz)
    )
    yield _ok(
        group,
        "frequency governor",
        _distinct(core.governor for core in system.cores if core.governor),
    )
    zones = (f"{zone.name} {zone.celsius:.0f}" for zone in system.thermal_zones)
    yield _ok(group, "temperatures, C", ", ".join(zones))
    if system.memory_total_mib:
        free = (
            f", {system.memory_available_mib:.0f} MiB free" if system.memory_available_mib else ""
        )
        yield _ok(group, "memory", f"{system.memory_total_mib:.0f} MiB{free}")
    yield _ok(group, "disk free here", f"{shutil.disk_usage('.').free / 2**30:.1f} GiB")
    yield _ok(group, "load, 1 minute", system.load_1m)
    yield _ok(group, "virtual machine", system.virtualised)


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _packages() -> Iterator[Finding]:
    for package, extra in PACKAGES:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            status = Status.FAILED if extra is None else Status.ABSENT
            yield Finding("packages", package, status, "not installed", how_to_install(extra))
        else:
            yield _ok("packages", package, version)


def _backends() -> Iterator[Finding]:
    from tipsc.backends import BACKENDS, runtime_of
    from tipsc.errors import MissingExtraError

    for name in BACKENDS:
        try:
            told = runtime_of(name).check()
        except MissingExtraError as error:
            yield Finding("backends", name, Status.ABSENT, error.what, error.fix)
        except Exception as error:  # whatever a foreign library raises when it is loaded
            yield Finding("backends", name, Status.FAILED, _named(error))
        else:
            yield _ok("backends", name, ", ".join(f"{k} {v}" for k, v in told.items()))


def _targets() -> Iterator[Finding]:
    from tipsc.errors import TargetError
    from tipsc.project.target import list_targets, load_target

    names = list_targets()
    if not names:
        yield Finding("targets", "targets", Status.FAILED, "none found", "install tipsc again")
    for name in names:
        try:
            target = load_target(name)
        except TargetError as error:
            yield Finding("targets", name, Status.FAILED, error.what, error.fix)
        else:
            yield _ok("targets", name, f"{target.backend}, threads {target.threads}")


def _measuring() -> Iterator[Finding]:
    from tipsc.measure.pinning import pinned, select_cores

    with pinned(select_cores("fastest", 1)) as held:
        if held:
            yield _ok("measuring", "pinning", f"works, to core {held[0]}")
        else:
            yield Finding(
                "measuring", "pinning", Status.NOTE, "not possible here: latencies will spread"
            )
    steps = _clock_steps(5000)
    yield _ok("measuring", "clock step", f"{min(steps)} ns")
    yield _ok("measuring", "clock reading", f"{statistics.median(steps):.0f} ns")


def _clock_steps(n: int) -> list[int]:
    """Differences of successive readings that differ, in nanoseconds."""
    times = [time.perf_counter_ns() for _ in range(n)]
    steps = (after - before for before, after in pairwise(times))
    return [step for step in steps if step > 0] or [0]


def _self_test() -> Iterator[Finding]:
    """Run a real model: an import that works may still hide a library that does not."""
    try:
        import onnxruntime
    except ImportError:
        yield Finding(
            "self-test", "onnxruntime", Status.ABSENT, "not run: onnxruntime is not installed"
        )
        return
    session = onnxruntime.InferenceSession(TINY_MODEL, providers=["CPUExecutionProvider"])
    x = np.array([1.5, -2.0], dtype=np.float32)
    (y,) = session.run(None, {"x": x})
    if np.array_equal(y, x + x):
        yield _ok("self-test", "onnxruntime", "a tiny model computes what it should")
    else:
        yield Finding("self-test", "onnxruntime", Status.FAILED, f"expected {x + x}, got {y}")
