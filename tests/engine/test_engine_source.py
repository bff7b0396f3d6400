"""An engine file that another process writes to is an error, never the end of this process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tipsc.engine import read_engine, unpack
from tipsc.engine.source import FileSource, MemorySource
from tipsc.errors import EngineDamagedError, UsageError

PAGES = 64 * 4096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "f"
    file.write_bytes(os.urandom(PAGES))
    return file


def shorten(file: Path) -> None:
    os.truncate(file, 100)


def lengthen(file: Path) -> None:
    with file.open("ab") as stream:
        stream.write(b"more")


def overwrite(file: Path) -> None:
    with file.open("r+b") as stream:
        stream.write(b"other")
    found = file.stat()  # its time of writing has the kernel's ticks: make them differ
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns + 10_000_000))


def test_a_file_and_memory_give_the_same(file):
    content = file.read_bytes()
    for source in (FileSource(file), MemorySource(content)):
        assert source.size == PAGES
        assert source.read(PAGES - 3, 100) == content[-3:]
        assert bytes(source.view(5, 7)) == content[5:12] == b"".join(source.parts(5, 7))
        assert source.view(0, 9).readonly
        source.check_unchanged()
    whole = {s.sha256(0, PAGES) for s in (FileSource(file), MemorySource(content))}
    assert len(whole) == 1


@pytest.mark.parametrize("use", [
    lambda source: source.sha256(0, PAGES),
    lambda source: list(source.parts(0, PAGES)),
    lambda source: source.view(0, PAGES),
    lambda source: source.check_unchanged(),
], ids=["sha256", "parts", "view", "check"])  # fmt: skip
def test_a_file_that_became_shorter(file, use):
    source = FileSource(file)
    shorten(file)
    with pytest.raises(EngineDamagedError, match=r"written to while it was open.*mv, not cp"):
        use(source)


@pytest.mark.parametrize("write", [shorten, lengthen, overwrite])
def test_an_engine_that_was_written_to_after_it_was_read(engine_file, tmp_path, write):
    engine = read_engine(engine_file)
    assert engine.weights
    write(engine_file)
    with pytest.raises(EngineDamagedError, match="written to while it was open"):
        engine.weights  # noqa: B018
    with pytest.raises(EngineDamagedError, match="written to while it was open"):
        list(engine.weights_parts())


def test_an_engine_that_was_renamed_over_stays_what_it_was(engine_file, net):
    engine = read_engine(engine_file)
    other = engine_file.with_name("other")
    other.write_bytes(b"another")
    other.replace(engine_file)
    assert engine.weights == net.store.blob == b"".join(engine.weights_parts())


def test_a_copy_that_fails_leaves_no_half(engine_file, tmp_path, monkeypatch):
    """Of what unpack writes: the weights change between reading and writing them."""
    original = FileSource.parts

    def shrinking(self, offset, length):
        parts = list(original(self, offset, length))
        shorten(engine_file) if (tmp_path / "u").exists() else None
        yield from parts

    monkeypatch.setattr(FileSource, "parts", shrinking)
    with pytest.raises(EngineDamagedError, match="written to"):
        unpack(engine_file, tmp_path / "u")
    assert not (tmp_path / "u" / "weights.bin").exists()


def test_a_file_that_is_not_there_names_its_neighbours(engine_file):
    with pytest.raises(UsageError, match=rf"No such file.*did you mean .*{engine_file.name}"):
        read_engine(engine_file.with_name(engine_file.name.replace("i", "j", 1) + "x"))


def test_no_file_but_a_pipe_or_a_device(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for place, kind in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(UsageError, match=f"cannot open the engine: It is {kind}"):
            read_engine(place)
    with pytest.raises(UsageError, match="Is a directory"):
        read_engine(tmp_path)


RACE = """
    import os, sys, threading, time
    from pathlib import Path
    from tipsc.engine import write_engine
    from tipsc.errors import EngineError, UsageError
    from tipsc.runtime import Engine
    file, whole = Path(sys.argv[1]), Path(sys.argv[1]).read_bytes()
    deadline = time.monotonic() + 4
    def copy_over():  # as cp does: cut to nothing, then written part by part
        while time.monotonic() < deadline:
            with file.open("wb") as stream:
                for at in range(0, len(whole), 4096):
                    stream.write(whole[at:at + 4096])
                    stream.flush()
    writer = threading.Thread(target=copy_over)
    writer.start()
    refused = 0
    while time.monotonic() < deadline:
        try:
            Engine.open(file, cache_dir=Path(sys.argv[2]) / str(refused)).close()
        except (EngineError, UsageError):
            refused += 1
    writer.join()
    Engine.open(file).close()
    print(refused)
"""


def test_opening_while_another_copies_over_it_ends_in_errors_only(engine_file, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(RACE), str(engine_file), str(tmp_path / "c")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr  # -7: killed by SIGBUS
    assert int(run.stdout) > 10
