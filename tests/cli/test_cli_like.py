"""build --like: an update keeps paths and layout, and with --only all weights but a few."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_project

from tipsc.engine import read_engine
from tipsc.errors import UsageError
from tipsc.lower import lower
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.choose import kept_paths
from tipsc.pipeline.engine import asked_for
from tipsc.pipeline.like import Like
from tipsc.pipeline.ship import shipped
from tipsc.runtime import Engine

BUILD = {
    "paths": 3, "measured": 10, "evaluations": 5, "calibration_images": 256, "verify_examples": 16,
}  # fmt: skip


def weights(file: Path) -> np.ndarray:
    return np.frombuffer(read_engine(file).weights, np.uint8)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A project, and an engine that was built from it, of three paths at most."""
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


def test_a_path_more_leaves_the_others_where_they_are(built: tuple[Path, Path]) -> None:
    folder, old = built
    order = read_engine(old).order
    config = folder / "tipsc.yaml"
    asked = config.read_text()
    try:
        paths = len(order) + 1
        config.write_text(json.dumps({**json.loads(asked), "build": {**BUILD, "paths": paths}}))
        pipeline = Pipeline(folder, like=Like.read(old))
        candidates = shipped(pipeline)
    finally:
        config.write_text(asked)
    assert tuple(c.path.id for c in candidates)[:-1] == order
    fewer, more = (
        lower(
            pipeline.supernet,
            [c.path for c in given],
            {c.path.id: c.statistics for c in given},
        )
        for given in (candidates[:-1], candidates)
    )
    assert all(more.graphs[path] == fewer.graphs[path] for path in order)
    assert more.weights.startswith(fewer.weights)


def of_two_paths(old: Path, pipeline: Pipeline) -> Like:
    """As if the engine had the smallest path of the space and the largest."""
    like, space = Like.read(old), pipeline.untrained.space
    entry = like.manifest.paths[0]
    entries = tuple(
        replace(entry, id=path.id, options=dict(path.items))
        for path in (space.smallest, space.largest)
    )
    manifest = replace(like.manifest, paths=entries)
    return replace(like, manifest=manifest, order=tuple(path.id for path in entries))


def test_its_paths_ship_whatever_they_are_worth(built: tuple[Path, Path]) -> None:
    folder, old = built
    pipeline = Pipeline(folder)
    pipeline.like = of_two_paths(old, pipeline)
    own = pipeline.like.order[0]
    assert own in asked_for(pipeline) and "added" not in asked_for(pipeline)
    pipeline.like = None
    assert own not in asked_for(pipeline)


def test_what_cannot_be_is_one_sentence(
    built: tuple[Path, Path], call: Any, tmp_path: Path
) -> None:
    folder, old = built
    other = write_project(tmp_path / "other", build={**BUILD, "paths": 1})
    fewer = Pipeline(other)
    fewer.like = of_two_paths(old, fewer)
    with pytest.raises(UsageError, match="more paths than the configuration asks for"):
        kept_paths(fewer)
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
