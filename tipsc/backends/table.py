"""The table of backends: all that tipsc knows of a backend stands in its :class:`Backend`.

To add one, write its modules and give the table a line. Modules are named, and imported when they
are asked for: what runs an engine on a device imports nothing that compiles it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_EXPORT = ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Backend:
    """What compiles and runs the paths of an engine.

    Attributes:
        name: as targets and manifests spell it.
        runs: the module that opens an engine; see :class:`tipsc.backends.Runtime`. It, and what it
            imports, travels to devices.
        compiles: the module that makes one; see :class:`tipsc.compile.Compiler`.
        form: of its engines, as :attr:`tipsc.engine.EngineFile.form` spells it.
        libraries: packages whose versions decide what is compiled.
        package: that a device has if it can run this backend.
        stands_in: another package that can try its paths, on a machine without such a device; None:
            there is none.
        tries_with: the extra of tipsc that brings that package.
        base: the shipped target that a new one extends if no other is nearer.
        keeps_weights: the module that compares paths with and without the form in which it keeps
            weights between runs; see :func:`tipsc.backends.check_caches`. None: it keeps none.
        finishes: the module of what is left to do on the device; see
            :class:`tipsc.backends.finishing.Finisher`. None: an engine runs as it was built.
        verifies_as: the backend that runs its engines where it cannot. None: itself.
        jobs: what its devices can be asked for beyond what all can: job to ``module:function``.
        probes: those of its jobs that say whether it can run there.
    """

    name: str
    runs: str
    compiles: str
    form: str
    libraries: tuple[str, ...]
    package: str
    base: str
    keeps_weights: str | None = None
    finishes: str | None = None
    verifies_as: str | None = None
    stands_in: str | None = None
    tries_with: str | None = None
    jobs: Mapping[str, str] = field(default_factory=dict)
    probes: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """Whose versions on a device are worth knowing."""
        return (self.package, *([self.stands_in] if self.stands_in else []))


#: by name
BACKENDS: dict[str, Backend] = {
    backend.name: backend
    for backend in (
        Backend(
            "onnxruntime",
            runs="tipsc.backends.onnxruntime",
            compiles="tipsc.compile.portable",
            form="onnx",
            libraries=_EXPORT,
            package="onnxruntime",
            base="host",
        ),
        Backend(
            "litert",
            runs="tipsc.backends.litert",
            compiles="tipsc.compile.litert",
            form="tflite",
            libraries=(
                "torch", "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert",
            ),
            package="ai-edge-litert",
            base="mobile-cpu",
            keeps_weights="tipsc.backends.litert_check",
        ),
        Backend(
            "tensorrt",
            runs="tipsc.backends.tensorrt",
            compiles="tipsc.compile.tensorrt",
            form="onnx",
            libraries=_EXPORT,
            package="tensorrt",
            base="jetson",
            finishes="tipsc.backends.tensorrt.finish",
            verifies_as="onnxruntime",
            stands_in="tensorrt-rtx-cu12",
            tries_with="tensorrt-check",
            jobs={
                "plans": "tipsc.backends.tensorrt.job:build_plans",
                "tensorrt": "tipsc.backends.tensorrt.job:describe_api",
                "cuda": "tipsc.backends.tensorrt.job:try_cuda",
            },
            probes=("tensorrt", "cuda"),
        ),
    )
}  # fmt: skip
