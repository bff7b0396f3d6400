"""What a device gets is enough: nothing that it runs imports a file that stays here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tipsc.device.archive import runtime_archive

CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import tipsc
assert tipsc.__file__.startswith(sys.argv[1]), tipsc.__file__
import tipsc.errors, tipsc.extras, tipsc.runtime, tipsc.device.jobs, tipsc.device.benching
import tipsc.backends.onnxruntime, tipsc.backends.apart, tipsc.backends.tensorrt.job
tipsc.errors.MissingExtraError.of("a package", None, "this")
"""


def test_the_archive_imports_nothing_that_is_not_in_it(tmp_path: Path):
    archive = tmp_path / "tipsc.zip"
    archive.write_bytes(runtime_archive())
    subprocess.run([sys.executable, "-c", CODE, str(archive)], check=True)
