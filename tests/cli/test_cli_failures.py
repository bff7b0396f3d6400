"""Bad input, each with its clear sentence and exit code, through the real command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import click
import numpy as np
import pytest
from conftest import write_project

from tipsc.cli.app import VERBS
from tipsc.cli.failures import report_failure
from tipsc.engine import read_engine
from tipsc.errors import DeviceError


def fails(done, code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr, done.stderr


def test_nothing_asked_for_shows_the_verbs(tipsc):
    done = tipsc()
    assert done.returncode == 0 and done.stderr == ""
    assert all(verb in done.stdout for verb in VERBS)


def test_no_such_verb(tipsc):
    fails(tipsc("buidl"), 2, "no verb 'buidl'", "did you mean build?")


def test_an_unknown_option_and_a_missing_argument(tipsc):
    fails(tipsc("inspect", "--formt", "json"), 2, "--formt", "tipsc inspect --help")
    fails(tipsc("-q", "inspect"), 2, "-q", "after the verb")
    fails(tipsc("inspect"), 2, "missing argument 'ENGINE'")


def test_no_configuration(tipsc, tmp_path):
    fails(tipsc("build", tmp_path), 2, "cannot read the configuration", "tipsc.yaml")


def test_an_unknown_key(tipsc, tmp_path):
    folder = write_project(tmp_path / "p", train={"epoch": 3})
    fails(tipsc("build", folder), 2, "tipsc.yaml, key train.epoch: unknown key", "epochs")


def test_a_missing_callable(tipsc, tmp_path):
    folder = write_project(tmp_path / "p", data={"callable": "data.py:laod"})
    fails(tipsc("train", folder), 2, "no callable 'laod'", "data.callable", "did you mean load")


def test_data_of_the_wrong_shape(tipsc, tmp_path):
    data = {"callable": "data.py:load", "arguments": {"channels_last": True}}
    folder = write_project(tmp_path / "p", data=data)
    fails(tipsc("build", folder, "--quiet"), 2, "do not fit the model's input", "(1, 8, 8)",
          "(8, 8, 1)", "put the channels first")  # fmt: skip


def test_a_target_that_does_not_exist(tipsc, project):
    fails(tipsc("build", project, "--target", "hots"), 2, "no target 'hots'", "did you mean host?")
    fails(tipsc("targets", "hots"), 2, "did you mean host?")


def test_a_target_file_with_an_unknown_backend(call, project):
    target = project / "mine.yaml"
    target.write_text("name: mine\ndescription: mine\nbackend: onnxruntim\n")
    done = call("build", project, "--target", target)
    fails(done, 2, f"{target}, key backend", "litert", "did you mean onnxruntime?")
    assert not (project / "runs").exists()  # before any work


def test_a_budget_that_no_path_fits(tipsc, built_engine):
    fastest = read_engine(built_engine).manifest.paths[0].id
    done = tipsc("run", built_engine, "--random", 0, "--budget-ms", 0.5)
    fails(done, 2, "no path fits a budget of 0.5 ms", f"the fastest, {fastest}, takes 1.5 ms")


@pytest.mark.parametrize("verb", ["run", "bench"])
def test_an_unknown_path(tipsc, built_engine, verb):
    known = read_engine(built_engine).manifest.paths[0].id
    wrong = known[:-1] + ("0" if known[-1] != "0" else "1")
    arguments = ("--random", 0) if verb == "run" else ()
    done = tipsc(verb, built_engine, "--path", wrong, *arguments)
    fails(done, 2, f"no path '{wrong}'", f"did you mean {known}")


def test_no_input_or_two(tipsc, built_engine, image_file):
    fails(tipsc("run", built_engine), 2, "no input", "--random SEED")
    fails(tipsc("run", built_engine, "--random", 1, "--input", image_file), 2, "two inputs")
    fails(tipsc("run", built_engine, "--random", 1, "--path", "a", "--budget-ms", 3), 2, "exclude")


def test_an_input_that_is_none(tipsc, built_engine, tmp_path):
    file = tmp_path / "x.npy"
    fails(tipsc("run", built_engine, "--input", file), 2, str(file), "No such file")
    np.save(file, np.zeros((1, 8, 8)))
    fails(tipsc("run", built_engine, "--input", file), 2, "float32[1, 1, 8, 8]", "float64[")
    np.save(file, np.array([{"a": 1}]), allow_pickle=True)  # must not be unpickled
    fails(tipsc("run", built_engine, "--input", file), 2, "Python objects, which are not read")
    np.savez(file.with_suffix(".npz"), x=np.array([{"a": 1}], dtype=object))
    fails(tipsc("run", built_engine, "--input", file.with_suffix(".npz")), 2, "Python objects")
    file.write_text("1 2 3")
    fails(tipsc("run", built_engine, "--input", file), 2, "no .npy or .npz file of numbers")


def test_a_damaged_engine(tipsc, built_engine, tmp_path):
    content = bytearray(built_engine.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.tipsc").write_bytes(content)
    (tmp_path / "cut.tipsc").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.tipsc").write_text("no engine")
    for name, verb in (("flipped", "inspect"), ("cut", "run"), ("text", "bench")):
        arguments = ("--random", 0) if verb == "run" else ()
        fails(tipsc(verb, tmp_path / f"{name}.tipsc", *arguments), 3, f"{name}.tipsc")


def test_an_engine_of_another_version(tipsc, built_engine, tmp_path):
    content = bytearray(built_engine.read_bytes())
    content[8:12] = (99).to_bytes(4, "little")
    file = tmp_path / "newer.tipsc"
    file.write_bytes(content)
    fails(tipsc("inspect", file), 3, "another format version", "got 99")


def test_no_engine_at_all(tipsc, tmp_path):
    fails(tipsc("inspect", tmp_path / "none.tipsc"), 2, "No such file")


def test_errors_as_json_are_the_last_line_of_stderr(tipsc, built_engine):
    done = tipsc("run", built_engine, "--random", 0, "--budget-ms", 0.5, "--format", "json")
    assert done.returncode == 2 and done.stdout == ""
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["kind"] == "BudgetError" and error["exit_code"] == 2
    assert error["expected"] == "budget_ms >= 1.5" and error["got"] == "0.5"
    usage = json.loads(tipsc("inspect", "--format=json").stderr)["error"]
    assert usage["kind"] == "UsageError"


def test_an_error_in_the_user_s_code_names_the_place(call, tmp_path):
    folder = write_project(tmp_path / "p")
    (folder / "data.py").write_text("def load():\n    return 1 / 0\n")
    done = call("train", folder)
    assert done.returncode in (1, 2)
    assert "division by zero" in done.stderr and "data.py" in done.stderr
    assert "defect" not in done.stderr and "Traceback" not in done.stderr
    assert "Traceback" in call("train", folder, "--debug").stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_being_stopped_is_one_line(built_engine, tmp_path, number, code):
    engine = tmp_path / built_engine.name
    engine.write_bytes(built_engine.read_bytes())
    command = [sys.executable, "-m", "tipsc", "bench", str(engine), "--rounds", "10000"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A shell starts what runs in its background with Ctrl-C ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not list(tmp_path.glob("*-cache/**/*.onnx")):  # then it has begun
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code and out == ""
    assert err.strip() == "stopped"


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DeviceError("no answer", where="pi4"), 4, "error: pi4: no answer"),
        (RuntimeError("x"), 1, "tipsc doctor"),
        (ModuleNotFoundError("no torch", name="torch"), 1, "pip install -e '.[train]'"),
        (ModuleNotFoundError("no timm", name="timm"), 1, "module timm is not installed"),
        (click.Abort(), 130, "started again"),
    ],
)
def test_exit_codes(capsys, error, code, says):
    assert report_failure(error, ["build"]) == code
    assert says in capsys.readouterr().err


def test_paths_of_the_system_that_cannot_be_written_are_no_defect(call, built_engine, tmp_path):
    (tmp_path / "file").write_text("kept")
    done = call("unpack", built_engine, tmp_path / "file")
    assert done.returncode == 2
    assert f"{tmp_path / 'file'}: file exists" in done.stderr and "defect" not in done.stderr
    assert (tmp_path / "file").read_text() == "kept"


def test_two_engines_are_not_unpacked_into_one_folder(call, built_engine, tmp_path):
    folder = tmp_path / "out"
    assert call("unpack", built_engine, folder).returncode == 0
    assert call("unpack", built_engine, folder).returncode == 0  # the same once more
    weights = folder / "weights.bin"
    other = bytes(len(weights.read_bytes()))
    weights.write_bytes(other)
    done = call("unpack", built_engine, folder)
    assert done.returncode == 2 and "another engine was unpacked" in done.stderr
    assert weights.read_bytes() == other


@pytest.mark.parametrize(
    ("where", "code", "line"),
    [
        ("data.py", "import sys\n\n\ndef load():\n    sys.exit(0)\n", 5),
        ("data.py", "raise SystemExit\n", 1),
        ("helper.py", "import sys\n\nsys.exit('done')\n", 3),
    ],
)
def test_code_of_the_users_that_ends_the_program_has_not_done_it(
    tipsc, tmp_path, where, code, line
):
    folder = write_project(tmp_path / "p")
    if where == "helper.py":
        (folder / "data.py").write_text("import helper\n")
    (folder / where).write_text(code)
    for verb in ("build", "train"):
        fails(tipsc(verb, folder), 1, f"{where}, line {line}", "ended the program", "__main__")


NOISY = """
import ctypes
print("from Python")
ctypes.CDLL(None).puts(b"from C"); ctypes.CDLL(None).fflush(None)
import subprocess
subprocess.run(["echo", "from a child"])
"""


@pytest.mark.parametrize("verb", ["train", "score"])
def test_what_user_code_prints_leaves_json_alone(tipsc, tmp_path, verb):
    folder = write_project(tmp_path / "p", train={"epochs": 1, "frozen_epochs": 0})
    data = folder / "data.py"
    data.write_text(NOISY + data.read_text().replace('"""8', 'print("in load")\n    """8'))
    done = tipsc(verb, folder, "--format", "json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    for said in ("from Python", "from C", "from a child"):
        assert said in done.stderr or verb == "score"  # which needs no data
