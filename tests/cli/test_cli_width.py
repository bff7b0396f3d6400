"""What is printed where there is no terminal fits 100 columns: of files, bug reports and mails."""

from __future__ import annotations

import pytest

from tipsc.cli.app import VERBS

WIDTH = 100


def fits(done, folder: object = None) -> None:
    """Files are named whole, to be copied: the folder that they are in does not count."""
    assert done.returncode == 0, done.stderr
    for line in (*done.stdout.splitlines(), *done.stderr.splitlines()):
        assert len(line.replace(f"{folder}/", "")) <= WIDTH, line


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "ENGINE"),
        ("bench", "ENGINE", "--rounds", 4, "--all"),
        ("run", "ENGINE", "--random", 0),
        ("doctor",),
        ("targets",),
        ("targets", "host"),
        ("device", "info", "local"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_verb_fits(tipsc, built_engine, arguments):
    fits(tipsc(*(built_engine.name if a == "ENGINE" else a for a in arguments),
               cwd=built_engine.parent))  # fmt: skip


def test_the_help_of_every_verb_fits(tipsc):
    fits(tipsc("--help"))
    for verb in VERBS:
        fits(tipsc(verb, "--help"))


def test_a_build_and_its_verification_fit(call, project, monkeypatch):
    monkeypatch.chdir(project)
    fits(call("build", "."), project)
    (engine,) = project.glob("*.tipsc")
    fits(call("verify", engine.name, "."))
    fits(call("profile", "."), project)
