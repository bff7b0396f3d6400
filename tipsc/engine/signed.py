"""Who made an engine: a signature in a file beside it, ``<engine>.sig`` (docs/engine-format.md).

Signed is the content hash, which covers every byte of the engine and is compared when it is read;
so a signature costs no second look at the file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tipsc.engine.atomic import write_atomically
from tipsc.engine.read import EngineFile, read_engine
from tipsc.errors import EngineSignatureError, MissingExtraError, UsageError
from tipsc.files import open_regular

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

MAGIC, VERSION = b"TIPSCSIG", 1
#: magic, version, zero, public key, signature
RECORD = struct.Struct("<8sII32s64s")
MOST_RECORDS = 16
CONTEXT = b"tipsc engine v1\0"  # what else the key may sign is no signature of an engine
_LARGEST_KEY = 1 << 16  # bytes of a file

Key: TypeAlias = "bytes | str | os.PathLike[str]"
"""A public key: its 32 bytes, or a PEM file."""


def signature_file(engine: Path) -> Path:
    """Where the signatures of an engine lie."""
    return engine.with_name(engine.name + ".sig")


def sign_engine(engine: Path, key: Path, file: Path | None = None) -> bytes:
    """Checks an engine and writes its signature; gives the public key, 32 bytes.

    Args:
        key: a PEM file with an Ed25519 private key.
        file: where to; by default :func:`signature_file`, replaced if it is there.

    Raises:
        UsageError: a file cannot be read, or `key` is no such key.
        EngineError: the engine cannot be used.
        MissingExtraError: the package cryptography is not installed.
    """
    private = _private_key(key)
    found = read_engine(engine)
    public = private.public_key().public_bytes_raw()
    signature = private.sign(_message(found))
    record = RECORD.pack(MAGIC, VERSION, 0, public, signature)
    write_atomically(file or signature_file(engine), [record])
    return public


def check_signed(engine: EngineFile, keys: Key | Sequence[Key]) -> bytes:
    """Refuses an engine that none of these keys has signed; gives the one that has, 32 bytes.

    Raises:
        EngineSignatureError: there is no signature of this engine by one of them.
        UsageError: a key is none, or a file cannot be read.
        MissingExtraError: the package cryptography is not installed.
    """
    given = [keys] if isinstance(keys, bytes | str | os.PathLike) else list(keys)
    public = {key.public_bytes_raw(): key for key in map(_public_key, given)}
    if not public:
        raise UsageError("no key is given", where="key", fix="give one, or leave `key` out")
    if engine.file is None:
        raise UsageError("an engine in memory has no file of signatures", where="key")
    file = signature_file(engine.file)
    from cryptography.exceptions import InvalidSignature

    signers = []
    for name, signature in _records(file):
        if name in public:
            try:
                public[name].verify(signature, _message(engine))
            except InvalidSignature:
                continue
            return name
        signers.append(name.hex()[:16])
    raise EngineSignatureError(
        "this engine is not signed by a key that is trusted",
        where=str(engine.file),
        expected="a signature by " + " or ".join(name.hex()[:16] for name in public),
        got="signatures by " + ", ".join(signers) if signers else "none of this engine by it",
        fix="get engine and signature again from who makes them",
    )


def _records(file: Path) -> list[tuple[bytes, bytes]]:
    """Public key and signature of each record."""
    try:
        with open_regular(file) as stream:
            raw = stream.read(MOST_RECORDS * RECORD.size + 1)
    except FileNotFoundError as error:
        raise EngineSignatureError(
            "this engine has no signature",
            where=str(file),
            fix="get it from who made the engine, or make it with tipsc sign",
        ) from error
    except OSError as error:
        raise UsageError(
            f"cannot read the signature: {error.strerror or error}", where=str(file)
        ) from error
    found = []
    if len(raw) > MOST_RECORDS * RECORD.size or len(raw) % RECORD.size or not raw:
        raise _no_signature(file, f"{len(raw)} bytes")
    for magic, version, zero, key, signature in RECORD.iter_unpack(raw):
        if magic != MAGIC or version != VERSION or zero:
            raise _no_signature(file, f"a record of {magic!r}, version {version}")
        found.append((key, signature))
    return found


def _no_signature(file: Path, got: str) -> EngineSignatureError:
    return EngineSignatureError(
        "this is no file of signatures",
        where=str(file),
        expected=f"1 to {MOST_RECORDS} records of {RECORD.size} bytes, {MAGIC!r}, "
        f"version {VERSION}",
        got=got,
        fix="get it again, or make it with tipsc sign",
    )


def _message(engine: EngineFile) -> bytes:
    return CONTEXT + bytes.fromhex(engine.content_hash)


def _private_key(file: Path) -> Ed25519PrivateKey:
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _pem(file)
    try:
        found: Any = load_pem_private_key(content, None)
    except TypeError as error:  # what it raises where a passphrase is needed
        raise UsageError(
            "the private key has a passphrase",
            where=str(file),
            fix="openssl pkey -in KEY -out PLAIN takes it off",
        ) from error
    except Exception as error:  # several kinds, by what is wrong
        raise _no_key(file, "a private key", "openssl genpkey -algorithm ed25519") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise _no_key(file, "a private key", "openssl genpkey -algorithm ed25519")
    return found


def _public_key(key: Key) -> Ed25519PublicKey:
    _require()
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if isinstance(key, bytes):
        if len(key) != 32:
            raise UsageError(
                "this is no public key", where="key", expected="32 bytes", got=f"{len(key)}"
            )
        return Ed25519PublicKey.from_public_bytes(key)
    file = Path(key)
    content = _pem(file)
    try:
        found: Any = load_pem_public_key(content)
    except Exception as error:  # several kinds, by what is wrong
        raise _no_key(file, "a public key", "openssl pkey -in PRIVATE -pubout") from error
    if not isinstance(found, Ed25519PublicKey):
        raise _no_key(file, "a public key", "openssl pkey -in PRIVATE -pubout")
    return found


def _pem(file: Path) -> bytes:
    try:
        with open_regular(file) as stream:
            return stream.read(_LARGEST_KEY)
    except OSError as error:
        raise UsageError(
            f"cannot read the key: {error.strerror or error}", where=str(file)
        ) from error


def _no_key(file: Path, kind: str, made_by: str) -> UsageError:
    return UsageError(
        f"this is not {kind} of Ed25519",
        where=str(file),
        expected="a PEM file",
        fix=f"make one with {made_by}",
    )


def _require() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of("cryptography", "sign", "a signed engine") from error
