"""A cache counts only where nobody else can write; a lock that is held is no silence for ever."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest

from tipsc.backends import cache_place
from tipsc.backends import onnxruntime as backend_ort
from tipsc.backends.cache import RECORD, is_sound, kept, keyed_folder, obtain
from tipsc.backends.cache_lock import locked
from tipsc.engine import read_engine
from tipsc.errors import EngineDeviceError, UsageError

KEY = {"engine": "e1", "instruction set": "x86_64 avx2"}
STRANGER = 54321
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root makes files of other users")


def build(folder: Path) -> None:
    (folder / "a.onnx").write_bytes(b"graph")


@pytest.fixture
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return tmp_path / "user" / "tipsc"


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    file = tmp_path / "models" / "e.tipsc"
    file.parent.mkdir()
    file.write_bytes(b"engine")
    return file


def foreign_folder(engine: Path) -> None:
    os.chown(engine.parent, STRANGER, STRANGER)


def foreign_engine(engine: Path) -> None:
    os.chown(engine, STRANGER, STRANGER)


def foreign_cache(engine: Path) -> None:
    folder = engine.with_name(f"{engine.name}-cache")
    folder.mkdir()
    os.chown(folder, STRANGER, STRANGER)


def writable_folder(engine: Path) -> None:
    engine.parent.chmod(0o777)


def writable_parent(engine: Path) -> None:
    engine.with_name(f"{engine.name}-cache").mkdir(mode=0o700)
    engine.parent.chmod(0o777)


def writable_cache(engine: Path) -> None:
    folder = engine.with_name(f"{engine.name}-cache")
    folder.mkdir()
    folder.chmod(0o777)


def group_writable_cache(engine: Path) -> None:
    folder = engine.with_name(f"{engine.name}-cache")
    folder.mkdir()
    if os.getuid() == 0:
        os.chown(folder, -1, STRANGER)
    folder.chmod(0o770)


def linked_cache(engine: Path) -> None:
    (engine.parent / "elsewhere").mkdir()
    engine.with_name(f"{engine.name}-cache").symlink_to("elsewhere")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(foreign_folder, marks=needs_root),
        pytest.param(foreign_engine, marks=needs_root),
        pytest.param(foreign_cache, marks=needs_root),
        writable_folder,
        writable_parent,
        writable_cache,
        pytest.param(group_writable_cache, marks=needs_root),
        linked_cache,
    ],
    ids=lambda spoil: spoil.__name__,
)
def test_what_others_could_write_is_not_used(engine, user_cache, spoil):
    assert keyed_folder(engine, KEY).parent == engine.with_name("e.tipsc-cache")
    engine.with_name("e.tipsc-cache").rmdir()
    spoil(engine)
    assert keyed_folder(engine, KEY).parents[1] == user_cache


def test_folders_are_made_for_their_owner_alone(engine, user_cache):
    os_umask = os.umask(0)
    try:
        beside = obtain(keyed_folder(engine, KEY), KEY, build, owned=True)
        engine.parent.chmod(0o777)
        of_user = obtain(keyed_folder(engine, KEY), KEY, build, owned=True)
    finally:
        os.umask(os_umask)
    for folder in (beside, beside.parent, of_user, of_user.parent, user_cache):
        assert folder.stat().st_mode & 0o777 == 0o700
    for file in (*beside.iterdir(), *of_user.iterdir()):
        assert file.stat().st_mode & 0o022 == 0


def test_a_sticky_folder_such_as_tmp_is_fine(engine, user_cache):
    engine.parent.chmod(0o1777)
    cache = engine.with_name(f"{engine.name}-cache")
    assert keyed_folder(engine, KEY).parent == cache


def test_forged_files_with_a_matching_record_do_not_run(engine_file, image, user_cache):
    """The attack itself: another engine's graphs and their true hashes in the engine's cache."""
    expected = backend_ort.open(read_engine(engine_file))["00000000"].run([image])[0]
    cache = engine_file.with_name(f"{engine_file.name}-cache")
    (folder,) = (f for f in cache.iterdir() if f.is_dir())
    weights = folder / "weights.bin"
    forged = np.fromfile(weights, np.uint8)
    forged[:] = 0
    record = json.loads((folder / RECORD).read_bytes())
    weights.write_bytes(forged.tobytes())
    record["files"]["weights.bin"] = hashlib.sha256(forged.tobytes()).hexdigest()
    (folder / RECORD).write_text(json.dumps(record))
    assert is_sound(folder, record["key"])  # hashes alone do not tell
    cache.chmod(0o777)  # whoever forged it had to be able to write
    output = backend_ort.open(read_engine(engine_file))["00000000"].run([image])[0]
    np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_others_can_write_is_built_again(engine, user_cache, what):
    folder = obtain(keyed_folder(engine, KEY), KEY, build, owned=True)
    assert is_sound(folder, KEY)
    (folder if what == "folder" else folder / "a.onnx").chmod(0o777)
    assert not is_sound(folder, KEY)
    assert is_sound(obtain(folder, KEY, build, owned=True), KEY)


def test_links_in_a_cache_are_not_followed(engine, user_cache):
    folder = obtain(keyed_folder(engine, KEY), KEY, build, owned=True)
    (folder / "a.onnx").rename(engine.parent / "moved")
    (folder / "a.onnx").symlink_to(engine.parent / "moved")
    assert not is_sound(folder, KEY)


def test_a_pipe_in_a_cache_does_not_hang(engine, user_cache):
    folder = obtain(keyed_folder(engine, KEY), KEY, build, owned=True)
    for name in ("a.onnx", RECORD):
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert not is_sound(folder, KEY)


def test_a_cache_dir_that_others_can_write_is_refused(tmp_path):
    folder = tmp_path / "c"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(UsageError, match=r"cannot be trusted: others can write.*chmod go-w"):
        obtain(folder, KEY, build, owned=False)
    assert not list(folder.iterdir())


@needs_root
def test_a_cache_dir_of_another_user_is_refused(tmp_path):
    folder = tmp_path / "c"
    folder.mkdir()
    os.chown(folder, STRANGER, STRANGER)
    with pytest.raises(UsageError, match=f"belongs to the user with id {STRANGER}"):
        obtain(folder, KEY, build, owned=False)


def test_a_cache_dir_behind_a_link_is_the_folder_itself(tmp_path):
    (tmp_path / "link").symlink_to("real")
    folder = obtain(tmp_path / "link", KEY, build, owned=False)
    assert folder == tmp_path / "real"
    assert is_sound(folder, KEY)


def test_a_users_own_group_does_not_count(tmp_path, monkeypatch):
    """Systems that give each user such a group make every folder writable by it."""
    folder = tmp_path / "models"
    folder.mkdir()
    folder.chmod(0o770)
    monkeypatch.setattr(cache_place, "_users_own_group", lambda group: False)
    assert "others can write" in cache_place.why_foreign(folder)
    monkeypatch.setattr(cache_place, "_users_own_group", lambda group: True)
    assert cache_place.why_foreign(folder) is None
    folder.chmod(0o777)
    assert "others can write" in cache_place.why_foreign(folder)


NO_HOME = """
    import os, sys
    from pathlib import Path
    import onnxruntime
    import tipsc.backends.onnxruntime
    from tipsc.runtime import Engine
    if os.getuid() == 0:
        os.setgid(54321); os.setuid(54321)
    else:
        import pwd
        def unknown(uid): raise KeyError(uid)
        pwd.getpwuid = unknown
    Engine.open(sys.argv[1]).close()
    print("opened")
"""


def test_no_home_and_no_entry_among_the_users(engine_file):
    for folder in engine_file.parents:  # the other user has to come as far as the file
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o777 if folder == engine_file.parent else 0o755)
    engine_file.chmod(0o644)
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(NO_HOME), str(engine_file)],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stdout == "opened\n", run.stderr
    assert "made again each time" in run.stderr  # and the user learns why opening is slow


def test_a_relative_cache_home_is_ignored(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert keyed_folder(None, KEY).is_relative_to(tmp_path / ".cache")


HOLDER = """
    import sys
    from pathlib import Path
    from tipsc.backends.cache_lock import locked
    with locked(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path: Path):
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path / "c")]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_held_lock_is_waited_for_with_a_word_and_not_for_ever(tmp_path, holder, caplog):
    with (
        caplog.at_level(logging.WARNING, "tipsc"),
        pytest.raises(UsageError, match=rf"held the cache's lock.*process {holder.pid}"),
        locked(tmp_path / "c", say_after=0.05, give_up_after=0.3),
    ):
        pass
    (said,) = caplog.messages
    assert f"waiting for process {holder.pid}" in said


def test_a_lock_that_is_let_go_is_taken(tmp_path, holder):
    holder.stdin.write("go\n")
    holder.stdin.flush()
    with locked(tmp_path / "c"):
        assert (tmp_path / ".c.lock").read_text() == str(os.getpid())


FULL = """
    import resource, signal, sys
    from pathlib import Path
    from tipsc.backends.cache import kept, obtain
    from tipsc.errors import EngineDeviceError, UsageError
    def build(folder):
        try:
            (folder / "a.onnx").write_bytes(bytes(200_000))
        except OSError:  # as a library in C does, which then says something else
            raise EngineDeviceError("the library refuses path 1") from None
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        obtain(Path(sys.argv[1]), {"engine": "e"}, build, owned=True)
    except UsageError as error:
        print(error)
"""


def test_a_backend_that_cannot_write_is_not_blamed(tmp_path):
    """Here by a limit of a file's size; a full disk is the same to whoever writes."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FULL), str(tmp_path / "c")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "cannot keep the finalised engine: File too large" in run.stdout
    assert "has room" in run.stdout


def test_a_backend_that_refuses_is_still_quoted(tmp_path):
    def refuse(folder: Path) -> None:
        raise EngineDeviceError("the library refuses path 1")

    with (
        pytest.raises(EngineDeviceError, match="refuses path 1"),
        kept(None, KEY, refuse, tmp_path / "c"),
    ):
        pass


def test_a_link_is_named_as_one(tmp_path):
    (tmp_path / "link").symlink_to(".")
    assert cache_place.why_foreign(tmp_path / "link") == "it is a symbolic link"
