"""Files of the user's own code: which they are, what they import, and what counts in them."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

_PACKAGES = ("site-packages", "dist-packages")
_TIPSC = Path(__file__).resolve().parents[1]


@cache
def is_users_own(file: Path) -> bool:
    """Whether a file of code is neither Python's, nor an installed package's, nor tipsc's."""
    file = file.resolve()
    standard = Path(sysconfig.get_path("stdlib")).resolve()
    return (
        file.is_file()
        and not any(part in _PACKAGES for part in file.parts)
        and not file.is_relative_to(standard)
        and not file.is_relative_to(_TIPSC)
    )


def own_file(module: ModuleType) -> Path | None:
    """The file of a module of the user's own."""
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py") or not Path(file).is_file():
        return None
    return Path(file).resolve() if is_users_own(Path(file)) else None


def syntax(file: Path) -> bytes:
    """A file's syntax tree without its docstrings."""
    text = file.read_text(encoding="utf-8")
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text.encode()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = body[0] if body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                first.value.value = ""
    return hashlib.sha256(ast.dump(tree).encode()).digest()


def with_imports(file: Path) -> list[Path]:
    """A file of the user's and those of the user's own that it imports, also through others."""
    found: dict[Path, None] = {file: None}
    waiting = [file]
    while waiting:
        current = waiting.pop()
        try:
            tree = ast.parse(current.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, UnicodeDecodeError):
            continue
        for name in _imports(tree):
            found_there = beside(current, name)
            if found_there is not None and found_there not in found:
                found[found_there] = None
                waiting.append(found_there)
    return list(found)


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            yield from (f"{base}{'' if base.endswith('.') else '.'}{a.name}" for a in node.names)


def beside(file: Path, name: str) -> Path | None:
    """The file of the user's own that an import in `file` means; None for what a package brings."""
    level = len(name) - len(name.lstrip("."))
    parts = [part for part in name[level:].split(".") if part]
    folders = [file.parent, *file.parent.parents][max(0, level - 1) :][:1]
    if not level and parts:  # a neighbour, or the user's own elsewhere on the path
        folders += [Path(entry or ".") for entry in sys.path]
    for folder in folders:
        place = folder.joinpath(*parts)
        for found in (place.with_suffix(".py") if parts else place, place / "__init__.py"):
            if found.is_file():
                return found.resolve() if is_users_own(found) else None
    return None
