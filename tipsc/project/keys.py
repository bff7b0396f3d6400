"""The keys of tipsc.yaml and of target files as tables, made from the models that read them.

``python -m tipsc.project.keys docs/config.md`` writes them into a document, between the lines
``<!-- keys: NAME -->`` and ``<!-- end -->``; a test holds the document against the models.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tipsc.backends import BACKENDS
from tipsc.elastic.families import FAMILIES
from tipsc.elastic.families.mobilenet import MobileStage
from tipsc.engine.atomic import write_atomically
from tipsc.project.config import (
    Build,
    BuildGoal,
    BuildLimits,
    CameraInput,
    Config,
    Convert,
    DataSource,
    ModelSource,
    PhaseSection,
    TaskSource,
)
from tipsc.project.config import TrainSection as Train
from tipsc.project.target import Measure, Roofline, Sources, Target, Throughput
from tipsc.tasks import TASKS
from tipsc.train import Phase, TrainConfig
from tipsc.train.config import NAMES, RANGES
from tipsc.train.samplers import SAMPLERS

MARK = re.compile(r"<!-- keys: ([\w.-]+) -->\n.*?<!-- end -->", re.DOTALL)
UNITS = {
    "_gb_s": "GB/s",
    "_ms": "ms",
    "_s": "s",
    "_seconds": "s",
    "_bytes": "bytes",
    "resolutions": "pixels",
}
WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false"}


@dataclass(frozen=True)
class Key:
    """A row.

    Attributes:
        name: of the key.
        kind: its type, with the unit where it has one.
        default: as it is written in YAML; "required" if there is none.
        allowed: range or names; may be empty.
        text: what it does.
    """

    name: str
    kind: str
    default: str
    allowed: str
    text: str


@dataclass(frozen=True)
class KeySection:
    """Keys that stand together: the model that reads them, and the class that explains them."""

    model: type[BaseModel]
    explained: type
    allowed: Mapping[str, str]


SECTIONS = {
    "config": KeySection(Config, Config, {}),
    "model": KeySection(ModelSource, ModelSource, {"family": ", ".join(FAMILIES)}),
    "convert": KeySection(Convert, Convert, {"exits": "numbers from 1"}),
    "convert.input": KeySection(CameraInput, CameraInput, {}),
    "data": KeySection(DataSource, DataSource, {}),
    "task": KeySection(TaskSource, TaskSource, {"name": ", ".join(TASKS)}),
    "train": KeySection(
        Train,
        TrainConfig,
        {name: words for name, (words, _) in RANGES.items()}
        | {name: ", ".join(known) for name, known in NAMES.items()},
    ),
    "train.phases": KeySection(PhaseSection, Phase, {"share": "above 0, together 1"}),
    "build": KeySection(Build, Build, {"evaluations": "paths to 10000"}),
    "build.goals": KeySection(BuildGoal, BuildGoal, {}),
    "build.limits": KeySection(BuildLimits, BuildLimits, {}),
    "target": KeySection(Target, Target, {"backend": ", ".join(BACKENDS)}),
    "target.measure": KeySection(Measure, Measure, {}),
    "target.roofline": KeySection(Roofline, Roofline, {}),
    "target.roofline.tflops": KeySection(Throughput, Throughput, {}),
    "target.roofline.sources": KeySection(Sources, Sources, {}),
}


def keys_of(section: KeySection) -> list[Key]:
    """The rows of a section, in the order of the model."""
    texts = _explanations(section.explained, "Attributes")
    return [
        Key(
            name=name,
            kind=_of_unit(_kind(_annotation(field)), name),
            default=_default(field),
            allowed=section.allowed.get(name) or _range(_annotation(field)),
            text=texts.get(name) or field.description or "",
        )
        for name, field in section.model.model_fields.items()
    ]


def arguments_of(make: Callable[..., Any], skipped: int = 0) -> list[Key]:
    """The arguments of a family, or of a sampler without its first two."""
    texts = _explanations(make, "Args")
    parameters = list(inspect.signature(make, eval_str=True).parameters.values())[skipped:]
    return [
        Key(
            name=parameter.name,
            kind=_kind(parameter.annotation),
            default="required"
            if parameter.default is parameter.empty
            else _yaml(parameter.default),
            allowed=_range(parameter.annotation),
            text=texts.get(parameter.name, ""),
        )
        for parameter in parameters
    ]


def tables() -> dict[str, list[Key]]:
    """All tables by the names that a document calls them by."""
    found = {name: keys_of(section) for name, section in SECTIONS.items()}
    for name, module in SAMPLERS.items():
        found[f"sampler.{name}"] = arguments_of(importlib.import_module(module).make, skipped=2)
    for name, place in FAMILIES.items():
        file, _, attribute = place.partition(":")
        found[f"family.{name}"] = arguments_of(getattr(importlib.import_module(file), attribute))
    found["family.mobilenet.stages"] = arguments_of(MobileStage)
    return found


def written(document: str) -> str:
    """The document with its tables as they are now."""
    known = tables()

    def table(match: re.Match[str]) -> str:
        rows = "\n".join(_rows(known[match[1]]))
        return f"<!-- keys: {match[1]} -->\n{rows}\n<!-- end -->"

    return MARK.sub(table, document)


def _rows(keys: list[Key]) -> Iterator[str]:
    if not keys:
        yield "None."
        return
    yield "| key | type | default | allowed | what it does |"
    yield "|---|---|---|---|---|"
    for key in keys:
        cells = (f"`{key.name}`", key.kind, f"`{key.default}`", key.allowed, key.text)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _explanations(thing: Any, heading: str) -> dict[str, str]:
    """What a docstring says of each attribute or argument, on one line, as Markdown."""
    _, _, block = (inspect.getdoc(thing) or "").partition(f"{heading}:\n")
    block = re.split(r"\n(?=\S)", block)[0]  # up to the next heading
    found = {}
    for entry in re.split(r"\n(?=    \S)", "\n" + block):
        names, colon, text = entry.strip().partition(":")
        if colon:
            for name in names.split(", "):
                found[name] = _markdown(text)
    return found


def _markdown(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", " ".join(text.split()))
    return text.replace("``", "`").rstrip(".")


def _annotation(field: FieldInfo) -> Any:
    """The type with its bounds, which pydantic takes apart."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _kind(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _kind(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_kind(item) for item in inner))
    if origin is Literal:
        return " or ".join(f"`{item}`" for item in inner)
    if origin is dict or origin is Mapping:
        return "mapping"
    if (origin is not None and issubclass(origin, tuple | list)) or _is_sequence(origin):
        items = [item for item in inner if item is not Ellipsis]
        return f"list of {_plural(_kind(items[0]))}" if items else "list"
    if kind is NoneType:
        return "null"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return "section"
    return WORDS.get(kind, "mapping")


def _is_sequence(origin: Any) -> bool:
    return getattr(origin, "__name__", "") == "Sequence"


def _plural(kind: str) -> str:
    return {"text": "texts", "list of whole numbers": "lists"}.get(kind, f"{kind}s")


def _of_unit(kind: str, name: str) -> str:
    """Numbers with their unit, which the end of a name says; text has none."""
    unit = next((unit for ending, unit in UNITS.items() if name.endswith(ending)), None)
    return kind if unit is None or kind.startswith("text") else f"{kind}, {unit}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "see below" if isinstance(value, BaseModel) else _yaml(value)


def _yaml(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    return "{}" if value == {} else str(value)


def _range(kind: Any) -> str:
    """The bounds in an annotation, of its items too."""
    parts: list[str] = []
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        bounds: dict[str, Any] = {}
        for mark in kind.__metadata__:
            for part in getattr(mark, "metadata", [mark]):
                names = ("gt", "ge", "lt", "le", "min_length", "max_length")
                bounds |= {n: getattr(part, n) for n in names if hasattr(part, n)}
        parts += _words({n: b for n, b in bounds.items() if b is not None})
        kind = inner[0]
        origin, inner = get_origin(kind), get_args(kind)
    for item in inner if origin is not Literal else ():
        if item is not Ellipsis and (found := _range(item)):
            is_list = origin is not None and isinstance(origin, type) and issubclass(origin, tuple)
            parts.append(f"each {found}" if is_list else found)
    return "; ".join(dict.fromkeys(parts))


def _words(bounds: Mapping[str, Any]) -> list[str]:
    words = []
    if "ge" in bounds and "le" in bounds:
        words.append(f"{bounds['ge']} to {bounds['le']}")
    else:
        said = (("gt", "above"), ("ge", "at least"), ("lt", "below"), ("le", "at most"))
        found = [f"{word} {bounds[name]}" for name, word in said if name in bounds]
        words += [", ".join(found)] if found else []
    low, high = bounds.get("min_length"), bounds.get("max_length")
    if low is not None or high is not None:
        words.append(f"at most {high} long" if not low else f"at least {low} long")
        words[-1] = f"{low} to {high} long" if low and high is not None else words[-1]
    return words


def main(file: Path) -> None:
    """Writes the tables of a document anew."""
    write_atomically(file, [written(file.read_text(encoding="utf-8")).encode()])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
