"""The cache of finalised engines: whole or not there, for this engine and machine or not used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tipsc.backends.cache import RECORD, is_sound, keyed_folder, obtain
from tipsc.errors import EngineDeviceError, UsageError

KEY = {"engine": "e1", "instruction set": "x86_64 avx2"}


class Builder:
    """Writes two files, and counts how often."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "a.onnx").write_bytes(b"graph")
        (folder / "weights.bin").write_bytes(bytes(10_000))


@pytest.fixture
def build() -> Builder:
    return Builder()


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    file = tmp_path / "e.tipsc"
    file.write_bytes(b"engine")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "caches" / "c"


def test_built_once_then_used(folder, build):
    for _ in range(3):
        assert obtain(folder, KEY, build, owned=True) == folder
    assert build.calls == 1
    assert {f.name for f in folder.iterdir()} == {RECORD, "a.onnx", "weights.bin"}


def damage(kind: str, folder: Path) -> None:
    weights = folder / "weights.bin"
    if kind == "flip":
        data = bytearray(weights.read_bytes())
        data[5000] ^= 1
        weights.write_bytes(data)
    elif kind == "truncate":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif kind == "empty":
        weights.write_bytes(b"")
    elif kind == "missing":
        weights.unlink()
    elif kind == "extra":
        (folder / "b.onnx").write_bytes(b"")
    elif kind == "record":
        (folder / RECORD).write_bytes((folder / RECORD).read_bytes()[:-5])
    elif kind == "strange record":
        (folder / RECORD).write_bytes(b'{"files": 3, "key": []}')
    elif kind == "record outside":
        (folder / RECORD).write_bytes(b'{"files": {"../x": "00", "a": 3}, "key": {}}')


KINDS = [
    "flip", "truncate", "empty", "missing", "extra", "record", "strange record", "record outside",
]  # fmt: skip


@pytest.mark.parametrize("owned", [True, False])
@pytest.mark.parametrize("kind", KINDS[:-1])
def test_a_damaged_cache_is_built_again(folder, build, kind, owned):
    obtain(folder, KEY, build, owned=owned)
    damage(kind, folder)
    assert not is_sound(folder, KEY)
    obtain(folder, KEY, build, owned=owned)
    assert build.calls == 2
    assert is_sound(folder, KEY)
    assert [f.name for f in folder.parent.iterdir() if ".tmp-" in f.name] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_cache_is_never_sound(folder, build, kind):
    obtain(folder, KEY, build, owned=True)
    damage(kind, folder)
    assert not is_sound(folder, KEY)


@pytest.mark.parametrize("field", list(KEY))
def test_a_folder_the_user_names_for_another_device_is_refused(folder, build, field):
    obtain(folder, KEY | {field: "other"}, build, owned=False)
    before = {f.name: f.read_bytes() for f in folder.iterdir()}
    with pytest.raises(EngineDeviceError, match=f"another {field}.*expected {KEY[field]}"):
        obtain(folder, KEY, build, owned=False)
    assert {f.name: f.read_bytes() for f in folder.iterdir()} == before


def test_an_owned_folder_for_another_device_is_replaced(folder, build):
    obtain(folder, KEY | {"engine": "other"}, build, owned=True)
    obtain(folder, KEY, build, owned=True)
    assert is_sound(folder, KEY)


def test_what_was_made_from_an_older_build_of_the_engine_goes(engine, build):
    old, new = KEY, KEY | {"engine": "e2"}
    other_machine = new | {"instruction set": "aarch64 asimd"}
    folders = [
        obtain(keyed_folder(engine, key), key, build, owned=True)
        for key in (old, other_machine, new)
    ]
    assert [folder.exists() for folder in folders] == [False, True, True]


def test_a_folder_with_the_users_files_is_left_alone(folder, build):
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="not empty"):
        obtain(folder, KEY, build, owned=False)
    assert [f.name for f in folder.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_that_the_user_made_is_filled(folder, build):
    folder.mkdir(parents=True)
    obtain(folder, KEY, build, owned=False)
    assert is_sound(folder, KEY)


def test_a_build_that_fails_leaves_nothing(folder):
    def failing(target: Path) -> None:
        (target / "half").write_bytes(b"half")
        raise EngineDeviceError("no")

    with pytest.raises(EngineDeviceError):
        obtain(folder, KEY, failing, owned=True)
    assert [f.name for f in folder.parent.iterdir() if not f.name.endswith(".lock")] == []


def test_another_key_has_another_folder(engine):
    folders = {keyed_folder(engine, KEY), keyed_folder(engine, KEY | {"engine": "e2"})}
    assert len(folders) == 2
    assert {f.parent for f in folders} == {engine.with_name("e.tipsc-cache")}


def test_the_users_cache_stands_in_where_the_engine_cannot_be_written_beside(
    tmp_path, engine, monkeypatch
):
    (tmp_path / "e.tipsc-cache").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert keyed_folder(engine, KEY).parents[1] == tmp_path / "user" / "tipsc"
    assert keyed_folder(None, KEY).parent == tmp_path / "user" / "tipsc" / "e1"


def test_nowhere_to_write(tmp_path, engine, monkeypatch):
    for name in ("e.tipsc-cache", "user"):
        (tmp_path / name).write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert keyed_folder(engine, KEY) is None


CHILD = """
    import os, sys
    from pathlib import Path
    from tipsc.backends.cache import obtain
    def build(folder):
        (folder / "a.onnx").write_bytes(b"gra")
        print("building", flush=True)
        sys.stdin.readline()
        (folder / "a.onnx").write_bytes(b"graph")
        (folder / "weights.bin").write_bytes(bytes(10_000))
    obtain(Path(sys.argv[1]), {KEY}, build, owned=True)
    print("done", flush=True)
"""


def child(folder: Path) -> subprocess.Popen:
    code = textwrap.dedent(CHILD).replace("{KEY}", repr(KEY))
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=pipe, stdout=pipe, text=True
    )


def test_kill_9_while_building_breaks_nothing(folder, build):
    victim = child(folder)
    assert victim.stdout.readline() == "building\n"
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    assert not folder.exists()
    assert list(folder.parent.glob(".c.tmp-*"))  # what the victim left
    obtain(folder, KEY, build, owned=True)
    assert is_sound(folder, KEY)
    assert list(folder.parent.glob(".c.tmp-*")) == []


def test_a_second_process_waits_and_uses_what_the_first_built(folder):
    first = child(folder)
    assert first.stdout.readline() == "building\n"
    second = child(folder)
    assert first.communicate("go\n")[0] == "done\n"
    assert second.communicate("")[0] == "done\n"  # and not "building"
    assert (first.returncode, second.returncode) == (0, 0)
    assert is_sound(folder, KEY)
