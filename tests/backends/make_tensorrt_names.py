"""Writes tensorrt_names.json: which names each version of TensorRT has in Python.

    python tests/backends/make_tensorrt_names.py

NVIDIA's own Python bindings are fetched with pip. They need libraries that need a driver; here
those are stand-ins with the few C functions that the bindings link to, so that the modules can be
imported and their classes listed. Nothing of TensorRT runs. Needs Linux x86-64, Python 3.11, gcc
and binutils.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

#: version to what pip fetches
WHEELS = {
    "8.6": "tensorrt-bindings==8.6.1",
    "10.3": "tensorrt-cu12-bindings==10.3.0",
    "10.7": "tensorrt-cu12-bindings==10.7.0",
    "10.13": "tensorrt-cu12-bindings==10.13.3.9.post1",
    "11.4": "tensorrt-cu12-bindings==11.4.0.106",
}
CLASSES = (
    "Builder", "BuilderFlag", "DataType", "ExecutionContextAllocationStrategy", "IBuilderConfig",
    "ICudaEngine", "ILogger",
    "IExecutionContext", "MemoryPoolType", "NetworkDefinitionCreationFlag", "OnnxParser",
    "OnnxParserRefitter", "ParserError", "Refitter", "Runtime", "TensorLocation",
)  # fmt: skip
LIST = """
import ctypes, importlib.util, json, sys
for library in sys.argv[2:]: ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
spec = importlib.util.spec_from_file_location("tensorrt_bindings.tensorrt", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps({n: [m for m in dir(c) if not m.startswith("_")]
                  for n, c in vars(module).items() if isinstance(c, type)}))
"""


def said(*command: object) -> str:
    return subprocess.run(
        [str(word) for word in command], check=True, capture_output=True, text=True
    ).stdout


def names_of(requirement: str, folder: Path) -> dict[str, object]:
    said(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
         "--dest", folder, requirement)  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (module,) = folder.rglob("tensorrt.so")
    needed = [line.split()[1] for line in said("objdump", "-p", module).splitlines()
              if "NEEDED" in line and "libnv" in line]  # fmt: skip
    symbols = said("nm", "-D", "--undefined-only", module).splitlines()
    undefined = [s.split()[-1] for s in symbols if s.split()[:1] == ["U"] and "@" not in s]
    theirs = [s for s in undefined if s.startswith(("create", "get", "init", "_ZN11nv", "_ZN14nv"))]
    source = folder / "stand_in.c"
    source.write_text("\n".join(
        f'void *f{i}(void) __asm__("{symbol}"); void *f{i}(void) {{ return 0; }}'
        for i, symbol in enumerate(theirs)
    ))  # fmt: skip
    libraries = []
    for name in needed:
        libraries.append(folder / name)
        said("gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", libraries[-1], source)
    found = json.loads(said(sys.executable, "-c", LIST, module, *libraries))
    return {
        "source": f"{wheel.name}, sha256 {hashlib.sha256(wheel.read_bytes()).hexdigest()}",
        "names": {name: found[name] for name in CLASSES if name in found},
    }


if __name__ == "__main__":
    inventory = {}
    for version, requirement in WHEELS.items():
        with tempfile.TemporaryDirectory() as temporary:
            inventory[version] = names_of(requirement, Path(temporary))
    lines = [f"{json.dumps(v)}: {json.dumps(inventory[v])}" for v in inventory]
    Path(__file__).with_name("tensorrt_names.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
