"""The Kotlin wrapper, the Activity of Android and the checks in kotlin/, in a Java machine."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from building import EMBED, built, missing_tools, run

from tipsc.runtime import Engine

HERE = Path(__file__).parent / "kotlin"


def compiler_jars() -> list[Path]:
    """The Kotlin compiler and its library, which a Python package brings along; skips without."""
    missing = missing_tools("cmake", "cc", "java", "javac")
    if missing:
        pytest.skip(f"no {missing}: the Kotlin wrapper is not built")
    package = importlib.util.find_spec("run_kotlin_kernel")
    if package is None or package.origin is None:
        pytest.skip("no Kotlin compiler: pip install kotlin-jupyter-kernel")
    jars = Path(package.origin).parent / "jars"
    return [next(jars.glob(f"{name}-*.jar")) for name in ("kotlin-jupyter-kernel", "kotlin-stdlib")]


def compiler(*words: str) -> list[str]:
    """The command that compiles without a warning, or fails."""
    jars = compiler_jars()
    return [
        "java", "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "-cp", ":".join(map(str, jars)), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler",
        "-no-stdlib", "-no-reflect", "-Werror", "-cp", str(jars[1]), *words,
    ]  # fmt: skip


@dataclass(frozen=True)
class Program:
    """What was compiled: the wrapper, the Activity over stubs of Android, and the checks."""

    jar: Path
    library: Path

    def __call__(
        self, what: str, engine: Path, runtime: str, cache_dir: Path | str = "", more: object = "",
        **environment: str,
    ) -> list[str]:  # fmt: skip
        """The lines that a check of kotlin/Check.kt prints."""
        arguments = [what, str(engine), runtime, str(cache_dir), str(more)]
        return self.run("CheckKt", arguments, **environment)

    def run(
        self, main: str, arguments: list[str], properties: dict[str, object] | None = None,
        **environment: str,
    ) -> list[str]:  # fmt: skip
        """The lines that a program prints; the Java machine checks each use of JNI."""
        known = {"java.library.path": self.library, "file.encoding": "UTF-8", **(properties or {})}
        command = [
            "java", "-Xcheck:jni", "-Xmx256m", "-XX:+UseSerialGC",
            *(f"-D{name}={value}" for name, value in known.items()),
            "-cp", f"{self.jar}:{compiler_jars()[1]}", main, *arguments,
        ]  # fmt: skip
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            env=os.environ | environment,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        assert "WARNING in native" not in done.stdout and "FATAL" not in done.stdout, done.stdout
        return done.stdout.splitlines()

    def outputs(
        self, what: str, engine: Path, runtime: str, cache_dir: Path | str, folder: Path,
        inputs: dict[str, list[np.ndarray]],
    ) -> dict[str, list[bytes]]:  # fmt: skip
        """Of each path, by a check such as `outputs`."""
        for name, arrays in inputs.items():
            for i, array in enumerate(arrays):
                (folder / f"{name}.in.{i}").write_bytes(np.ascontiguousarray(array).tobytes())
        names = self(what, engine, runtime, cache_dir, folder)
        assert set(names) == set(inputs)
        return {
            name: [
                file.read_bytes() for file in sorted(folder.glob(f"{glob_safe(name)}.out.*"))
            ]
            for name in names
        }  # fmt: skip


def glob_safe(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def build_program(folder: Path) -> Program:
    compiler_jars()
    library = built(folder / "build", "-DTIPSC_JNI=ON", "-DTIPSC_SHARED=OFF") / "kotlin"
    android = EMBED / "android" / "app" / "src" / "main" / "kotlin"
    sources = map(str, (EMBED / "kotlin" / "src", android, HERE))
    run(compiler("-d", str(folder / "check.jar"), *sources))
    return Program(folder / "check.jar", library)


def outputs_in_python(
    file: Path, inputs: dict[str, list[np.ndarray]], cache_dir: Path | None = None
) -> dict[str, list[bytes]]:
    """Of each path, as bytes."""
    found = {}
    with Engine.open(file, cache_dir=cache_dir) as engine:
        for path in engine.paths:
            arrays = inputs[path.id]
            given = arrays[0] if len(arrays) == 1 else tuple(arrays)
            output = engine.run(given, path=path)
            outputs = output if isinstance(output, tuple | list) else [output]
            found[path.id] = [np.ascontiguousarray(one).tobytes() for one in outputs]
    return found
