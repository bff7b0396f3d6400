"""A value as a digest: models, callables of the user's, tensors and what holds them."""

from __future__ import annotations

import dis
import enum
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from tipsc.fingerprint.installed import package_and_version
from tipsc.fingerprint.users_code import beside, own_file, syntax, with_imports

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
        yield package_and_version(getattr(value, "__module__", None) or "builtins")
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
    file = own_file(module)
    if file is None:
        yield package_and_version(module.__name__)
        return
    for each in with_imports(file):
        yield syntax(each)


def _function(function: FunctionType, seen: Seen) -> Iterator[bytes]:
    module = sys.modules.get(function.__module__)
    if module is not None and own_file(module) is None:
        yield f"{function.__qualname__} of ".encode() + package_and_version(function.__module__)
    else:
        yield from _code(function.__code__)
        read = dict.fromkeys(_names(function.__code__))
        found = {name: function.__globals__[name] for name in read if name in function.__globals__}
        yield from _parts(found, seen)
        for file in _imported_inside(function):
            yield from map(syntax, with_imports(file))
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


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _imported_inside(function: FunctionType) -> list[Path]:
    """The user's files that a function imports when it runs."""
    file = Path(function.__code__.co_filename)
    names = [
        i.argval
        for code in _codes(function.__code__)
        for i in dis.get_instructions(code)
        if i.opname == "IMPORT_NAME"
    ]
    return [found for name in names if (found := beside(file, name)) is not None]
