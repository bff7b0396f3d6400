"""Target: what a kind of device is, read strictly from ``targets/<name>.yaml``.

A target says which backend compiles for the device, with how many threads, and how latency is
measured there. It knows nothing of a particular device: that is what a profile records.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tipsc.errors import TargetError, near

SUFFIX = ".yaml"
MAX_FILE_BYTES = 65_536
NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"

Core = Annotated[int, Field(ge=0, le=4095)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Measure(_Strict):
    """How latency is measured on the target; see :class:`tipsc.profile.Protocol`.

    Attributes:
        pin: ``fastest`` (as many of the fastest cores as there are threads), ``none``, or the
            numbers of the cores to pin to.
        warm_up_ms: how long each path runs before anything counts.
        rounds: how often every path is visited, each time in a new random order.
        batch_ms: how long one visit to a path lasts, roughly.
        time_limit_s: rounds are cut short rather than take longer than this.
    """

    pin: Literal["fastest", "none"] | Annotated[tuple[Core, ...], Field(min_length=1)] = "fastest"
    warm_up_ms: Annotated[float, Field(ge=0, le=60_000)] = 50.0
    rounds: Annotated[int, Field(ge=4, le=10_000)] = 20
    batch_ms: Annotated[float, Field(gt=0, le=60_000)] = 10.0
    time_limit_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0


class Target(_Strict):
    """A kind of device.

    Attributes:
        name: lower-case words joined by hyphens; the file is called the same.
        description: one line for people.
        backend: name of the backend that compiles for it; the table of backends judges it.
        threads: how many threads one inference uses.
        measure: how latency is measured.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN, max_length=64)]
    description: Annotated[str, Field(min_length=1, max_length=200)]
    backend: Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=64)]
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    measure: Measure = Measure()


def targets_folder() -> Path:
    """The folder of target files: inside the installed package, else in the checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "_targets"
    return installed if installed.is_dir() else package.parent / "targets"


def list_targets(folder: Path | None = None) -> tuple[str, ...]:
    """The names of the targets that tipsc ships, or of those in `folder`, sorted."""
    folder = targets_folder() if folder is None else folder
    return tuple(sorted(file.stem for file in folder.glob(f"*{SUFFIX}") if file.is_file()))


def load_target(name_or_file: str | Path) -> Target:
    """Read a target by its name, or from a file (a Path, or text with a folder or ``.yaml``).

    Raises:
        TargetError: no such target (near names are given), or the file is not a valid target
            (file and key are named).
    """
    if _is_file_name(name_or_file):
        return _read(Path(name_or_file))
    name = str(name_or_file)
    if name not in (known := list_targets()):
        raise TargetError(
            f"there is no target {name!r}",
            fix=f"{near(name, known)} A file is given with its {SUFFIX} ending",
        )
    target = _read(file := targets_folder() / f"{name}{SUFFIX}")
    if target.name != name:
        raise TargetError("the name does not match the file", where=str(file), got=target.name)
    return target


def _is_file_name(name_or_file: str | Path) -> bool:
    if isinstance(name_or_file, Path):
        return True
    return name_or_file.endswith((SUFFIX, ".yml")) or os.sep in name_or_file


def _read(file: Path) -> Target:
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise TargetError(
            f"cannot read the target: {error.strerror or error}", where=str(file)
        ) from error
    if len(raw) > MAX_FILE_BYTES:
        raise TargetError(
            "this is too large for a target", where=str(file), expected=f"<= {MAX_FILE_BYTES} bytes"
        )
    try:
        content = yaml.load(raw, Loader=_UniqueKeyLoader)  # a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise TargetError(
            f"not valid YAML: {_one_line(error)}", where=str(file), fix="correct the file"
        ) from error
    if not isinstance(content, dict):
        raise TargetError(
            "not a target", where=str(file), expected="a mapping", got=type(content).__name__
        )
    try:
        return Target.model_validate(_tuples(content))
    except ValidationError as error:
        raise _first_problem(error, file) from error


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


def _first_problem(error: ValidationError, file: Path) -> TargetError:
    problem = error.errors(include_url=False)[0]
    keys = [part for part in problem["loc"] if not _is_union_branch(part)]
    where = f"{file}, key {'.'.join(str(key) for key in keys)}"
    if problem["type"] == "extra_forbidden":
        parent = Measure if len(keys) > 1 else Target
        return TargetError("unknown key", where=where, fix=near(str(keys[-1]), parent.model_fields))
    if problem["type"] == "missing":
        return TargetError("this key is missing", where=where, fix="add it")
    return TargetError(_lower_first(problem["msg"]), where=where, got=repr(problem["input"])[:80])


def _is_union_branch(part: object) -> bool:
    """pydantic names the branch of a union in the location; the reader has no such key."""
    return (
        isinstance(part, str)
        and re.match(r"^(literal|tuple|constrained|function)", part) is not None
    )


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
