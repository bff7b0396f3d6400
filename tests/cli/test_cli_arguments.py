"""Arguments out of range, and files that are none, of every verb: a walk over its options."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import click
import pytest

from tipsc.cli.app import VERBS, LazyGroup
from tipsc.cli.app import tipsc as group
from tipsc.cli.options import Number, OutputFile

CONTEXT = click.Context(group)


def options() -> Iterator[tuple[str, click.Parameter]]:
    assert isinstance(group, LazyGroup)
    for verb in VERBS:
        command = group.get_command(CONTEXT, verb)
        assert command is not None
        for param in command.params:
            yield verb, param


NUMBERS = [
    (verb, param)
    for verb, param in options()
    if param.type.name in ("integer", "float", "integer range", "float range")
]


def test_there_are_numbers_to_look_at():
    assert len(NUMBERS) >= 10


@pytest.mark.parametrize(("verb", "param"), NUMBERS, ids=lambda v: getattr(v, "name", v))
def test_a_number_out_of_range_is_refused(verb, param):
    kind = param.type
    assert isinstance(kind, click.IntRange | Number), f"{verb} {param.name} has no range"
    assert kind.min is not None, f"{verb} {param.name} has no smallest value"
    bad = ["-1", "nan", "inf", "-inf", "x", "", "9" * 5000, "0x10"]
    bad = [b for b in bad if b != "9" * 5000 or kind.max is not None or isinstance(kind, Number)]
    for text in bad:
        with pytest.raises(click.BadParameter):
            kind.convert(text, param, CONTEXT)


def test_the_command_says_so(tipsc, built_engine):
    for option in (("--random", -1), ("--random", 0, "--budget-ms", "nan"), ("--random", 2**63)):
        done = tipsc("run", built_engine, *option)
        assert done.returncode == 2 and "defect" not in done.stderr, done.stderr
        assert done.stderr.startswith("error: invalid value for '--"), done.stderr


def no_files(folder) -> dict[str, object]:
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "text").write_bytes(b"\xff\xfe no\n")
    (folder / "empty").write_bytes(b"")
    names = ("pipe", "folder", "text", "empty", "missing")
    return {**{name: folder / name for name in names}, "zero": "/dev/zero", "null": "/dev/null"}


READS = [
    ("inspect", "FILE"),
    ("run", "FILE", "--random", 0),
    ("run", "ENGINE", "--input", "FILE"),
    ("bench", "FILE"),
    ("verify", "FILE", "CONFIG"),
    ("verify", "ENGINE", "FILE"),
    ("unpack", "FILE", "OUT"),
    ("delta", "FILE", "ENGINE", "-o", "OUT"),
    ("delta", "ENGINE", "FILE", "-o", "OUT"),
    ("apply", "FILE", "ENGINE", "-o", "OUT"),
    ("apply", "ENGINE", "FILE", "-o", "OUT"),
    ("trace", "FILE"),
    ("embed", "FILE", "--lang", "python", "-o", "OUT"),
    ("sign", "FILE", "--key", "FILE"),
    ("inspect", "ENGINE", "--key", "FILE"),
    ("build", "CONFIG", "--like", "FILE"),
    ("finish", "FILE", "--device", "local"),
    ("build", "FILE"),
    ("build", "CONFIG", "--target", "FILE.yaml"),
    ("build", "CONFIG", "--target", "jetson", "--profile", "FILE"),
    ("check", "FILE"),
    ("report", "FILE", "--no-measure"),
    ("clean", "FILE"),
    ("check", "CONFIG", "--target", "FILE.yaml"),
    ("train", "FILE"),
    ("profile", "FILE"),
    ("profile", "CONFIG", "--target", "FILE.yaml"),
    ("score", "FILE"),
    ("score", "CONFIG", "--profile", "FILE"),
    ("targets", "FILE.yaml"),
]


@pytest.mark.parametrize("words", READS, ids=lambda words: "-".join(map(str, words[:2])))
def test_what_is_no_file_is_said_at_once(call, built_engine, project, tmp_path, words):
    for name, file in no_files(tmp_path).items():
        if "FILE.yaml" in words:
            link = tmp_path / f"{name}.yaml"
            link.symlink_to(file)
            file = link
        given = {"FILE": file, "FILE.yaml": file, "ENGINE": built_engine, "CONFIG": project}
        done = call(*(given.get(w, tmp_path / "out" if w == "OUT" else w) for w in words))
        last = done.stderr.strip().splitlines()[-1]
        assert done.returncode in (1, 2, 3), (name, done.stderr)
        assert last.startswith("error: ") and "defect" not in last, (name, last)
        assert name in last, (name, last)
        if name == "pipe":
            assert "it is a pipe, not a file" in last.lower(), last


def test_every_verb_that_reads_a_file_is_among_these():
    tested = {words[0] for words in READS}
    reading = {
        verb
        for verb, param in options()
        if isinstance(param.type, click.Path) and not isinstance(param.type, OutputFile)
    }
    assert reading - tested <= {"init", "device"}  # init writes; device asks the device first


@pytest.mark.parametrize(
    "verb", ["build", "run", "score", "sign", "trace", "device", "finish", "targets"]
)
def test_where_nothing_can_be_written_is_said_before_the_work(verb, tmp_path):
    (outputs := [p for v, p in options() if v == verb and isinstance(p.type, OutputFile)]).sort(
        key=str
    )
    assert outputs, f"{verb} has no output"
    from tipsc.errors import UsageError

    os.mkfifo(tmp_path / "pipe")
    for file in (tmp_path, tmp_path / "none" / "x", tmp_path / "pipe"):
        for param in outputs:
            with pytest.raises(UsageError, match=re.escape(str(file))):
                param.type.convert(str(file), param, CONTEXT)
