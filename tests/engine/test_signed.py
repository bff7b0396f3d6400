"""Signed engines: opened if one of the keys signed them, refused in one sentence otherwise."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from synthetic_engine import tiny_net

from tipsc.engine import parse_engine, read_engine, write_engine
from tipsc.engine.signed import RECORD, check_signed, sign_engine, signature_file
from tipsc.errors import EngineSignatureError, MissingExtraError, UsageError
from tipsc.runtime import Engine

PLAIN = serialization.NoEncryption()


def write_key(folder: Path, name: str, private: Any, protection: Any = PLAIN) -> Path:
    """Files NAME.pem and NAME.pub; the first is returned."""
    pem, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = folder / f"{name}.pem"
    file.write_bytes(private.private_bytes(pem, kind, protection))
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    file.with_suffix(".pub").write_bytes(private.public_key().public_bytes(pem, public))
    return file


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return write_key(tmp_path, "key", Ed25519PrivateKey.generate())


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return write_key(tmp_path, "other", Ed25519PrivateKey.generate())


def written(file: Path, last_weight: int = 0) -> Path:
    """An engine; those of other last weights are others."""
    net = tiny_net()
    graphs = net.paths(2)
    weights = bytes(net.store.blob)[:-1] + bytes([last_weight])
    write_engine(file, net.manifest(list(graphs)), weights, graphs)
    return file


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    return written(tmp_path / "e.tipsc")


def test_an_engine_that_was_signed_is_opened_by_the_public_key(engine: Path, key: Path) -> None:
    public = sign_engine(engine, key)
    assert signature_file(engine).stat().st_size == RECORD.size == 112
    for given in (public, key.with_suffix(".pub"), str(key.with_suffix(".pub")), [public]):
        assert check_signed(read_engine(engine), given) == public
        Engine.open(engine, key=given).close()
    Engine.open(engine).close()  # nobody needs to ask


def test_an_error_says_whose_signatures_there_are(engine: Path, key: Path, other: Path) -> None:
    public, found = sign_engine(engine, key), sign_engine(engine, other)
    with pytest.raises(EngineSignatureError, match=f"got signatures by {found.hex()[:16]}"):
        check_signed(read_engine(engine), public)


def test_any_of_several_keys_will_do(engine: Path, key: Path, other: Path) -> None:
    public = sign_engine(engine, key)
    keys = [other.with_suffix(".pub"), public]
    assert check_signed(read_engine(engine), keys) == public


def test_any_of_several_signatures_will_do(engine: Path, key: Path, tmp_path: Path) -> None:
    """Before an update the file has the signatures of the old engine and of the new one."""
    public = sign_engine(engine, key)
    old = signature_file(engine).read_bytes()
    new = written(tmp_path / "new.tipsc", 1)
    sign_engine(new, key, tmp_path / "new.sig")
    signature_file(engine).write_bytes(old + (tmp_path / "new.sig").read_bytes())
    assert check_signed(read_engine(engine), public) == public
    shutil.copy(new, engine)
    assert check_signed(read_engine(engine), public) == public


def changed(engine: Path, key: Path, other: Path) -> None:
    written(engine, 2)


def by_another(engine: Path, key: Path, other: Path) -> None:
    sign_engine(engine, other)


def renamed_key(engine: Path, key: Path, other: Path) -> None:
    """A signature of the other one that claims to be of the key."""
    of_key = signature_file(engine).read_bytes()
    sign_engine(engine, other)
    of_other = signature_file(engine).read_bytes()
    signature_file(engine).write_bytes(of_key[:48] + of_other[48:])


def missing(engine: Path, key: Path, other: Path) -> None:
    signature_file(engine).unlink()


def edited(change: Callable[[bytes], bytes]) -> Callable[[Path, Path, Path], None]:
    def fault(engine: Path, key: Path, other: Path) -> None:
        file = signature_file(engine)
        file.write_bytes(change(file.read_bytes()))

    return fault


#: what makes a signed engine one that is not, and what is said of it
FAULTS: dict[str, tuple[Callable[[Path, Path, Path], None], str]] = {
    "the engine is another": (changed, "is not signed by a key that is trusted"),
    "by another key": (by_another, "is not signed by a key that is trusted"),
    "another key's, renamed": (renamed_key, "is not signed by a key that is trusted"),
    "missing": (missing, "has no signature"),
    "empty": (edited(lambda raw: b""), "no file of signatures"),
    "cut short": (edited(lambda raw: raw[:-1]), "no file of signatures"),
    "a byte more": (edited(lambda raw: raw + b"x"), "no file of signatures"),
    "too many": (edited(lambda raw: raw * 17), "no file of signatures"),
    "another magic": (edited(lambda raw: b"X" + raw[1:]), "no file of signatures"),
    "another version": (edited(lambda raw: raw[:8] + b"\2" + raw[9:]), "no file of signatures"),
    "no zero": (edited(lambda raw: raw[:12] + b"\1" + raw[13:]), "no file of signatures"),
    "a second one of another version": (
        edited(lambda raw: raw + raw[:8] + b"\2" + raw[9:]),
        "no file of signatures",
    ),
    "another last byte": (edited(lambda raw: raw[:-1] + bytes([raw[-1] ^ 1])), "is not signed by"),
    "another first half": (edited(lambda raw: raw[:48] + b"\0" + raw[49:]), "is not signed by"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_not_signed_is_refused(engine: Path, key: Path, other: Path, name: str) -> None:
    fault, says = FAULTS[name]
    public = sign_engine(engine, key)
    fault(engine, key, other)
    with pytest.raises(EngineSignatureError, match=says):
        Engine.open(engine, key=public)


def test_another_program_verifies_it_by_the_document(
    engine: Path, key: Path, tmp_path: Path
) -> None:
    """docs/engine-format.md: Ed25519 over 16 bytes and the content hash, at these offsets."""
    sign_engine(engine, key)
    raw = signature_file(engine).read_bytes()
    assert raw[:16] == b"TIPSCSIG\x01\0\0\0\0\0\0\0"
    (tmp_path / "message").write_bytes(b"tipsc engine v1\0" + engine.read_bytes()[16:48])
    (tmp_path / "signature").write_bytes(raw[48:])
    command = [
        "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", key.with_suffix(".pub"), "-rawin",
        "-in", tmp_path / "message", "-sigfile", tmp_path / "signature",
    ]  # fmt: skip
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_keys_that_are_none_are_refused(engine: Path, key: Path, tmp_path: Path) -> None:
    curve = write_key(tmp_path, "curve", generate_private_key(SECP256R1()))
    secret = write_key(
        tmp_path, "secret", Ed25519PrivateKey.generate(),
        serialization.BestAvailableEncryption(b"word"),
    )  # fmt: skip
    (tmp_path / "text").write_text("no key")
    for wrong, says in (
        (curve, "not a private key of Ed25519"),
        (tmp_path / "text", "not a private key of Ed25519"),
        (key.with_suffix(".pub"), "not a private key of Ed25519"),
        (secret, "the private key has a passphrase"),
        (tmp_path / "none", "cannot read the key"),
    ):
        with pytest.raises(UsageError, match=says):
            sign_engine(engine, wrong)
    sign_engine(engine, key)
    for given, says in (
        (curve.with_suffix(".pub"), "not a public key of Ed25519"),
        (key, "not a public key of Ed25519"),
        (tmp_path / "none", "cannot read the key"),
        (b"short", "no public key"),
        ([], "no key is given"),
    ):
        with pytest.raises(UsageError, match=says):
            Engine.open(engine, key=given)


def test_an_engine_in_memory_has_no_signature(engine: Path) -> None:
    with pytest.raises(UsageError, match="an engine in memory"):
        check_signed(parse_engine(engine.read_bytes()), bytes(32))


def test_without_the_package_the_extra_is_named(
    engine: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_engine(engine, key)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingExtraError, match=r"needs the package cryptography.*\[sign\]"):
        Engine.open(engine, key=bytes(32))
    Engine.open(engine).close()
