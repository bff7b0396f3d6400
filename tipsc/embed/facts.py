"""What templates say of an engine; ``${name}`` in a template is one of these."""

from __future__ import annotations

from collections.abc import Mapping

from tipsc.engine import Manifest, PathEntry
from tipsc.errors import UsageError
from tipsc.printable import on_one_line

ENGINE = "engine.tipsc"  # its name in the project
CAMERA_FPS = 30.0
#: of the time between two frames, what the rest of the application needs
REST = 0.2
#: the file of a runtime's library, and where it comes from
LIBRARIES = {
    "onnxruntime": "`libonnxruntime.so.1.*` of ONNX Runtime: in its releases, or in "
    "`onnxruntime/capi` of the Python package",
    "litert": "`libLiteRt.so` of LiteRT: in `ai_edge_litert` of the Python package",
    "tensorrt": "`libnvinfer.so` of TensorRT, where JetPack puts it. libtipsc is compiled on the "
    "device, for which NVIDIA's headers are needed: `sudo apt-get install libnvinfer-dev "
    "libnvonnxparsers-dev cuda-cudart-dev-12-6` (of JetPack 6.1; the last ends in the version of "
    "CUDA)",
}
#: what a backend of an engine needs beside tipsc, where it is not called as the backend is
PACKAGES = {
    "litert": "ai-edge-litert",
    "tensorrt": "# TensorRT is the device's own: sudo apt-get install python3-libnvinfer",
}
#: what a backend changes in the commands that build and run a project
CHANGES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "tensorrt": (
        ("/embed -B libtipsc", "/embed -B libtipsc -DTIPSC_TENSORRT=ON"),
        (" --runtime $RUNTIME", ""),
        ("-m venv .venv", "-m venv --system-site-packages .venv"),
    ),
}


def facts_of(manifest: Manifest) -> dict[str, str]:
    """By name. Names that come from the engine are one line of text, without what opens code.

    Raises:
        UsageError: no path has a latency.
    """
    first = manifest.batches[0]
    paths = [path for path in manifest.paths if path.batch == first]
    known = [path.latency.p95_ms for path in paths if path.latency]
    if not known:
        raise UsageError(
            "no path of this engine has a measured latency, by which a call is given a path",
            fix="finish it on its device (tipsc finish), or build it for one that can be measured",
        )
    fps = min(CAMERA_FPS, (1 - REST) * 1e3 / max(known))
    return {
        "engine": ENGINE,
        "name": _plain(manifest.name),
        "target": _plain(manifest.target),
        "backend": _plain(manifest.backend),
        "package": PACKAGES.get(manifest.backend, _plain(manifest.backend)),
        "library": LIBRARIES.get(manifest.backend, "that of the runtime"),
        "states": "".join(f"{{{one}, {other}}}, " for one, other in _states(manifest)),
        "state_pairs": ", ".join(f"{one} to {other}" for one, other in _states(manifest)),
        "fps": f"{fps:.3g}",
        "rest": f"{REST:g}",
        "inputs": _tensors(manifest, "inputs", paths[0]),
        "outputs": _tensors(manifest, "outputs", paths[0]),
        "paths": "\n".join(_row(path, manifest.names.get(path.id, "")) for path in paths),
    }


def _tensors(manifest: Manifest, which: str, path: PathEntry) -> str:
    specs = getattr(manifest.signature_of(path), which)
    return ", ".join(f"`{_plain(s.name)}` {s.dtype}{list(s.shape)}" for s in specs)


def _states(manifest: Manifest) -> list[tuple[int, int]]:
    """The numbers of an input and of the output that it takes."""
    inputs = [spec.name for spec in manifest.signature.inputs]
    outputs = [spec.name for spec in manifest.signature.outputs]
    return [(inputs.index(taken), outputs.index(given)) for taken, given in manifest.states.items()]


def _row(path: PathEntry, name: str) -> str:
    quality = (
        "" if path.quality is None else f"{_plain(path.quality.name)} {path.quality.value:.4g}"
    )
    latency = path.latency
    times = " | " if latency is None else f"{latency.p50_ms:.3g} | {latency.p95_ms:.3g}"
    return f"| {_plain(name)} | `{path.id}` | {quality} | {times} |"


def _plain(text: str) -> str:
    """Text of an engine inside of code, comments and tables."""
    return "".join(c if c.isalnum() or c in " _-.+" else "_" for c in on_one_line(text))
