"""What tipsc writes appears by a rename, so that nobody maps or reads a half."""

from __future__ import annotations

import ast
from pathlib import Path

import tipsc

ROOT = Path(tipsc.__file__).parent
WRITERS = {"write_bytes", "write_text", "save", "savez", "savez_compressed", "fdopen"}
WRITERS |= {"copy", "copy2", "copyfile", "copytree", "move"}
LIBRARIES = {"np", "numpy", "torch", "shutil", "os"}

#: files of tipsc that open or write a file in another way than ``write_atomically``, and why
ALLOWED = {
    "cli/samples.py": "memory",
    "backends/cache_lock.py": "a lock",
    "backends/finalise.py": "a folder that is renamed as a whole",
    "backends/litert.py": "a folder that is renamed as a whole",
    "backends/litert_check.py": "a temporary folder",
    "backends/reference.py": "a temporary folder",
    "backends/tensorrt/examine.py": "a temporary file, line by line for the parent process",
    "backends/tensorrt/job.py": "the folder of one job",
    "backends/tensorrt/plans.py": "a temporary folder",
    "backends/tensorrt/refit.py": "a temporary folder",
    "search/candidates.py": "a stage, whose manifest with all hashes comes last",
    "pipeline/again.py": "a stage, whose manifest with all hashes comes last",
    "cli/run.py": "memory",
    "pipeline/answers.py": "memory",
    "compile/litert.py": "a temporary file",
    "compile/tflite/workers.py": "a pipe",
    "device/agent.py": "renames by itself: it runs without tipsc",
    "device/benching.py": "the folder of one job",
    "device/jobs.py": "the folder of one job",
    "device/link.py": "renames by itself: it runs without tipsc",
    "device/measuring.py": "memory",
    "device/new_target.py": "a temporary folder",
    "pipeline/device_report.py": "a temporary folder",
    "engine/atomic.py": "is what renames",
    "files.py": "opens for reading",
    "lower/ranges.py": "a temporary folder",
    "profile/profile.py": "renames by itself",
    "measure/resources.py": "a switch of the kernel",
    "pipeline/stages.py": "a lock",
    "train/checkpoint.py": "renames by itself",
    "pipeline/train.py": "a stage, whose manifest with all hashes comes last",
}


def is_mode_of_writing(node: ast.expr) -> bool:
    text = node.value if isinstance(node, ast.Constant) else None
    return isinstance(text, str) and set(text) <= set("rwxabt+") and bool(set(text) & set("wxa+"))


def writes(file: Path) -> list[str]:
    """The calls in `file` that may write one."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        owner = function.value if isinstance(function, ast.Attribute) else None
        of_library = isinstance(owner, ast.Name) and owner.id in LIBRARIES
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        if (
            name in ("write_bytes", "write_text")
            or (name in WRITERS and of_library)
            or (name == "open" and any(map(is_mode_of_writing, values)))
        ):
            found.append(f"line {node.lineno}: {name}")
    return found


def test_files_are_written_by_a_rename_or_stand_in_the_table():
    found = {str(f.relative_to(ROOT)): writes(f) for f in sorted(ROOT.rglob("*.py"))}
    new = {name: calls for name, calls in found.items() if calls and name not in ALLOWED}
    assert not new, "use tipsc.engine.atomic.write_atomically"


def test_the_table_names_files_that_there_are():
    assert [name for name in ALLOWED if not (ROOT / name).is_file()] == []


def test_a_writer_is_seen(tmp_path):
    for line in (
        "p.write_bytes(b)", "p.write_text(t)", "p.open('wb')", "open(p, 'w')", "p.open(mode='r+b')",
        "np.save(p, x)", "torch.save(x, p)", "shutil.copy(a, b)",
    ):  # fmt: skip
        (tmp_path / "m.py").write_text(line)
        assert writes(tmp_path / "m.py"), line
    (tmp_path / "m.py").write_text("p.open('rb'), open(p), x.copy(), image.save(1)")
    assert writes(tmp_path / "m.py") == []
