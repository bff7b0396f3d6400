"""tipsc inspect: what is in an engine."""

from __future__ import annotations

from pathlib import Path

import click

from tipsc.cli.engines import path_document, paths_table
from tipsc.cli.options import ANY_PATH, engine_argument
from tipsc.cli.output import Output, verb, wrapped
from tipsc.engine import EngineFile, read_engine
from tipsc.engine.manifest import NAMED
from tipsc.engine.original import ORIGINAL, original_in
from tipsc.engine.signed import check_signed
from tipsc.engine.strict import encode
from tipsc.report.format import byte_size, plural
from tipsc.report.notes import against_original


@verb
@engine_argument
@click.option(
    "--key",
    type=ANY_PATH,
    metavar="FILE",
    help="A public key, as PEM: refuse an engine that it has not signed.",
)
def command(output: Output, engine: Path, key: Path | None) -> None:
    """Show what is in ENGINE: its paths, what each of them costs, and where it comes from.

    The whole file is checked, but nothing of it is run.
    """
    found = read_engine(engine)
    signed_by = None if key is None else check_signed(found, key).hex()
    manifest = found.manifest
    document = {
        "engine": str(engine),
        "bytes": engine.stat().st_size,
        "weights_bytes": len(found.weights),
        "content_hash": found.content_hash,
        "signed_by": signed_by,
        "name": manifest.name,
        "target": manifest.target,
        "backend": manifest.backend,
        "signature": encode(manifest.signature),
        "paths": [path_document(path, manifest.names) for path in manifest.paths],
        "original": encode(original_in(manifest)),
        "space": manifest.space,
        "provenance": dict(manifest.provenance),
        "unbuilt": manifest.unbuilt,
        "recipe": dict(manifest.recipe),
        "built": dict(manifest.built),
        "noise": manifest.noise,
    }
    signed = [] if signed_by is None else [f"signed by {signed_by}"]
    output.result(
        document, *_heading(found, engine), *signed, paths_table(manifest), *_origin(found)
    )


def _heading(engine: EngineFile, file: Path) -> list[str]:
    manifest = engine.manifest
    size, weights = byte_size(file.stat().st_size), byte_size(len(engine.weights))
    specs = manifest.signature.inputs, manifest.signature.outputs
    tensors = [", ".join(f"{t.name} {t.dtype}{list(t.shape)}" for t in part) for part in specs]
    recipe = ", ".join(f"{name} {value}" for name, value in manifest.recipe.items())
    built = ", ".join(f"{k} {v}" for k, v in manifest.built.items() if k != "state")
    sizes = " or ".join(map(str, manifest.batches))
    batches = "" if sizes == "1" else f", of one example; a call has {sizes}"
    if manifest.unbuilt:
        state = [f"unbuilt: a {manifest.target} has to finish it ({recipe})"]
    else:
        state = [f"{manifest.built.get('state', 'built')}: {built}"] if built else []
    return wrapped(
        [
            f"{manifest.name} for {manifest.target} ({manifest.backend}): "
            f"{plural(len(manifest.paths), 'path')}, {size}, {weights} of it weights",
            " -> ".join(tensors) + batches,
            *state,
            *([f"warning: {manifest.noise}"] if manifest.noise else []),
        ]
    )


def _origin(engine: EngineFile) -> list[str]:
    told = engine.manifest.provenance.items()
    plain = {k: v for k, v in told if k != ORIGINAL and not k.startswith(NAMED)}
    items = {"content": engine.content_hash[:16], **plain}
    # A name and its value stay on one line.
    text = ", ".join(f"{name} {value}".replace(" ", "\0") for name, value in items.items())
    found = original_in(engine.manifest)
    qualities = {path.id: path.quality for path in engine.manifest.paths}
    original = [] if found is None else [against_original(found, qualities, engine.manifest.names)]
    if found is not None and found.latency is not None:
        size = byte_size(found.file_bytes)
        original.append(f"original alone: p50 {found.latency.p50_ms:.4g} ms, engine file {size}")
    return wrapped(original) + [line.replace("\0", " ") for line in wrapped([text])]
