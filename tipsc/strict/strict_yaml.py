"""YAML files read strictly: plain types only, no unknown key, and errors that name file and key."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from tipsc.errors import UsageError, near
from tipsc.files import open_regular
from tipsc.printable import cut
from tipsc.strict import plain_yaml

MAX_FILE_BYTES = 65_536
_IN_YAML = (  # pydantic speaks of Python
    ("tuple", "list"),
    ("dictionary", "mapping"),
    (" after validation", ""),
    ("integer", "whole number"),
)
_BARE = re.compile(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?|true|false")  # what quotes alone make text
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")


class Strict(BaseModel):
    """Base of what is read from YAML: frozen, no unknown keys, no silent conversions."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=Strict)


def read_strict(
    file: Path, model: type[Model], error: type[UsageError], what: str, hint: str | None = None
) -> Model:
    """Reads a file as `model`.

    Args:
        error: the exception to raise.
        what: what such a file is called, for example "target".
        hint: what to do if there is no such file.

    Raises:
        UsageError: of the type `error`; it names the file and the key.
    """
    return validate(read_mapping(file, error, what, hint), file, model, error)


def read_mapping(
    file: Path, error: type[UsageError], what: str, hint: str | None = None
) -> dict[Any, Any]:
    """The mapping in a file, its values not judged yet; arguments as for :func:`read_strict`."""
    try:
        with open_regular(file) as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as problem:
        raise error(
            f"cannot read the {what}: {problem.strerror or problem}",
            where=str(file),
            fix=hint if isinstance(problem, FileNotFoundError) else None,
        ) from problem
    if len(raw) > MAX_FILE_BYTES:
        raise error(
            f"this is too large for a {what}",
            where=str(file),
            expected=f"<= {MAX_FILE_BYTES} bytes",
        )
    try:
        content = plain_yaml.load(raw)
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise _unreadable(problem, file, raw, error) from problem
    if not isinstance(content, dict):
        raise error(
            f"not a {what}", where=str(file), expected="a mapping", got=type(content).__name__
        )
    return content


def validate(
    content: dict[Any, Any], file: Path, model: type[Model], error: type[UsageError]
) -> Model:
    """`content`, which was read from `file`, as `model`; see :func:`read_strict`."""
    for keys, value in _numbers(content, ()):
        if not math.isfinite(value):  # also where the model takes anything
            where = f"{file}, key {'.'.join(keys)}"
            raise error("should be a finite number", where=where, got=str(value))
    try:
        return model.model_validate(as_tuples(content))
    except ValidationError as problem:
        raise first_problem(problem, str(file), ", key ", model, error) from problem


def _unreadable(problem: Exception, file: Path, raw: bytes, error: type[UsageError]) -> UsageError:
    """A file that is no YAML: the line, and what is wrong in it, without the parser's jargon."""
    if isinstance(problem, yaml.reader.ReaderError | UnicodeDecodeError):
        return error(
            "not valid YAML: it has bytes that are no text",
            where=str(file),
            fix="save it as plain text in UTF-8",
        )
    mark = _mark(problem)
    if not isinstance(problem, yaml.MarkedYAMLError) or mark is None:
        return error(f"not valid YAML: {problem}", where=str(file), fix="correct the file")
    lines = raw.decode(errors="replace").splitlines()
    line = lines[mark.line].strip() if mark.line < len(lines) else ""
    said = problem.problem or problem.context or "it cannot be read"
    if isinstance(problem, plain_yaml.NotPlain):
        what, fix = said, problem.fix
    else:
        what, fix = next(
            ((w, f) for sign, w, f in _SAID if sign in said), (said, "correct this line")
        )
    return error(
        f"not valid YAML: {what}",
        where=f"{file}, line {mark.line + 1}",
        got=repr(cut(line, 60)) if line else "the end of the file",
        fix=fix,
    )


def _mark(problem: Exception) -> Any:
    """Where it is wrong; of what was never closed, where it was opened."""
    marks = [getattr(problem, name, None) for name in ("problem_mark", "context_mark")]
    said = getattr(problem, "problem", None) or ""
    if any(sign in said for sign in ("end>", "end of stream", "could not find expected ':'")):
        marks.reverse()
    return marks[0] or marks[1]


# What the parser says, what is meant, what to do about it.
_SAID = (
    ("'\\t' that cannot start", "a tab where YAML allows only spaces", "indent with spaces"),
    (
        "mapping values are not allowed",
        "a second ': ' or wrong indentation",
        "put text that has ': ' in quotes, and indent like keys alike",
    ),
    ("another document", "a second document (---)", "leave one document in the file"),
    ("<stream end>", "a bracket or quote is never closed", "close it"),
    ("end of stream", "a bracket or quote is never closed", "close it"),
    (
        "but got",
        "a comma or a closing bracket is missing before this place",
        "correct this line, or the one before",
    ),
    (
        "could not find expected ':'",
        "a key without ': '",
        "write it as 'key: value', with a space",
    ),
    ("determine a constructor", "a tag (!...), which is not allowed", "write a plain value"),
    (
        "expected <block end>",
        "the indentation does not fit the lines above",
        "indent like keys alike",
    ),
)


def _numbers(value: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], float]]:
    """The floats in what was read, each with its place."""
    if isinstance(value, float):
        yield keys, value
    elif isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _numbers(item, (*keys, str(key)))


def as_tuples(value: Any) -> Any:
    """YAML knows lists only, and strict validation would not take one for a tuple."""
    if isinstance(value, dict):
        return {key: as_tuples(item) for key, item in value.items()}
    return tuple(as_tuples(item) for item in value) if isinstance(value, list) else value


def first_problem(
    problem: ValidationError, place: str, joint: str, model: type[Strict], error: type[UsageError]
) -> UsageError:
    """The first thing that is wrong, as an exception.

    Args:
        place: what was validated; with `joint` and the key it is where the problem is.
    """
    problems = problem.errors(include_url=False)
    # A key that is misspelt is missing as well: the misspelling says more.
    first = next((one for one in problems if one["type"] in _UNKNOWN), problems[0])
    keys = [part for part in first["loc"] if not _is_union_branch(part)]
    where = f"{place}{joint}{'.'.join(str(key) for key in keys)}" if keys else place
    if first["type"] in _UNKNOWN:
        return error(
            "unknown key", where=where, fix=near(str(keys[-1]), _keys_at(model, keys[:-1]))
        )
    if first["type"] == "missing":
        if isinstance(keys[-1], int):
            return error("items are missing", where=where.rpartition(".")[0], fix="add them")
        return error("this key is missing", where=where, fix="add it")
    if first["type"] in ("model_type", "model_attributes_type"):
        known = ", ".join(_keys_at(model, keys))
        return error(
            "this is a section, with keys of its own",
            where=where,
            expected=f"some of {known}" if known else None,
            got=_shown(first["input"]),
        )
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    message = message[:1].lower() + message[1:]
    for theirs, ours in _IN_YAML:
        message = message.replace(theirs, ours)
    if first["type"] == "string_pattern_mismatch":
        return error(
            "this text is not allowed",
            where=where,
            expected=_description(model, keys) or f"text like {first['ctx']['pattern']}",
            got=_shown(first["input"]),
        )
    is_section = isinstance(first["input"], dict)  # printing all of it would not help
    got = None if is_section and first["type"] == "value_error" else _shown(first["input"])
    return error(message, where=where, got=got, fix=_nearest(first))


def _shown(value: Any) -> str:
    """A value as the file may have it: YAML, short."""
    try:
        return cut(json.dumps(value, ensure_ascii=False), 80)
    except (TypeError, ValueError):  # what a program gave
        return cut(repr(value), 80)


def _nearest(problem: Any) -> str | None:
    """The nearest of several allowed words, if one is near."""
    allowed = re.findall(r"'([^']+)'", str(problem.get("ctx", {}).get("expected", "")))
    given = problem["input"]
    if isinstance(given, str) and problem["type"] in ("int_type", "float_type", "bool_type"):
        return "write it without quotes" if _BARE.fullmatch(given) else None
    is_word = problem["type"] == "literal_error" and isinstance(given, str)
    clause = near(given, allowed) if is_word else ""
    return clause if clause.startswith("did you mean") else None


def _keys_at(model: Any, keys: Iterable[object]) -> Iterable[str]:
    """The keys that are known at a place inside a model."""
    for key in keys:
        if isinstance(key, int):  # a place in a tuple of like items
            model = _section(next(iter(get_args(model)), None))
            continue
        field = getattr(model, "model_fields", {}).get(key)
        model = _section(field.annotation) if field is not None else None
    return getattr(model, "model_fields", None) or getattr(model, "__dataclass_fields__", {})


def _description(model: Any, keys: list[Any]) -> str | None:
    """What a field says of what it takes."""
    for key in keys[:-1]:
        field = getattr(model, "model_fields", {}).get(key)
        model = _section(field.annotation) if field is not None else None
    field = getattr(model, "model_fields", {}).get(keys[-1])
    return None if field is None else field.description


def _section(annotation: Any) -> Any:
    """The model in ``Model | None``; anything else as it is."""
    models = [a for a in get_args(annotation) if hasattr(a, "model_fields")]
    is_tuple = get_origin(annotation) is tuple
    return models[0] if len(models) == 1 and not is_tuple else annotation


def _is_union_branch(part: object) -> bool:
    """pydantic names the branch of a union in the location; the reader has no such key."""
    return (
        isinstance(part, str)
        and re.match(r"^(literal|tuple|constrained|function)", part) is not None
    )
