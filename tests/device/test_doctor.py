from __future__ import annotations

import getpass
import importlib.metadata
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tipsc import __version__, backends
from tipsc.device import doctor
from tipsc.device.doctor import Examination, Finding, Status, examine, guarded
from tipsc.errors import MissingExtraError
from tipsc.extras import PURPOSES


@pytest.fixture(scope="module")
def report() -> Examination:
    return examine()


def named(report: Examination, group: str, name: str) -> Finding:
    (finding,) = (f for f in report.findings if (f.group, f.name) == (group, name))
    return finding


def test_this_installation_is_well(report: Examination) -> None:
    assert report.healthy, str(report)


def test_it_tells_what_a_bug_report_needs(report: Examination) -> None:
    assert named(report, "tipsc", "tipsc").found == __version__
    assert named(report, "packages", "numpy").found == importlib.metadata.version("numpy")
    assert "onnxruntime" in named(report, "targets", "host").found
    assert named(report, "self-test", "onnxruntime").status is Status.OK
    groups = {f.group for f in report.findings}
    assert groups == {
        "tipsc", "machine", "packages", "backends", "targets", "measuring", "self-test"
    }  # fmt: skip


def test_it_is_plain_json(report: Examination) -> None:
    told = json.loads(json.dumps(report.to_json()))
    assert told["healthy"] is True
    assert set(told["findings"][0]) == {"group", "name", "status", "found", "fix", "means"}


def test_its_text_has_each_finding_within_100_columns(report: Examination) -> None:
    lines = str(report).splitlines()
    assert all(any(f.name in line for line in lines) for f in report.findings)
    words = " ".join(str(report).split())
    assert all(" ".join(f.found.split()) in words for f in report.findings)
    assert max(map(len, lines)) <= 100


def test_it_names_no_folder_and_no_host(report: Examination) -> None:
    text = str(report)
    assert str(Path.home()) not in text or Path.home() == Path("/")
    assert str(Path(doctor.__file__).parent) not in text
    # Short names may be parts of ordinary words.
    for name in (socket.gethostname(), getpass.getuser()):
        assert len(name) < 5 or name not in text


def test_an_absent_package_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", (("no-such-package-of-ours", "litert"),))
    (finding,) = doctor._packages()
    assert finding.status is Status.ABSENT
    assert finding.fix is not None and finding.fix.endswith("pip install -e '.[litert]'")


def test_an_absent_base_package_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", (("no-such-package-of-ours", None),))
    assert not Examination(tuple(doctor._packages())).healthy


def test_an_examination_that_fails_is_a_finding_and_keeps_what_it_had() -> None:
    def look() -> Iterator[Finding]:
        yield Finding("g", "first", Status.OK, "fine")
        raise OSError("the disk is gone")

    first, failed = guarded("g", look)
    assert first.found == "fine"
    assert failed.status is Status.FAILED and failed.found == "OSError: the disk is gone"
    assert failed.fix is not None and "report it" in failed.fix


def test_a_wrong_result_of_the_self_test_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    # The same model with Mul instead of Add: a library that computes something else.
    monkeypatch.setattr(doctor, "TINY_MODEL", doctor.TINY_MODEL.replace(b"Add", b"Mul"))
    (finding,) = guarded("self-test", doctor._self_test)
    assert finding.status is Status.FAILED
    assert "expected" in finding.found


def test_examining_loads_neither_torch_nor_onnx() -> None:
    code = (
        "import sys; from tipsc.device.doctor import examine; examine();"
        "print([m for m in ('torch', 'onnx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def everything_is_wrong(monkeypatch: pytest.MonkeyPatch) -> Iterator[Finding]:
    """What the doctor finds on a machine on which nothing is as it should be."""
    from tipsc.measure import pinning
    from tipsc.project import target

    def broken(name: str) -> object:
        raise OSError(f"{name}: wrong ELF class")

    monkeypatch.setattr("tipsc.backends.runtime_of", broken)
    monkeypatch.setattr(doctor, "PACKAGES", tuple((f"no-{e}", e) for e in PURPOSES))
    monkeypatch.setattr(doctor, "TINY_MODEL", doctor.TINY_MODEL.replace(b"Add", b"Mul"))
    monkeypatch.setattr(doctor, "_LITTLE_MIB", 1e12)
    monkeypatch.setattr(doctor, "_LITTLE_GIB", 1e12)
    monkeypatch.setattr(doctor, "_BUSY", -1.0)
    monkeypatch.setattr(pinning, "pinned", lambda cores: nullcontext(()))
    monkeypatch.setattr(target, "list_targets", lambda: ("no-such-target",))
    yield from examine().findings
    monkeypatch.setattr(target, "list_targets", lambda: ())
    yield from doctor._targets()


def test_a_target_whose_backend_is_absent_is_no_target_that_is_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = backends.runtime_of

    def only_here(name: str) -> object:
        if name == "tensorrt":
            raise MissingExtraError.of("tensorrt", "tensorrt-check", "the backend")
        return known(name)

    monkeypatch.setattr("tipsc.backends.runtime_of", only_here)
    found = {finding.name: finding for finding in doctor._targets()}
    assert found["jetson"].status is Status.ABSENT and "--device" in str(found["jetson"].fix)
    assert found["host"].status is Status.OK


def test_whatever_is_not_well_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [f for f in everything_is_wrong(monkeypatch) if f.status is not Status.OK]
    untold = {f.name for f in findings if f.found == "not told by this system"}
    wrong = {f.name for f in findings} - untold
    assert wrong >= {"memory", "disk free here", "load, 1 minute", "pinning", "targets"}
    assert wrong >= {"no-train", "onnxruntime", "litert", "no-such-target"}
    assert [f.name for f in findings if f.name in wrong and not f.fix] == []


def test_what_has_no_release_for_this_python_names_no_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from packaging.requirements import Requirement

    from tipsc import extras

    monkeypatch.setattr(sys, "version_info", (3, 10, 14, "final", 0))
    fix = extras.how_to_install("litert-build")
    assert "3.11" in fix and "pip install" not in fix
    monkeypatch.setattr(sys, "version_info", (3, 13, 0, "final", 0))
    monkeypatch.setattr(extras.platform, "machine", lambda: "aarch64")
    assert "pip install" not in extras.how_to_install("tensorrt-check")
    assert "pip install" in extras.how_to_install("litert-build")
    # It says what pyproject.toml says.
    for extra, version, machine in (
        ("litert-build", "3.10", "x86_64"),
        ("litert-build", "3.11", "x86_64"),
        ("tensorrt-check", "3.13", "x86_64"),
        ("tensorrt-check", "3.14", "x86_64"),
        ("tensorrt-check", "3.12", "aarch64"),
        ("train", "3.10", "aarch64"),
    ):
        monkeypatch.setattr(sys, "version_info", (*map(int, version.split(".")), 0, "final", 0))
        monkeypatch.setattr(extras.platform, "machine", lambda machine=machine: machine)
        here = {"python_version": version, "platform_machine": machine, "sys_platform": "linux"}
        needed = [Requirement(line) for line in extras._requirements(extra)]
        all_here = all(r.marker is None or r.marker.evaluate(here) for r in needed)
        assert (extras.not_here(extra) is None) == all_here, (extra, version, machine)
