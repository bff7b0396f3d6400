"""An environment with TensorRT 8.6, as JetPack 6.0 has it: ``make tensorrt86``.

    python tests/backends/make_tensorrt86.py FOLDER

NVIDIA's wheel is fetched with pip (0.8 GB, under NVIDIA's licence) and left as it is. Its plugin
library asks for cuBLAS 12 and cuDNN 8, another gigabyte that no engine of ours uses: where pip
would put them, stand-ins answer each call with "not initialised", and ``own_kernels.py`` keeps
TensorRT from calling them. Needs Linux x86-64, Python 3.10 (the newest that the wheel takes), cc
and nm.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

WHEEL = "tensorrt==8.6.0"
#: what running engines and finishing them needs
OTHERS = (
    "numpy<2", "onnx>=1.19", "onnxruntime>=1.20", "click", "rich", "pyyaml", "pydantic",
    "nvidia-cuda-runtime-cu12",
)  # fmt: skip
#: where pip has them, beside the package
STAND_INS = (
    "nvidia/cublas/lib/libcublas.so.12",
    "nvidia/cublas/lib/libcublasLt.so.12",
    "nvidia/cudnn/lib/libcudnn.so.8",
)


def python310() -> str:
    """An interpreter of that version: on PATH, or one of pyenv's."""
    places = [shutil.which("python3.10"), *map(str, Path.home().glob(".pyenv/versions/3.10.*/bin"))]
    for place in filter(None, places):
        file = Path(place) / "python3.10" if Path(place).is_dir() else Path(place)
        if subprocess.run([file, "-c", "import venv"], capture_output=True).returncode == 0:
            return str(file)
    raise SystemExit("no Python 3.10 is here, which TensorRT 8.6 needs: install one")


def write_stand_ins(packages: Path) -> None:
    """Beside a package of TensorRT that lies in `packages`."""
    plugins = packages / "tensorrt" / "libnvinfer_plugin.so.8"
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", plugins], check=True, capture_output=True, text=True
    )
    wanted = [line.split()[-1].split("@") for line in listed.stdout.splitlines()]
    for place in STAND_INS:
        file = packages / place
        file.parent.mkdir(parents=True, exist_ok=True)
        names = sorted(name for name, *version in wanted if version == [file.name])
        source = "\n".join(f"int {name}(void) {{ return 1; }}" for name in names)
        versions = file.with_suffix(".map")
        versions.write_text(f"{file.name} {{ global: *; }};\n")
        subprocess.run(
            ["cc", "-shared", "-fPIC", f"-Wl,-soname,{file.name}",
             f"-Wl,--version-script={versions}", "-o", file, "-xc", "-"],
            input=source, text=True, check=True,
        )  # fmt: skip


def main() -> None:
    (folder,) = map(Path, sys.argv[1:])
    subprocess.run([python310(), "-m", "venv", "--clear", folder], check=True)
    python = folder / "bin" / "python"
    for wanted in (["--no-deps", WHEEL], OTHERS):  # it asks for the real cuBLAS and cuDNN
        subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    told = subprocess.run([python, "-c", where], check=True, capture_output=True, text=True)
    packages = Path(told.stdout.strip())
    write_stand_ins(packages)
    shutil.copy(Path(__file__).with_name("own_kernels.py"), packages / "sitecustomize.py")


if __name__ == "__main__":
    main()
