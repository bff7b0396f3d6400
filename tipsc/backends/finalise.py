"""Finalise the path graphs of an engine for ONNX Runtime on this machine.

Each portable graph is optimised and laid out for this machine's instruction set by ONNX Runtime
itself, which writes the result with its weights in a file of its own. The weights of all paths
are then stored once in one file, and the graphs point there.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tipsc.engine.blob import Blob
from tipsc.engine.external import External, external_initializers, rewrite_external
from tipsc.engine.format import WEIGHTS_LOCATION
from tipsc.engine.read import EngineFile
from tipsc.engine.strict import dumps
from tipsc.errors import EngineDeviceError

#: of what is written here; a new number makes old caches unused
FORMAT = 2
BLOB = "weights.bin"
CONSTANTS = "constants.json"
#: bytes; below this a tensor costs less inside its graph, and shapes must be readable there
_MIN_EXTERNAL = 128
#: layouts pad channels to 16 at most
_GROWTH, _MARGIN = 16, 16 << 20


def finalise(engine: EngineFile, folder: Path) -> None:
    """Write ``<path id>.onnx`` for each path and one ``weights.bin`` into the empty `folder`.

    And ``constants.json``, so that opening need not search the graphs: for each path id the
    constants in ``weights.bin`` as rows of name, element type, shape, offset, length.

    Raises:
        EngineDeviceError: ONNX Runtime refuses a path.
        OSError: `folder` cannot be written.
    """
    portable_weights = folder / WEIGHTS_LOCATION
    with portable_weights.open("wb") as stream:
        stream.writelines(engine.weights_parts())
    ids = [path.id for path in engine.manifest.paths]
    for path in ids:  # not in parallel: each thread would leave a heap of its own behind
        _optimise(engine.graph(path), folder, path)
        _check_growth(folder, path, portable_weights.stat().st_size)
    portable_weights.unlink()

    blob, constants = Blob(), {}
    for path in reversed(ids):  # the largest first, so that the others' tensors begin its own
        graph, weights = folder / f"{path}.onnx", folder / f"{path}.bin"
        with _mapped(weights) as content:
            rewritten = rewrite_external(
                graph.read_bytes(), lambda reference: _place(blob, content, reference), str(graph)
            )
        graph.write_bytes(rewritten)
        constants[path] = [
            [c.name, c.element_type, c.shape, c.data.offset, c.data.length]
            for c in external_initializers(rewritten, str(graph))
        ]
        weights.unlink(missing_ok=True)
    (folder / BLOB).write_bytes(blob.content)
    (folder / CONSTANTS).write_bytes(dumps(constants))


def _check_growth(folder: Path, path: str, weights: int) -> None:
    """Refuses a path whose constants grew beyond what any layout of its weights takes."""
    files = (folder / f"{path}.onnx", folder / f"{path}.bin")
    size = sum(file.stat().st_size for file in files if file.exists())
    most = _GROWTH * weights + _MARGIN
    if size > most:
        raise EngineDeviceError(
            f"path {path} grew when ONNX Runtime worked out its constants",
            expected=f"<= {most} bytes",
            got=size,
            fix="do not trust this engine",
        )


def _place(blob: Blob, file: memoryview, reference: External) -> External:
    """Store the bytes that `reference` names in `file`; where they are now."""
    tensor = file[reference.offset : reference.offset + reference.length]
    if len(tensor) != reference.length:
        raise EngineDeviceError("ONNX Runtime wrote a reference to bytes that are not there")
    return External(BLOB, blob.add(tensor), len(tensor))


def _optimise(graph: bytes, folder: Path, path: str) -> None:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(folder / f"{path}.onnx")
    for name, value in {
        "session.disable_prepacking": "1",  # this session never runs
        "session.optimized_model_external_initializers_file_name": f"{path}.bin",
        "session.optimized_model_external_initializers_min_size_in_bytes": str(_MIN_EXTERNAL),
    }.items():
        options.add_session_config_entry(name, value)
    portable = folder / f"{path}.portable.onnx"  # beside the weights, which it names
    portable.write_bytes(graph)
    try:
        ort.InferenceSession(str(portable), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no base class of its own errors
        # What it wrote so far stays: on a full disk it is what fills it, and that is to be seen.
        raise EngineDeviceError(f"ONNX Runtime refuses path {path}: {error}") from error
    portable.unlink()


@contextmanager
def _mapped(file: Path) -> Iterator[memoryview]:
    if not file.exists() or file.stat().st_size == 0:
        yield memoryview(b"")
        return
    with (
        file.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
    ):
        yield view
