from __future__ import annotations

import getpass
import importlib.metadata
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tipsc import __version__
from tipsc.device import doctor
from tipsc.device.doctor import Examination, Finding, Status, examine, guarded


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
    assert set(told["findings"][0]) == {"group", "name", "status", "found", "fix"}


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
    assert failed == Finding("g", "g", Status.FAILED, "OSError: the disk is gone")


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
