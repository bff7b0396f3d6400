"""libtipsc by ctypes, so that tests can hold it against Python call by call."""

from __future__ import annotations

import ctypes as c
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

CODES = ("ok", "usage", "path", "budget", "damaged", "version", "device", "closed", "memory",
         "signature")  # fmt: skip
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
          10: "float16", 11: "float64"}  # fmt: skip
ONLY_READ = 1
Log = c.CFUNCTYPE(None, c.c_void_p, c.c_int, c.c_char_p)
Clock = c.CFUNCTYPE(c.c_double, c.c_void_p)


class Sized(c.Structure):
    """A struct that begins with its own size."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(size=c.sizeof(self), **fields)


class Error(Sized):
    _fields_: ClassVar = [
        ("size", c.c_uint32), ("code", c.c_int32), ("text", c.c_char * 512),
        ("fix", c.c_char * 256),
    ]  # fmt: skip


class Options(Sized):
    _fields_: ClassVar = [
        ("size", c.c_uint32), ("flags", c.c_uint32), ("threads", c.c_uint32),
        ("path_count", c.c_uint32), ("paths", c.POINTER(c.c_char_p)), ("runtime", c.c_char_p),
        ("cache_dir", c.c_char_p), ("file_bytes", c.c_uint64), ("manifest_bytes", c.c_uint64),
        ("graph_bytes", c.c_uint64), ("tensor_bytes", c.c_uint64), ("log", Log),
        ("user", c.c_void_p), ("keys", c.c_char_p), ("key_count", c.c_uint32),
        ("reserved", c.c_uint32), ("sodium", c.c_char_p),
    ]  # fmt: skip


class EngineInfo(Sized):
    _fields_: ClassVar = [
        ("size", c.c_uint32), ("input_count", c.c_uint32), ("output_count", c.c_uint32),
        ("path_count", c.c_uint32), ("name", c.c_char_p), ("target", c.c_char_p),
        ("backend", c.c_char_p), ("form", c.c_char_p), ("hash", c.c_char_p), ("noise", c.c_char_p),
    ]  # fmt: skip


class PathInfo(Sized):
    _fields_: ClassVar = [
        ("size", c.c_uint32), ("batch", c.c_uint32), ("id", c.c_char_p),
        ("quality_name", c.c_char_p), ("quality_unit", c.c_char_p), ("quality", c.c_double),
        ("quality_higher", c.c_int32), ("reserved", c.c_int32), ("p10_ms", c.c_double),
        ("p50_ms", c.c_double), ("p95_ms", c.c_double), ("pause_ms", c.c_double),
        ("macs", c.c_int64), ("parameters", c.c_int64), ("shared_bytes", c.c_int64),
        ("private_bytes", c.c_int64), ("energy_mj", c.c_double),
    ]  # fmt: skip


class TensorInfo(Sized):
    _fields_: ClassVar = [
        ("size", c.c_uint32), ("dtype", c.c_int32), ("name", c.c_char_p), ("layout", c.c_char_p),
        ("rank", c.c_size_t), ("shape", c.POINTER(c.c_int64)), ("bytes", c.c_uint64),
    ]  # fmt: skip


class Buffer(c.Structure):
    _fields_: ClassVar = [("data", c.c_void_p), ("bytes", c.c_size_t)]


class CError(Exception):
    """An error of the library."""

    def __init__(self, error: Error, code: int) -> None:
        self.code, self.text, self.fix = CODES[code], error.text.decode(), error.fix.decode()
        super().__init__(f"{self.code}: {self.text}; {self.fix}")


class Library:
    """libtipsc.so; calls that fail raise a CError."""

    def __init__(self, file: Path) -> None:
        self.c = c.CDLL(str(file))

    def __call__(self, name: str, *arguments: Any) -> None:
        error = Error()
        code = getattr(self.c, f"tipsc_{name}")(*arguments, c.byref(error))
        if code:
            assert error.code == code
            raise CError(error, code)

    def open(self, file: Path | bytes, **options: Any) -> Engine:
        return Engine(self, file, **options)

    def apply(self, old: Path, delta: Path, new: Path) -> None:
        self("apply", *(str(name).encode() for name in (old, delta, new)))


def runtime_of_package() -> str:
    """The library of ONNX Runtime that its Python package carries."""
    import onnxruntime

    (file,) = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    return str(file)


class Engine:
    """A tipsc_engine, with a context of its own."""

    def __init__(
        self,
        library: Library,
        file: Path | bytes,
        *,
        runtime: str | None = None,
        cache_dir: Path | None = None,
        paths: Sequence[str] = (),
        log: Callable[[int, str], None] | None = None,
        keys: Sequence[bytes] | None = None,
        sodium: str | None = None,
        **options: int,
    ) -> None:
        self.library, self.handle = library, c.c_void_p()
        if runtime is None and not options.get("flags", 0) & ONLY_READ:
            runtime = runtime_of_package()
        names = (c.c_char_p * len(paths))(*(name.encode() for name in paths))
        self._log = Log(lambda _, level, text: log(level, text.decode()) if log else None)
        given = Options(
            runtime=runtime.encode() if runtime else None,
            cache_dir=str(cache_dir).encode() if cache_dir else None,
            path_count=len(paths), paths=names, log=self._log,
            keys=None if keys is None else b"".join(keys), key_count=len(keys or ()),
            sodium=sodium.encode() if sodium else None, **options,
        )  # fmt: skip
        if isinstance(file, bytes):
            self._memory = file
            where = (c.c_char_p(file), c.c_size_t(len(file)))
            library("open_memory", *where, c.byref(given), c.byref(self.handle))
        else:
            library("open", str(file).encode(), c.byref(given), c.byref(self.handle))
        self.context = c.c_void_p()
        library("context_new", self.handle, c.byref(self.context))

    def info(self) -> EngineInfo:
        found = EngineInfo()
        self.library("describe", self.handle, c.byref(found))
        return found

    def path(self, place: int) -> PathInfo:
        found = PathInfo()
        self.library("describe_path", self.handle, c.c_size_t(place), c.byref(found))
        return found

    def ids(self) -> list[str]:
        return [self.path(i).id.decode() for i in range(self.info().path_count)]

    def find(self, name: str) -> int:
        found = c.c_size_t()
        self.library("find", self.handle, name.encode(), c.byref(found))
        return found.value

    def tensor(self, kind: str, path: int, index: int) -> TensorInfo:
        """Kind ``input`` or ``output``."""
        found = TensorInfo()
        where = (self.handle, c.c_size_t(path), c.c_size_t(index), c.byref(found))
        self.library(f"describe_{kind}", *where)
        return found

    def outputs(self, path: int) -> list[np.ndarray]:
        """Arrays for what a path gives."""
        found = []
        for i in range(self.info().output_count):
            about = self.tensor("output", path, i)
            shape = about.shape[: about.rank]
            found.append(np.empty(shape, DTYPES[about.dtype]))
            assert found[-1].nbytes == about.bytes == math.prod(shape) * found[-1].itemsize
        return found

    def run(self, inputs: Sequence[np.ndarray], path: int | str) -> list[np.ndarray]:
        place = path if isinstance(path, int) else self.find(path)
        outputs = self.outputs(place)
        given, taken = buffers(inputs), buffers(outputs)
        self.library("run", self.context, c.c_size_t(place), given, len(given), taken, len(taken))
        return outputs

    def pick(self, budget_ms: float, choice: Sized | None = None) -> int:
        found = c.c_size_t()
        chosen = c.byref(choice) if choice is not None else None
        self.library("pick", self.handle, c.c_double(budget_ms), chosen, c.byref(found))
        return found.value

    def close(self) -> None:
        self.library.c.tipsc_close(self.handle)
        self.library.c.tipsc_context_free(self.context)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def buffers(arrays: Sequence[np.ndarray]) -> Any:
    assert all(array.flags.c_contiguous for array in arrays)
    return (Buffer * len(arrays))(*(Buffer(a.ctypes.data, a.nbytes) for a in arrays))


def runtime_of_litert() -> str:
    """The library of LiteRT that its Python package carries."""
    import ai_edge_litert

    return str(Path(ai_edge_litert.__file__).parent / "libLiteRt.so")


class Result(Sized):
    _fields_: ClassVar = [
        ("size", c.c_uint32), ("mode", c.c_int32), ("reason", c.c_int32), ("in_time", c.c_int32),
        ("path", c.c_size_t), ("budget_ms", c.c_double), ("predicted_ms", c.c_double),
        ("elapsed_ms", c.c_double), ("gap_ms", c.c_double), ("slowdown", c.c_double),
        ("ended", c.c_double), ("budget_mj", c.c_double), ("energy_mj", c.c_double),
    ]  # fmt: skip


OnCall = c.CFUNCTYPE(None, c.c_void_p, c.POINTER(Result))


class GovernorOptions(Sized):
    _fields_: ClassVar = [
        ("size", c.c_uint32), ("batch", c.c_uint32), ("percentile", c.c_uint32),
        ("run_fastest", c.c_uint32), ("hysteresis", c.c_uint32), ("reserved", c.c_uint32),
        ("on_call", OnCall), ("clock", Clock), ("user", c.c_void_p),
    ]  # fmt: skip


class Demand(Sized):
    _fields_: ClassVar = [
        ("size", c.c_uint32), ("pinned", c.c_uint32), ("budget_ms", c.c_double),
        ("per_second", c.c_double), ("path", c.c_size_t), ("budget_mj", c.c_double),
        ("watts", c.c_double),
    ]  # fmt: skip


class Choice(Sized):
    _fields_: ClassVar = [
        ("size", c.c_uint32), ("batch", c.c_uint32), ("percentile", c.c_uint32),
        ("reserved", c.c_uint32), ("slowdown", c.c_double),
    ]  # fmt: skip


class Governor:
    """A tipsc_governor."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Callable[[], float] | None = None,
        on_call: Callable[[Result], None] | None = None,
        **options: int,
    ) -> None:
        self.engine, self.library, self.handle = engine, engine.library, c.c_void_p()
        self._clock = Clock(lambda _: clock()) if clock else Clock()
        self._on_call = OnCall(lambda _, result: on_call(result[0])) if on_call else OnCall()
        given = GovernorOptions(clock=self._clock, on_call=self._on_call, **options)
        self.library("governor_new", engine.handle, c.byref(given), c.byref(self.handle))
        for name in ("slowdown", "pause_ms"):
            getattr(self.library.c, f"tipsc_governor_{name}").restype = c.c_double

    def run(self, inputs: Sequence[np.ndarray], **demand: float) -> Result:
        outputs, found, wanted = self.engine.outputs(0), Result(), Demand(**demand)
        given, taken = buffers(inputs), buffers(outputs)
        self.library(
            "governor_run", self.handle, self.engine.context, given, len(given), taken, len(taken),
            c.byref(wanted), c.byref(found),
        )  # fmt: skip
        return found

    def pick(self, **demand: float) -> Result:
        found, wanted = Result(), Demand(**demand)
        self.library("governor_pick", self.handle, c.byref(wanted), c.byref(found))
        return found

    def explain(self, room: int = 4096, **demand: float) -> str:
        text, wanted = c.create_string_buffer(room), Demand(**demand)
        self.library("governor_explain", self.handle, c.byref(wanted), text, c.c_size_t(room))
        return text.value.decode()

    def observe(self, path: int, elapsed_ms: float) -> None:
        self.library("governor_observe", self.handle, c.c_size_t(path), c.c_double(elapsed_ms))

    def slowdown(self) -> float:
        found: float = self.library.c.tipsc_governor_slowdown(self.handle)
        return found

    def pause_ms(self) -> float:
        found: float = self.library.c.tipsc_governor_pause_ms(self.handle)
        return found

    def free(self) -> None:
        self.library.c.tipsc_governor_free(self.handle)
