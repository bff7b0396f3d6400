"""Stages are done once for the same inputs, and nothing is trusted because it lies there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipsc.errors import UsageError
from tipsc.pipeline.stages import Stages, key_of, only_one_build


class Work:
    """Writes a file and counts how often it was called."""

    def __init__(self, text: str = "result") -> None:
        self.text = text
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "file.txt").write_text(self.text)


def test_the_same_inputs_are_done_once(tmp_path: Path) -> None:
    work = Work()
    first = Stages(tmp_path).run("train", {"epochs": 1}, work)
    second = Stages(tmp_path).run("train", {"epochs": 1}, work)
    assert (work.calls, first.cached, second.cached) == (1, False, True)
    assert first.folder == second.folder
    assert second.seconds == pytest.approx(first.seconds, abs=1e-3)


def test_other_inputs_are_done_again(tmp_path: Path) -> None:
    work = Work()
    stages = Stages(tmp_path)
    assert (
        stages.run("train", {"epochs": 1}, work).folder
        != stages.run("train", {"epochs": 2}, work).folder
    )
    assert work.calls == 2


@pytest.mark.parametrize("harm", ["changed", "gone", "no manifest", "manifest cut"])
def test_a_stage_whose_files_changed_is_not_done(tmp_path: Path, harm: str) -> None:
    work = Work()
    folder = Stages(tmp_path).run("train", {}, work).folder
    manifest = folder / "stage.json"
    if harm == "changed":
        (folder / "file.txt").write_text("something else")
    elif harm == "gone":
        (folder / "file.txt").unlink()
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_bytes(manifest.read_bytes()[:-20])
    again = Stages(tmp_path).run("train", {}, work)
    assert not again.cached
    assert (folder / "file.txt").read_text() == "result"


def test_only_a_resumable_stage_finds_what_was_left(tmp_path: Path) -> None:
    found: dict[bool, bool] = {}
    for resumable in (False, True):

        def fail(folder: Path) -> None:
            (folder / "part").write_text("half")
            raise KeyboardInterrupt

        def look(folder: Path, resumable: bool = resumable) -> None:
            found[resumable] = (folder / "part").exists()

        stages, inputs = Stages(tmp_path), {"resumable": resumable}
        with pytest.raises(KeyboardInterrupt):
            stages.run("train", inputs, fail, resumable=resumable)
        stages.run("train", inputs, look, resumable=resumable)
    assert found == {False: False, True: True}


def test_a_second_build_in_the_same_folder_is_refused_until_the_first_is_killed(
    tmp_path: Path,
) -> None:
    script = textwrap.dedent(
        f"""
        import time
        from pathlib import Path
        from tipsc.pipeline.stages import only_one_build
        with only_one_build(Path({str(tmp_path)!r})):
            print("holding", flush=True)
            time.sleep(60)
        """
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "holding\n"
    with pytest.raises(UsageError, match="another build"), only_one_build(tmp_path):
        pass
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    for _ in range(100):  # the kernel gives the lock back, if not at this very moment
        try:
            with only_one_build(tmp_path):
                return
        except UsageError:
            time.sleep(0.05)
    raise AssertionError("the lock outlived its process")


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.integers())))
def test_a_key_does_not_depend_on_the_order_of_inputs(inputs: dict[str, object]) -> None:
    assert key_of(inputs) == key_of(dict(reversed(inputs.items())))
    assert key_of(inputs) != key_of({**inputs, "one more": 0.5})
