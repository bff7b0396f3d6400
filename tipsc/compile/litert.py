"""For LiteRT: paths converted side by side, merged into one .tflite with a signature each."""

from __future__ import annotations

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tipsc.batch import flat
from tipsc.compile import Job
from tipsc.compile.tflite.merge import INPUT, OUTPUT, Merged, merge
from tipsc.compile.tflite.module import computed, digest_of, folded_module, function_of
from tipsc.compile.tflite.workers import Request, Worker, run_all
from tipsc.elastic import Supernet
from tipsc.elastic.looking import at_rest
from tipsc.elastic.supernet import in_batches
from tipsc.elastic.trace import input_labels
from tipsc.engine import Manifest, write_tflite_engine
from tipsc.engine.manifest import entry_ids
from tipsc.errors import LoweringError, MissingExtraError, TargetError
from tipsc.lower import PathBytes
from tipsc.lower.operations import PlannedPath, with_values
from tipsc.lower.plan import Planner
from tipsc.lower.ranges import CALIBRATION_IMAGES
from tipsc.signature import Signature, TensorSpec, batch_of

#: of what is kept in the cache; a new number makes old conversions unused
_FORMAT = "3"


@dataclass(frozen=True)
class CompiledTflite:
    """Paths in one .tflite, which takes images and series with their channels last."""

    model: bytes
    sizes: Mapping[str, PathBytes]
    signature: Signature
    remark: str = ""

    def write(self, file: Path, manifest: Manifest) -> None:
        """Writes an engine with these paths."""
        write_tflite_engine(file, manifest, self.model)


def compile_paths(job: Job) -> CompiledTflite:
    """Converts what the cache does not have, and merges.

    Raises:
        LoweringError: operations that the converter does not know (all of them are listed, before
            anything is converted), or a conversion that failed.
        MissingExtraError: the converter is not installed.
        TargetError: the target asks for half precision.
    """
    if job.target.precision == "fp16":
        raise TargetError(
            "LiteRT paths are compiled in fp32 and int8 only",
            where=f"{job.target.name}.precision",
            got=job.target.precision,
            fix="choose fp32 or int8, or a target with another backend",
        )
    versions = _versions("torch", "litert-torch", "litert-converter")
    supernet, signature = job.supernet, job.supernet.signature
    files: dict[str, bytes] = {}
    sizes: dict[str, int] = {}
    with at_rest(supernet), tempfile.TemporaryDirectory(prefix="tipsc-") as temporary:
        cache = Path(temporary) if job.cache is None else job.cache
        cache.mkdir(parents=True, exist_ok=True)
        for place, size in enumerate(job.batches):
            sized = replace(job, supernet=in_batches(supernet, size))
            planner = Planner(sized.supernet)
            plans = {
                list(entry_ids(c.path.id, job.batches))[place]: planner.plan(c.path, c.statistics)
                for c in job.candidates
            }
            files |= _converted(sized, plans, versions, cache)
            sizes |= dict.fromkeys(plans, size)
    merged = merge(files, sizes, _names(signature.inputs, INPUT), _names(signature.outputs, OUTPUT))
    return CompiledTflite(
        merged.model,
        merged.sizes,
        signature,
    )


def in_order(
    tensors: Sequence[torch.Tensor], specs: Sequence[TensorSpec]
) -> tuple[torch.Tensor, ...]:
    """A batch as the .tflite takes it: channels last, and int64 as int32."""
    pairs = zip(tensors, specs, strict=True)
    turned = [tensor.permute(*spec.channels_last).contiguous() for tensor, spec in pairs]
    return tuple(x.int() if x.dtype == torch.int64 else x for x in turned)


def _names(specs: Sequence[TensorSpec], alone: str) -> list[str]:
    """In a signature: they sort into their order."""
    if len(specs) == 1:
        return [alone]
    return [f"{place:02}.{spec.name}" for place, spec in enumerate(specs)]


def _converted(
    job: Job,
    plans: Mapping[str, PlannedPath],
    versions: str,
    cache: Path,
) -> dict[str, bytes]:
    """A .tflite of each path."""
    given, examples = job.supernet.inputs, job.supernet.examples()
    keys = {path: _key(versions, given, digest_of(plan)) for path, plan in plans.items()}
    float_files = {path: cache / f"{key}.tflite" for path, key in keys.items()}
    files = float_files
    images, images_key = None, ""
    if job.target.precision == "int8":
        few = [tensor[:CALIBRATION_IMAGES] for tensor in flat(job.inputs)]
        images = [tensor.numpy() for tensor in in_order(few, given)]
        digest = hashlib.sha256(b"".join(array.tobytes() for array in images))
        images_key = digest.hexdigest() + _versions("ai-edge-quantizer")
        files = {p: cache / f"{_key(key, images_key)}.int8.tflite" for p, key in keys.items()}
    missing = {path: float_files[path] for path in plans if not files[path].is_file()}
    conversions = {p: f for p, f in missing.items() if not f.is_file()}
    if missing:
        total = len(conversions) + (len(missing) if images is not None else 0)
        with Worker() as worker:
            if conversions:
                job.progress(0, total, "checking operations")
                _check_supported([plans[path] for path in conversions], job.supernet, worker)
            run_all(
                [
                    (
                        "convert",
                        (
                            folded_module(plans[p], given),
                            in_order(examples, given),
                            file,
                        ),
                    )
                    for p, file in {str(f): (p, f) for p, f in conversions.items()}.values()
                ],
                worker,
                lambda done: job.progress(done, total, "converting"),
            )
            if images is not None:
                _quantise(job, missing, files, images, worker, total)
    return {path: file.read_bytes() for path, file in files.items()}


def _quantise(
    job: Job,
    missing: Mapping[str, Path],
    files: Mapping[str, Path],
    images: Sequence[np.ndarray],
    worker: Worker,
    total: int,
) -> None:
    before, batch = total - len(missing), batch_of(job.supernet.inputs)
    with tempfile.NamedTemporaryFile(prefix="tipsc-", suffix=".npy") as stream:
        for array in images:
            np.save(stream, array, allow_pickle=False)
        stream.flush()
        requests: list[Request] = [
            ("quantise", (file, Path(stream.name), files[path], batch))
            for path, file in missing.items()
        ]
        run_all(requests, worker, lambda done: job.progress(before + done, total, "quantising"))


def _check_supported(plans: Sequence[PlannedPath], supernet: Supernet, worker: Worker) -> None:
    """Raises LoweringError that names each layer the converter has no lowering for."""
    seen: dict[tuple[str, str], tuple[str, nn.Module, tuple[torch.Tensor, ...]]] = {}
    for plan in plans:
        labels = input_labels(supernet.inputs)
        values: dict[str, object] = dict(zip(labels, supernet.examples(), strict=True))
        for operation in computed(plan):
            key = (repr(operation.module), function_of(operation.module))
            module, name = with_values(operation), operation.label
            arguments = tuple(values[name] for name in operation.inputs)
            with torch.no_grad():
                values[name] = module(*arguments)
            if all(isinstance(a, torch.Tensor) for a in arguments):
                seen.setdefault(key, (name, module, arguments))  # type: ignore[arg-type]
    found = worker.ask("unsupported", list(seen.values()))
    if found:
        raise LoweringError(
            f"LiteRT has no form of {len(found)} of the model's operations: {'; '.join(found)}",
            fix="replace them in the model, or build for another backend",
        )


def _versions(*packages: str) -> str:
    """Of what decides what a conversion gives."""
    found = [_FORMAT]
    for package in packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            raise MissingExtraError.of(package, "litert-build", "compiling for LiteRT") from None
    return " ".join(found)


def _key(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


__all__ = ["CompiledTflite", "Merged", "compile_paths"]
