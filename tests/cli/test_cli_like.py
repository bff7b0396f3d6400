"""build --like: an update keeps paths and layout, and with --only all weights but a few."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_project

from tipsc.engine import read_engine
from tipsc.errors import UsageError
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.choose import kept_paths
from tipsc.pipeline.like import Like
from tipsc.runtime import Engine

BUILD = {
    "paths": 3, "measured": 10, "evaluations": 5, "calibration_images": 256, "verify_examples": 16,
}  # fmt: skip


def weights(file: Path) -> np.ndarray:
    return np.frombuffer(read_engine(file).weights, np.uint8)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A project, and an engine of three paths that was built from it."""
    folder = write_project(tmp_path_factory.mktemp("like") / "digits", build=BUILD)
    old = folder / "old.tipsc"
    Pipeline(folder, output=old).run()
    return folder, old


def test_the_head_alone_is_trained_again(
    built: tuple[Path, Path], call: Any, tmp_path: Path
) -> None:
    folder, old = built
    new = tmp_path / "new.tipsc"
    done = call(
        "build", folder, "--like", old, "--only", "head", "--output", new, "--format", "json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    before, after = read_engine(old), read_engine(new)
    assert after.order == before.order
    assert found["only"] == ["head"]
    assert [stage["name"] for stage in found["stages"]] == ["again", "engine"]
    changed = np.flatnonzero(weights(old) != weights(new))
    head = 10 * 16 * 4  # of 16 features for 10 classes
    assert 0 < np.ptp(changed) < head
    assert found["delta_bytes"] < head + 8000 < found["engine_bytes"]  # graphs and manifest
    done = call("verify", new, folder)
    assert done.returncode == 0, done.stderr
    with Engine.open(new) as engine:
        assert all(path.latency for path in engine.paths)


def test_a_path_more_leaves_the_others_where_they_are(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, old = built
    config = folder / "tipsc.yaml"
    asked = config.read_text()
    new = tmp_path / "new.tipsc"
    try:
        config.write_text(json.dumps({**json.loads(asked), "build": {**BUILD, "paths": 4}}))
        Pipeline(folder, output=new, like=Like.read(old)).run()
    finally:
        config.write_text(asked)
    before, after = read_engine(old), read_engine(new)
    assert after.order[:3] == before.order and len(after.order) == 4
    assert all(after.graph(path) == before.graph(path) for path in before.order)
    assert np.array_equal(weights(new)[: len(before.weights)], weights(old))


def test_what_cannot_be_is_one_sentence(
    built: tuple[Path, Path], call: Any, tmp_path: Path
) -> None:
    folder, old = built
    other = write_project(tmp_path / "other", build={**BUILD, "paths": 2})
    with pytest.raises(UsageError, match="more paths than the configuration asks for"):
        kept_paths(Pipeline(other, like=Like.read(old)))
    asked = {
        "--only trains parts of an engine again": (folder, "--only", "head"),
        "has no report": (folder, "--like", old, "--only", "head", "--report", tmp_path / "r"),
        "built for another target": (
            folder, "--target", "mobile-cpu", "--like", old, "--only", "head",
        ),
        "the weights that this engine was made from are not here": (
            other, "--like", old, "--only", "biases",
        ),
    }  # fmt: skip
    for says, words in asked.items():
        done = call("build", *words, "--quiet")
        assert done.returncode == 2, (says, done.stderr)
        assert says in done.stderr.splitlines()[-1], done.stderr
