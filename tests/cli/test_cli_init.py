"""tipsc init: what it asks and writes, and that each project builds as it stands."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tipsc.cli.starts import FAMILIES, STARTS
from tipsc.elastic import family as make_family
from tipsc.project import callables as user_code
from tipsc.project.config import load_config
from tipsc.project.tasks import task_of
from tipsc.train import Data

CLONE = Path(__file__).parents[2]
#: other tasks take as long again each: TIPSC_SLOW=1, as `make docs-slow` sets
BUILT = [("--task", "regression")]
if os.environ.get("TIPSC_SLOW"):
    BUILT = [("--task", task) for task in STARTS] + [("--family", family) for family in FAMILIES]
FILES = {"tipsc.yaml", "model.py", "data.py", "data.npz"}


def shortened(folder: Path) -> Path:
    """The same project with the least of everything."""
    least = {"epochs": 2, "frozen_epochs": 1, "paths": 2, "measured": 10, "evaluations": 4}
    settings = (folder / "tipsc.yaml").read_text()
    for key, value in least.items():
        settings, _ = re.subn(rf"^  {key}: \d+", f"  {key}: {value}", settings, flags=re.M)
    (folder / "tipsc.yaml").write_text(settings)
    if (folder / "model.py").is_file():
        model = (folder / "model.py").read_text()
        model, found = re.subn(r"(LEARNING_RATE = )\d+,", r"\g<1>2,", model)
        assert found == 1
        (folder / "model.py").write_text(model)
    return folder


@pytest.mark.parametrize("task", STARTS)
def test_data_and_model_of_each_task_fit_each_other(call: Any, tmp_path: Path, task: str) -> None:
    made = call("init", tmp_path / "new", "--task", task, "--format", "json")
    assert made.returncode == 0, made.stderr
    files = {Path(file).name for file in json.loads(made.stdout)["files"]}
    assert files == FILES | ({"task.py"} if task == "own" else set())
    folder = shortened(tmp_path / "new")
    config, _ = load_config(folder)
    data = user_code.call("data.py:load", config.data.arguments, folder, "data", (Data,))
    net = user_code.call("model.py:load", {}, folder, "model", (torch.nn.Module,))
    judged = task_of(config.task, folder) if config.task else data.judged_by
    batch = data.test.take(range(8))
    with torch.no_grad():
        outputs = net(batch.inputs)
    judged.check_outputs(outputs)
    assert judged.loss(outputs, batch.targets).isfinite()
    assert (folder / "weights.pt").is_file() and not net.training


def test_the_sample_net_is_trained_again_for_other_data(call: Any, tmp_path: Path) -> None:
    call("init", tmp_path, "--task", "regression")
    folder = shortened(tmp_path)

    def trained() -> torch.nn.Module:
        return user_code.call("model.py:load", {}, folder, "model", (torch.nn.Module,))

    first, again = trained(), trained()
    assert all(map(torch.equal, first.parameters(), again.parameters()))
    chance = np.random.default_rng(1)
    np.savez(tmp_path / "data.npz", inputs=chance.normal(size=(400, 3)), targets=np.ones((400, 2)))
    other = trained()
    assert other.head.out_features == 2 and other.layers[0].in_features == 3


@pytest.mark.parametrize("words", BUILT, ids=lambda words: words[1])
def test_what_is_written_builds_as_it_stands(call: Any, tmp_path: Path, words: Any) -> None:
    call("init", tmp_path / "new", *words)
    folder = shortened(tmp_path / "new")
    done = call("build", folder, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["paths"]) + len(found["left_out"]) >= 2
    assert (folder / "my_model-host.tipsc").is_file()


def test_what_is_written_is_well_formed(call: Any, tmp_path: Path) -> None:
    for task in STARTS:
        assert call("init", tmp_path / task, "--task", task).returncode == 0
    for family in FAMILIES:
        assert call("init", tmp_path / family, "--family", family).returncode == 0
    for file in tmp_path.rglob("*.*"):
        assert file.suffix == ".npz" or "{{" not in file.read_text(), file
    for check in (["check"], ["format", "--check"]):
        settings = ["--config", CLONE / "pyproject.toml", "--no-cache"]
        ruff = [sys.executable, "-m", "ruff", *check, *settings, tmp_path]
        done = subprocess.run(ruff, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_two_functions_are_marked_to_be_replaced(call: Any, tmp_path: Path) -> None:
    said = call("init", tmp_path / "new").stderr
    assert "YOURS: load in model.py, read in data.py" in said
    for file, function in (("model.py", "load"), ("data.py", "read")):
        text = (tmp_path / "new" / file).read_text()
        marked = text[text.index("==== YOURS") : text.index("==== up to here")]
        assert re.findall(r"^def (\w+)", marked, re.M) == [function]


def test_a_model_and_data_of_one_s_own_are_named_from_here(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets").mkdir()
    Path("nets/mine.py").write_text(
        "import torch\n\ndef net():\n    return torch.nn.Linear(6, 1)\n"
    )
    np.savez("mine.npz", inputs=np.eye(60, 6), targets=np.arange(60.0))
    words = ("--task", "regression", "--model", "nets/mine.py:net", "--data", "mine.npz")
    done = call("init", "new", *words, "--target", "raspberry-pi-5", "--name", "mine")
    assert done.returncode == 0, done.stderr
    assert "tipsc build new --target raspberry-pi-5" in done.stderr
    assert {file.name for file in Path("new").iterdir()} == {"tipsc.yaml", "data.py"}
    config, folder = load_config("new")
    assert config.name == "mine"
    data = user_code.call("data.py:load", config.data.arguments, folder, "data", (Data,))
    assert len(data.train) == 42 and data.train.targets.shape == (42, 1)
    net = user_code.call(str(config.model.callable), {}, folder, "model", (torch.nn.Module,))
    assert net.in_features == 6

    Path('it\'s "1".npz').write_bytes(Path("mine.npz").read_bytes())
    for name in ("1e5", "no"):
        odd = call("init", name, "--name", name, "--data", 'it\'s "1".npz', "--task", "own")
        assert odd.returncode == 0, odd.stderr
        config, folder = load_config(name)
        assert config.name == name
        data = user_code.call("data.py:load", config.data.arguments, folder, "data", (Data,))
        assert len(data.train) == 42

    Path("net.onnx").write_bytes(b"")
    assert call("init", "onnx", "--model", "net.onnx").returncode == 0
    assert load_config("onnx")[0].model.onnx == "../net.onnx"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "none.py:net"), "none.py: there is no such file"),
        (("--model", "net"), "this does not name a model (expected FILE.py:FUNCTION"),
        (("--data", "here.py:load"), "the sample model does not know these data"),
        (("--data", "here.npy"), "this does not name data"),
        (("--target", "raspbery-pi-5"), "did you mean raspberry-pi-5"),
        (("--name", "my model"), "this cannot be a name"),
        (("--family", "temporal", "--plain"), "leave one of both out"),
        (("--family", "temporal", "--model", "here.py:load"), "leave one of both out"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Any, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here.py").write_text("")
    refused = call("init", "new", *words)
    assert refused.returncode == 2 and said in refused.stderr, refused.stderr
    assert not Path("new").exists()


def test_what_is_there_is_not_overwritten(call: Any, tmp_path: Path) -> None:
    call("init", tmp_path)
    again = call("init", tmp_path, "--task", "text")
    assert again.returncode == 2 and "--force" in again.stderr
    assert call("init", tmp_path, "--task", "text", "--force").returncode == 0


def in_a_terminal(folder: Path, answers: str) -> str:
    """What `tipsc init` prints in a terminal in which somebody types `answers`."""
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "tipsc", "init", "new"]
    environment = {**os.environ, "PYTHONPATH": str(CLONE), "TERM": "dumb"}
    process = subprocess.Popen(
        words, stdin=slave, stdout=slave, stderr=slave, cwd=folder, env=environment
    )
    os.close(slave)
    os.write(master, answers.encode())
    said = b""
    while True:
        try:
            more = os.read(master, 4096)
        except OSError:  # it has ended
            break
        said += more
        if not more:
            break
    os.close(master)
    assert process.wait(60) == 0, said.decode()
    return said.decode()


def test_a_terminal_is_asked(tmp_path: Path) -> None:
    said = in_a_terminal(tmp_path, "detector\n3\nno.py:net\n\n\n?\njetson\n")
    assert "there is no task 'detector'; did you mean detection" in said
    assert "no.py: there is no such file" in said
    assert "raspberry-pi-5" in said
    assert "tipsc build new --target jetson" in said
    assert "detection" in (tmp_path / "new" / "data.py").read_text()


def test_enter_takes_what_stands_in_brackets(tmp_path: Path) -> None:
    assert "tipsc build new\r\n" in in_a_terminal(tmp_path, "\n\n\n\n")
    assert {file.name for file in (tmp_path / "new").iterdir()} == FILES


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_gives_a_project_that_is_valid_and_scores(
    call: Any, tmp_path: Path, family: str
) -> None:
    made = call("init", tmp_path, "--family", family, "--format", "json")
    assert made.returncode == 0 and len(json.loads(made.stdout)["files"]) == 3
    scored = call("score", tmp_path, "--subnetworks", 8, "--top", 5, "--format", "json")
    assert scored.returncode == 0, scored.stderr
    found = json.loads(scored.stdout)
    scores = [entry["tas"] for entry in found["feature_maps"]]
    assert len(scores) == 5 and scores == sorted(scores, reverse=True)
    assert found["paths"]["largest"]["tps"] > found["paths"]["smallest"]["tps"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_supernet_takes_the_data_that_are_written(call: Any, tmp_path: Path, family: str) -> None:
    call("init", tmp_path, "--family", family)
    config, _ = load_config(tmp_path)
    data = user_code.call("data.py:load", config.data.arguments, tmp_path, "data", (Data,))
    supernet = make_family(family, **config.model.arguments).eval()
    with torch.no_grad():
        outputs = supernet(data.test.take(range(2)).inputs, supernet.space.largest)
    data.judged_by.check_outputs(outputs)


def test_data_that_are_none_are_refused(call: Any, tmp_path: Path) -> None:
    call("init", tmp_path)
    (tmp_path / "data.npz").unlink()
    none = call("check", tmp_path)
    assert none.returncode == 2 and "there are no data yet" in none.stderr
    images, labels = np.zeros((50, 1, 8, 8), np.uint8), np.arange(50) % 10
    for arrays, said in (
        ({"images": images, "targets": labels}, "no array 'inputs'"),
        ({"inputs": images, "targets": labels.astype(str)}, "np.unique(labels"),
        ({"inputs": images, "targets": labels + 1}, "class numbers begin with 1"),
        (
            {"inputs": images, "targets": labels, "classes": list("abcdefghi")},
            "name all 10 classes",
        ),
        ({"inputs": images, "targets": labels[:10]}, "not equally many"),
        ({"inputs": images[:5], "targets": labels[:5]}, "too few examples"),
        ({"inputs": np.array([None]), "targets": labels}, "no .npz file of plain arrays"),
    ):
        np.savez(tmp_path / "data.npz", **arrays)
        wrong = call("check", tmp_path)
        assert wrong.returncode == 2 and said in wrong.stderr, wrong.stderr


def test_inputs_of_a_model_of_one_s_own_stay_as_they_are() -> None:
    from tipsc.cli.starts import Wanted, files_of

    own = files_of(Wanted(model="nets.py:trained", data="measured.npz"))
    sample = files_of(Wanted(data="measured.npz"))
    assert b"deviation" in sample["data.py"] and b"deviation" not in own["data.py"]
    assert b"\n  learning_rate" in sample["tipsc.yaml"] and b"epochs: 24" in own["tipsc.yaml"]
    assert b"\n  learning_rate" not in own["tipsc.yaml"]
