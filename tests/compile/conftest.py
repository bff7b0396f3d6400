from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from tiny_paths import (
    MOBILENET,
    TEMPORAL,
    candidates_of,
    compiled,
    net,
    some_paths,
    write_engine_of,
)

from tipsc.compile.litert import CompiledTflite
from tipsc.elastic import Supernet
from tipsc.search.candidates import Candidate

# An installation without the extra litert-build cannot compile; `dev` has it from Python 3.11 on.
collect_ignore_glob = [] if importlib.util.find_spec("litert_torch") else ["test_litert_*.py"]
if not os.environ.get("TIPSC_SLOW"):  # a Kotlin compiler takes a minute: `make embed` runs it
    collect_ignore_glob.append("test_litert_kotlin.py")


class Case:
    """A supernet, some of its paths, and what they compiled to."""

    def __init__(self, supernet: Supernet, cache: Path, folder: Path, paths: int) -> None:
        self.supernet, self.cache, self.folder = supernet, cache, folder
        self.candidates: list[Candidate] = candidates_of(supernet, some_paths(supernet, paths))
        self.compiled: CompiledTflite = compiled(supernet, self.candidates, cache)
        self.engine = write_engine_of(
            folder / "engine.tipsc", supernet, self.candidates, self.compiled
        )


@pytest.fixture(scope="session")
def images_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    supernet = net("mobilenet", **MOBILENET)
    return Case(
        supernet, tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("images"), paths=3
    )


@pytest.fixture(scope="session")
def series_case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    supernet = net("temporal", **TEMPORAL)
    return Case(
        supernet, tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("series"), paths=2
    )


@pytest.fixture(scope="session")
def int8_engine(images_case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = compiled(images_case.supernet, images_case.candidates, images_case.cache, "int8")
    return write_engine_of(
        tmp_path_factory.mktemp("int8") / "engine.tipsc",
        images_case.supernet,
        images_case.candidates,
        result,
        "int8",
    )
