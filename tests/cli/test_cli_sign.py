"""tipsc sign and inspect --key: a pair of keys as openssl makes them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest


def openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    openssl("genpkey", "-algorithm", "ed25519", "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    return private, public


def test_an_engine_is_signed_and_checked(
    call: Any, built_engine: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    engine = Path(shutil.copy(built_engine, tmp_path / "mine.tipsc"))
    done = call("inspect", engine, "--key", keys[1])
    assert done.returncode == 3 and done.stdout == ""
    assert done.stderr.startswith("error: ") and "this engine has no signature" in done.stderr
    signed = json.loads(call("sign", engine, "--key", keys[0], "--format", "json").stdout)
    assert signed["signature"] == f"{engine}.sig"
    found = json.loads(call("inspect", engine, "--key", keys[1], "--format", "json").stdout)
    assert found["signed_by"] == signed["public_key"]
    assert json.loads(call("inspect", engine, "--format", "json").stdout)["signed_by"] is None
    assert f"signed by {signed['public_key']}" in call("inspect", engine, "--key", keys[1]).stdout


def test_a_wrong_key_is_one_sentence(
    call: Any, built_engine: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    done = call("sign", built_engine, "--key", keys[1], "-o", tmp_path / "sig")
    assert done.returncode == 2 and not (tmp_path / "sig").exists()
    (line,) = done.stderr.splitlines()
    assert "this is not a private key of Ed25519" in line
