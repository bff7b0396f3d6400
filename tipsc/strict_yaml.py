"""YAML files read strictly: plain types only, no unknown key, and errors that name file and key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tipsc.errors import UsageError, near

MAX_FILE_BYTES = 65_536
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


class Strict(BaseModel):
    """Base of what is read from YAML: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=Strict)


def read_strict(file: Path, model: type[Model], error: type[UsageError], what: str) -> Model:
    """Reads a file as `model`.

    Args:
        error: the exception to raise.
        what: what such a file is called, for example "target".

    Raises:
        UsageError: of the type `error`; it names the file and the key.
    """
    return validate(read_mapping(file, error, what), file, model, error)


def read_mapping(file: Path, error: type[UsageError], what: str) -> dict[Any, Any]:
    """The mapping in a file, its values not judged yet; arguments as for :func:`read_strict`."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        raise error(
            f"cannot read the {what}: {problem.strerror or problem}", where=str(file)
        ) from problem
    if len(raw) > MAX_FILE_BYTES:
        raise error(
            f"this is too large for a {what}",
            where=str(file),
            expected=f"<= {MAX_FILE_BYTES} bytes",
        )
    try:
        content = yaml.load(raw, Loader=_UniqueKeyLoader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as problem:
        text = " ".join(str(problem).split())
        raise error(f"not valid YAML: {text}", where=str(file), fix="correct the file") from problem
    if not isinstance(content, dict):
        raise error(
            f"not a {what}", where=str(file), expected="a mapping", got=type(content).__name__
        )
    return content


def validate(
    content: dict[Any, Any], file: Path, model: type[Model], error: type[UsageError]
) -> Model:
    """`content`, which was read from `file`, as `model`; see :func:`read_strict`."""
    try:
        return model.model_validate(_tuples(content))
    except ValidationError as problem:
        raise _first_problem(problem, file, model, error) from problem


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's plain types only, and a key that stands twice is an error, not the last one's win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _tuples(value: Any) -> Any:
    """YAML knows lists only, and strict validation would not take one for a tuple."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _first_problem(
    problem: ValidationError, file: Path, model: type[Strict], error: type[UsageError]
) -> UsageError:
    first = problem.errors(include_url=False)[0]
    keys = [part for part in first["loc"] if not _is_union_branch(part)]
    where = f"{file}, key {'.'.join(str(key) for key in keys)}" if keys else str(file)
    if first["type"] in _UNKNOWN:
        return error(
            "unknown key", where=where, fix=near(str(keys[-1]), _keys_at(model, keys[:-1]))
        )
    if first["type"] == "missing":
        return error("this key is missing", where=where, fix="add it")
    message = first["msg"].removeprefix("Value error, ")
    return error(message[:1].lower() + message[1:], where=where, got=repr(first["input"])[:80])


def _keys_at(model: Any, keys: Iterable[object]) -> Iterable[str]:
    """The keys that are known at a place inside a model."""
    for key in keys:
        if isinstance(key, int):  # a place in a tuple of like items
            model = next(iter(get_args(model)), None)
            continue
        field = getattr(model, "model_fields", {}).get(key)
        model = field.annotation if field is not None else None
    return getattr(model, "model_fields", None) or getattr(model, "__dataclass_fields__", {})


def _is_union_branch(part: object) -> bool:
    """pydantic names the branch of a union in the location; the reader has no such key."""
    return (
        isinstance(part, str)
        and re.match(r"^(literal|tuple|constrained|function)", part) is not None
    )
