"""tipsc sign: who made an engine, for devices that open no other."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.options import ANY_PATH, OUTPUT_FILE, engine_argument
from tipsc.cli.output import Output, verb
from tipsc.engine.signed import sign_engine, signature_file


@verb
@engine_argument
@click.option(
    "--key", type=ANY_PATH, required=True, metavar="FILE", help="A private key of Ed25519, as PEM."
)
@click.option(
    "-o",
    "--output",
    "file",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="The signature; by default ENGINE.sig, where it is looked for.",
)
def command(output: Output, engine: Path, key: Path, file: Path | None) -> None:
    """Write the signature of ENGINE beside it, by a private key.

    `openssl genpkey -algorithm ed25519 -out KEY` makes a key, and `openssl pkey -in KEY -pubout`
    gives the public one, which devices have: `Engine.open(..., key=...)`, `tipsc inspect --key`.
    """
    place = file or signature_file(engine)
    public = sign_engine(engine, key, place)
    output.result(
        {"engine": str(engine), "signature": str(place), "public_key": public.hex()},
        f"signature   {place}",
        f"public key  {public.hex()}",
    )
