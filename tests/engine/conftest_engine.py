"""Fixtures of the rooms engine, backends and runtime: a tiny net as an engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_engine import Net, tiny_net

from tipsc.engine import write_engine


@pytest.fixture(scope="session")
def net() -> Net:
    return tiny_net()


@pytest.fixture(scope="session")
def graphs(net: Net) -> dict[str, bytes]:
    return net.paths(4)


@pytest.fixture
def engine_file(net: Net, graphs: dict[str, bytes], tmp_path: Path) -> Path:
    file = tmp_path / "tiny-host.tipsc"
    write_engine(file, net.manifest(list(graphs)), net.store.blob, graphs)
    return file


@pytest.fixture
def image(net: Net) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((1, 3, net.image, net.image), np.float32)
