"""A small real engine, and the command as a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tipsc.cli import main

TipscProcess = Callable[..., "subprocess.CompletedProcess[str]"]
MODEL = {
    "classes": 10,
    "input_shape": [1, 8, 8],
    "stem": 8,
    "stem_stride": 1,
    "stages": [{"channels": 8, "depths": [1, 2], "expansions": [2, 4]}],
    "head": 16,
}

#: weights that no measurement has a say in
TRAIN = {"epochs": 2, "frozen_epochs": 1, "paths_per_step": 2, "batch_size": 64, "narrow": 0}

#: provenance as long as that of a build
KEYS = {
    "trained": "0" * 12, "weights": "1" * 12, "profile": "2" * 12, "shipped": "3" * 12,
    "data": "4" * 16,
}  # fmt: skip


def run_tipsc(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs ``python -m tipsc`` to its end."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "tipsc", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=170,
        check=False,
        **options,
    )


@pytest.fixture(scope="session")
def tipsc() -> TipscProcess:
    return run_tipsc


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> TipscProcess:
    """The command in this process: where torch is needed, importing it again takes seconds."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
        said = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, int(end.value.code or 0), said.out, said.err)

    return run


@pytest.fixture(scope="session")
def built_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An engine of four paths of an untrained net, lowered as a build does it."""
    import torch

    from tipsc.compile import Job, compile_candidates
    from tipsc.elastic import CostModel, family
    from tipsc.engine import Latency
    from tipsc.pipeline.manifest import make_manifest
    from tipsc.project.target import load_target
    from tipsc.quality import Quality
    from tipsc.search.candidates import Candidate
    from tipsc.train import calibrate

    torch.manual_seed(0)
    supernet = family("mobilenet", **MODEL).eval()
    images = torch.randn(64, 1, 8, 8)
    costs, candidates = CostModel(supernet), []
    for place, path in enumerate(list(supernet.space.enumerate())[:4]):
        cost = costs.of(path)
        statistics = calibrate(supernet, path, [images])
        quality = Quality("accuracy", 0.5 + place / 10, "share")
        candidates.append(Candidate(path, quality, cost.macs, cost.parameters, statistics))
    job = Job(
        target=load_target("host"),
        supernet=supernet,
        candidates=candidates,
        inputs=images,
        cache=tmp_path_factory.mktemp("compiled"),
        progress=lambda done, total, note="": None,
    )
    lowered = compile_candidates(job)
    manifest = make_manifest("tiny", load_target("host"), supernet, candidates, lowered, KEYS)
    by_macs = sorted(manifest.paths, key=lambda path: path.macs)
    for place, path in enumerate(by_macs, 1):  # made up: what is measured is not reproducible
        object.__setattr__(path, "latency", Latency(place * 0.9, place * 1.0, place * 1.5))
    file = tmp_path_factory.mktemp("engine") / "tiny-host.tipsc"
    lowered.write(file, type(manifest)(**{**vars(manifest), "paths": tuple(by_macs)}))
    return file


@pytest.fixture
def image_file(tmp_path: Path) -> Path:
    file = tmp_path / "image.npy"
    np.save(file, np.random.default_rng(0).standard_normal((1, 8, 8)).astype(np.float32))
    return file


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a tiny configuration over scikit-learn's digits (real images, 8 x 8)."""
    return write_project(tmp_path / "digits")


def write_project(folder: Path, **changes: Any) -> Path:
    folder.mkdir()
    config = {
        "name": "digits",
        "model": {"family": "mobilenet", "arguments": MODEL},
        "data": {"callable": "data.py:load"},
        "train": TRAIN,
        "build": {"paths": 4, "evaluations": 6, "calibration_images": 256, "verify_examples": 16},
    }
    (folder / "tipsc.yaml").write_text(json.dumps({**config, **changes}))  # JSON is YAML
    (folder / "data.py").write_text(DATA)
    return folder


DATA = '''
import torch
from sklearn.datasets import load_digits

from tipsc.tasks import Classification
from tipsc.train import Data, Split


def load(channels_last=False):
    """8 x 8 images of handwritten digits."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    if channels_last:
        images = images.movedim(1, -1)
    labels = torch.tensor(digits.target, dtype=torch.int64)
    return Data(
        Split(images[:1200], labels[:1200]),
        Split(images[1200:1500], labels[1200:1500]),
        Split(images[1500:], labels[1500:]),
        Classification(tuple("0123456789")),
    )
'''
