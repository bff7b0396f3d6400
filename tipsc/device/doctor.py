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
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from tipsc import __version__
from tipsc.extras import PACKAGES, PURPOSES, how_to_install

if TYPE_CHECKING:
    from tipsc.backends.table import Backend

WIDTH = 100
_ELSEWHERE = (
    "install its backend (above), or give the device: tipsc build CONFIG --device URL; without "
    "either a build leaves an engine that tipsc finish completes on the device"
)
_AGAIN = "install tipsc again: its files are not as they were made"
_DEFECT = "this is a defect: report it with all of this text"
_BUSY = 0.5  # share of the cores that other work may take before it is worth a remark
_LITTLE_MIB, _LITTLE_GIB = 2048.0, 2.0  # memory and disk that a build of a small model needs


class Status(str, Enum):
    """How an examination ended: `absent` is no fault, only something that is not there."""

    OK = "ok"
    NOTE = "note"
    ABSENT = "absent"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, what was found, what that means, and what to do about it."""

    group: str
    name: str
    status: Status
    found: str
    fix: str | None = None
    means: str | None = None


@dataclass(frozen=True)
class Examination:
    """Everything that was found, in order. ``str()`` of it goes into a bug report."""

    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        return all(finding.status is not Status.FAILED for finding in self.findings)

    def to_json(self) -> dict[str, object]:
        """``healthy``, and ``findings[]`` with group, name, status, found, fix, means."""
        findings = [asdict(f) | {"status": f.status.value} for f in self.findings]
        return {"healthy": self.healthy, "findings": findings}

    def __str__(self) -> str:
        width = max((len(finding.name) for finding in self.findings), default=0)
        lines: list[str] = []
        group = last = None
        for finding in self.findings:
            if finding.group != group:
                group = finding.group
                lines += ["", group] if lines else [group]
            status = f"  {finding.status.value:<6}  {finding.name:<{width}}"
            hang = " " * (len(status) + 2)
            means = f": {finding.means}" if finding.means else ""
            lines += _wrapped(f"{status}  {finding.found}{means}", hang)
            if finding.fix:
                fix = "the same" if finding.fix == last else finding.fix
                lines += _wrapped(f"{hang}-> {fix}", f"{hang}   ")
            last = finding.fix
        failed = sum(finding.status is Status.FAILED for finding in self.findings)
        lines += ["", "all is well" if not failed else f"{failed} failed"]
        return "\n".join(lines)


def _wrapped(text: str, hang: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=hang, break_on_hyphens=False)


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
        found.append(Finding(group, group, Status.FAILED, _named(error), _DEFECT))
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
    governors = _distinct(core.governor for core in system.cores if core.governor)
    steady = governors in ("", "performance")
    yield (
        _ok(group, "frequency governor", governors)
        if steady
        else Finding(
            group,
            "frequency governor",
            Status.NOTE,
            governors,
            "while you measure, run: echo performance | "
            "sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
            "the clock changes between calls, and latencies with it",
        )
    )
    zones = (f"{zone.name} {zone.celsius:.0f}" for zone in system.thermal_zones)
    yield _ok(group, "temperatures, C", ", ".join(zones))
    if system.memory_total_mib:
        left = system.memory_available_mib
        free = f", {left:.0f} MiB free" if left else ""
        yield _enough(
            group,
            "memory",
            f"{system.memory_total_mib:.0f} MiB{free}",
            not left or left > _LITTLE_MIB,
            "a build of a large model may be killed",
            "end what needs memory, or see what a build takes: `tipsc check CONFIG` says it",
        )
    disk = shutil.disk_usage(".").free / 2**30
    yield _enough(
        group,
        "disk free here",
        f"{disk:.1f} GiB",
        disk > _LITTLE_GIB,
        "a build keeps its stages here",
        "free some: `tipsc clean CONFIG` removes what no build goes back to",
    )
    if system.load_1m is not None:
        yield _enough(
            group,
            "load, 1 minute",
            f"{system.load_1m}",
            system.load_1m <= _BUSY * max(len(system.cores), 1),
            "other work makes measured latencies too high",
            "wait for it to end; `tipsc build CONFIG --wait-quiet 60` waits by itself",
        )
    yield _ok(group, "virtual machine", system.virtualised)


def _enough(group: str, name: str, found: str, enough: bool, means: str, fix: str) -> Finding:
    """What is well as long as there is enough of it, or not too much."""
    if enough:
        return Finding(group, name, Status.OK, found)
    return Finding(group, name, Status.NOTE, found, fix, means)


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _packages() -> Iterator[Finding]:
    for package, extra in PACKAGES:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            status = Status.FAILED if extra is None else Status.ABSENT
            fix, means = how_to_install(extra), PURPOSES[extra]
            yield Finding("packages", package, status, "not installed", fix, means)
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
            yield Finding("backends", name, Status.FAILED, _named(error), _again(BACKENDS[name]))
        else:
            yield _ok("backends", name, ", ".join(f"{k} {v}" for k, v in told.items()))


def _again(backend: Backend) -> str:
    """How a backend's package is installed again."""
    for package in backend.packages:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        return f"install it again, run: pip install --force-reinstall '{package}=={version}'"
    return f"install {backend.package} again, as the device's maker says"


def _targets() -> Iterator[Finding]:
    from tipsc.errors import TargetError
    from tipsc.project.target import list_targets, load_target

    names, runs = list_targets(), cache(_runs)
    if not names:
        yield Finding("targets", "targets", Status.FAILED, "none found", _AGAIN)
    for name in names:
        try:
            target = load_target(name)
        except TargetError as error:
            yield Finding("targets", name, Status.FAILED, error.what, error.fix or _AGAIN)
            continue
        found = f"{target.backend}, threads {target.threads}"
        if runs(target.backend):
            yield _ok("targets", name, found)
        else:
            yield Finding("targets", name, Status.ABSENT, found, _ELSEWHERE, "not measured here")


def _runs(backend: str) -> bool:
    """Whether it does here."""
    from tipsc.backends import runtime_of

    try:
        runtime_of(backend).check()
    except Exception:  # "backends" says what it is
        return False
    return True


def _measuring() -> Iterator[Finding]:
    from tipsc.measure.pinning import pinned, select_cores

    with pinned(select_cores("fastest", 1)) as held:
        if held:
            yield _ok("measuring", "pinning", f"works, to core {held[0]}")
        else:
            yield Finding(
                "measuring",
                "pinning",
                Status.NOTE,
                "not possible here",
                "allow sched_setaffinity, which some containers forbid, or measure outside of it",
                "the system moves what is measured between cores, and latencies spread",
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
        fix = how_to_install(None)
        yield Finding("self-test", "onnxruntime", Status.ABSENT, "not run: not installed", fix)
        return
    session = onnxruntime.InferenceSession(TINY_MODEL, providers=["CPUExecutionProvider"])
    x = np.array([1.5, -2.0], dtype=np.float32)
    (y,) = session.run(None, {"x": x})
    if np.array_equal(y, x + x):
        yield _ok("self-test", "onnxruntime", "a tiny model computes what it should")
    else:
        from tipsc.backends import BACKENDS

        fix = _again(BACKENDS["onnxruntime"])
        found = f"expected {x + x}, got {y}"
        means = "it computes wrongly on this processor"
        yield Finding("self-test", "onnxruntime", Status.FAILED, found, fix, means)
