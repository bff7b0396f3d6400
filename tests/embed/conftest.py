"""Fixtures of the C library: built once for all tests, and a tiny net as an engine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
sys.path.insert(0, str(Path(__file__).parents[1] / "compile"))
sys.path.insert(0, str(Path(__file__).parents[1] / "fuzzing"))

from building import built, missing_tools, with_tensorrt
from conftest_engine import *  # noqa: F403
from library import Library
from stand_in_tensorrt import libraries
from test_format_document import finished as finished

WITH_LITERT = ["test_c_litert.py", "test_c_reader.py", "test_c_tflite.py"]
collect_ignore = [] if importlib.util.find_spec("ai_edge_litert") else WITH_LITERT
if not os.environ.get("TIPSC_SLOW"):  # minutes of compilers: `make embed` runs them
    collect_ignore += ["test_c_sanitizers.py", "test_kotlin.py", "test_kotlin_project.py"]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """embed/, built as for a release and with the programs that tests run."""
    missing = missing_tools("cmake", "cc")
    if missing:
        pytest.skip(f"no {missing}: libtipsc is not built")
    return built(tmp_path_factory.mktemp("libtipsc"), "-DTIPSC_TESTS=ON", *with_tensorrt())


@pytest.fixture(scope="session")
def nvinfer(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stands for libnvinfer, in host memory."""
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler")
    return libraries(tmp_path_factory.mktemp("nvinfer"))


@pytest.fixture(scope="session")
def library_file(programs: Path) -> Path:
    return programs / "libtipsc.so"


@pytest.fixture(scope="session")
def library(library_file: Path) -> Library:
    return Library(library_file)
