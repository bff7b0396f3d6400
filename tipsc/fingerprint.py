"""What a result depends on, as digests: models, callables of the user's, and code.

A stage of a build is found again by a key over all that its result depends on, so what is left out
of a key is silently computed from something else. The rules:

- A value counts by its content: numbers, text, containers, tensors, and objects by their type and
  attributes. Addresses, order of sets and names of temporary things do not count.
- A function of the user's counts by its compiled code, its defaults, what it encloses, the values
  of the names that it reads from its module, and the files of the user's modules that it imports.
- A file of the user's counts by its syntax tree, together with the files of the user's own that it
  imports: comments and layout do not count, everything else does.
- What a package brings counts by name and version of the package.
- A model counts by the operations that its forward pass consists of where it can be traced (see
  :meth:`tipsc.elastic.conversion.capture.Program.operations`), else by its class and attributes;
  and by all its tensors, those that are in no state dict among them.
"""

from __future__ import annotations

import ast
import dis
import enum
import hashlib
import importlib.metadata
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property, partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from tipsc.callables import is_users_own

#: packages whose version can change what is trained
TRAINING = ("torch", "numpy", "scipy")
#: rooms of tipsc whose code decides what comes out of a training
TRAINS = ("paths.py", "factors.py", "elastic", "dtmc", "train", "training.py", "loading.py")
#: and what comes out of the stages after it
BUILDS = (
    "assemble.py", "backends", "build.py", "candidates.py", "compile", "engine", "lower", "measure",
    "measured.py", "profile", "profiling.py", "search", "searching.py", "unbuilt.py",
)  # fmt: skip

#: number and object by address
Seen: TypeAlias = dict[int, tuple[int, object]]

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def fingerprint(value: object) -> str:
    """SHA-256 of a value, in hexadecimal: equal in all processes for equal content."""
    digest = hashlib.sha256()
    for part in _parts(value, {}):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed version of each package; "none" where it is not installed."""
    return {name: _version(name) for name in packages}


@cache
def code_of(rooms: tuple[str, ...]) -> str:
    """A digest of tipsc's own code in these rooms: between releases the version stays the same."""
    folder = Path(__file__).parent
    places = [folder / room for room in rooms]
    files = [f for p in places for f in ([p] if p.suffix else sorted(p.rglob("*.py")))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _parts(value: object, seen: Seen) -> Iterator[bytes]:
    """The bytes that stand for a value; `seen` breaks circles."""
    if isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}".encode()
        return
    if id(value) in seen:
        yield f"again {seen[id(value)][0]}".encode()
        return
    seen[id(value)] = len(seen), value  # held: the address of what is gone is given away again
    if isinstance(value, Tensor):
        yield from _tensor(value)
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield f"array {value.dtype.str} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif isinstance(value, Mapping):
        yield f"mapping {type(value).__qualname__} {len(value)}".encode()
        for key, item in value.items():
            yield from _parts(key, seen)
            yield from _parts(item, seen)
    elif isinstance(value, set | frozenset):
        yield b"set"
        yield from sorted(fingerprint(item).encode() for item in value)
    elif isinstance(value, tuple | list):
        yield f"sequence {type(value).__qualname__} {len(value)}".encode()
        for item in value:
            yield from _parts(item, seen)
    else:
        yield from _object(value, seen)


def _tensor(value: Tensor) -> Iterator[bytes]:
    yield f"tensor {value.dtype} {tuple(value.shape)} {value.requires_grad}".encode()
    flat = value.detach().cpu().contiguous()
    if flat.numel() and flat.device.type != "meta":
        yield flat.reshape(-1).view(torch.uint8).numpy().tobytes()


def _object(value: Any, seen: Seen) -> Iterator[bytes]:
    if isinstance(value, FunctionType):
        yield from _function(value, seen)
    elif isinstance(value, MethodType):
        yield b"method"
        yield from _parts((value.__func__, value.__self__), seen)
    elif isinstance(value, partial):
        yield b"partial"
        yield from _parts((value.func, value.args, value.keywords), seen)
    elif isinstance(value, ModuleType):
        yield from _module(value)
    elif isinstance(value, type):
        yield from _class(value)
    elif isinstance(value, enum.Enum):
        yield f"enum {value}".encode()
        yield from _class(type(value))
    elif isinstance(value, torch.Generator):
        yield b"generator"
        yield from _tensor(value.get_state())
    elif isinstance(value, nn.Module):
        yield from _class(type(value))
        yield from _parts(_attributes(value), seen)
    elif isinstance(value, BuiltinFunctionType) or not _has_attributes(value):
        yield from _class(type(value))
        yield _package(getattr(value, "__module__", None) or "builtins")
        if " at 0x" not in (text := repr(value)):
            yield text.encode()
    else:
        yield from _class(type(value))
        yield from _parts(_attributes(value), seen)


def _has_attributes(value: object) -> bool:
    return hasattr(value, "__dict__") or bool(getattr(type(value), "__slots__", ()))


def _attributes(value: Any) -> dict[str, Any]:
    slots: list[str] = []
    for kind in type(value).__mro__:
        own: Any = vars(kind).get("__slots__", ())
        slots += [own] if isinstance(own, str) else own
    found = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    found |= getattr(value, "__dict__", {})
    return {name: item for name, item in found.items() if not _passes(type(value), name)}


def _passes(kind: type, name: str) -> bool:
    """Whether an attribute only says what was done with an object: its mode, what it remembers."""
    if name == "training" and issubclass(kind, nn.Module):
        return True
    return isinstance(inspect.getattr_static(kind, name, None), cached_property)


def _class(kind: type) -> Iterator[bytes]:
    """A class by its bases that are the user's own, with their files; else by its package."""
    yield f"class {kind.__qualname__}".encode()
    for base in kind.__mro__:
        module = sys.modules.get(base.__module__)
        if module is not None:
            yield from _module(module)


def _module(module: ModuleType) -> Iterator[bytes]:
    file = _own_file(module)
    if file is None:
        yield _package(module.__name__)
        return
    for each in _with_imports(file):
        yield _syntax(each)


def _function(function: FunctionType, seen: Seen) -> Iterator[bytes]:
    module = sys.modules.get(function.__module__)
    if module is not None and _own_file(module) is None:
        yield f"{function.__qualname__} of ".encode() + _package(function.__module__)
    else:
        yield from _code(function.__code__)
        read = dict.fromkeys(_names(function.__code__))
        found = {name: function.__globals__[name] for name in read if name in function.__globals__}
        yield from _parts(found, seen)
        for file in _imported_inside(function):
            yield from map(_syntax, _with_imports(file))
    cells = [c.cell_contents for c in function.__closure__ or () if _is_filled(c)]
    yield from _parts((function.__defaults__, function.__kwdefaults__, cells), seen)


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:  # what it stands for is not defined yet
        return False
    return True


def _code(code: CodeType) -> Iterator[bytes]:
    """Without file and line numbers."""
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)).encode()
    yield repr((code.co_argcount, code.co_kwonlyargcount, code.co_flags)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        else:  # sets among the constants have no order of their own
            yield fingerprint(constant).encode()


def _names(code: CodeType) -> Iterator[str]:
    """The global names that a function and those inside it read."""
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _imported_inside(function: FunctionType) -> list[Path]:
    """The user's files that a function imports when it runs."""
    file = Path(function.__code__.co_filename)
    names = [
        i.argval
        for code in _codes(function.__code__)
        for i in dis.get_instructions(code)
        if i.opname == "IMPORT_NAME"
    ]
    return [found for name in names if (found := _beside(file, name)) is not None]


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _syntax(file: Path) -> bytes:
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


def _with_imports(file: Path) -> list[Path]:
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
            beside = _beside(current, name)
            if beside is not None and beside not in found:
                found[beside] = None
                waiting.append(beside)
    return list(found)


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield base
            yield from (f"{base}{'' if base.endswith('.') else '.'}{a.name}" for a in node.names)


def _beside(file: Path, name: str) -> Path | None:
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


def _own_file(module: ModuleType) -> Path | None:
    """The file of a module of the user's own."""
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py") or not Path(file).is_file():
        return None
    return Path(file).resolve() if is_users_own(Path(file)) else None


def _package(module: str) -> bytes:
    """Name and version of the package that a module comes with."""
    top = module.partition(".")[0]
    return f"{module} {_version(top)}".encode()


@cache
def _version(name: str) -> str:
    if name == "tipsc":
        return code_of(TRAINS)
    if name in sys.stdlib_module_names or name == "builtins":
        return "{}.{}".format(*sys.version_info)
    for package in (name, *importlib.metadata.packages_distributions().get(name, ())):
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "none"
