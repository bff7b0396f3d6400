"""The rooms of the package: imports go one way, along the data, and no name means two things."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

import pytest

import tipsc

ROOT = Path(tipsc.__file__).parent

#: room to what it may import, in order: nothing stands before what it needs. What stands at the top
#: level of the package is no room; all may use it.
ROOMS: Mapping[str, str] = {
    # what runs on a device: numpy, one backend, nothing of the compiler
    "measure": "",
    "engine": "",
    "backends": "engine measure",
    "runtime": "backends engine",
    "embed": "engine",
    # the model and its chain
    "strict": "",
    "fingerprint": "",
    "dtmc": "",
    "elastic": "strict",
    "convert": "elastic fingerprint",
    "tasks": "",
    "train": "dtmc elastic strict tasks",
    # what the user wrote, and what was measured
    "from_onnx": "",
    "project": "backends convert elastic engine fingerprint from_onnx strict tasks train",
    "profile": "elastic measure project",
    # which paths, and what an engine holds of them
    "search": "dtmc elastic engine profile train",
    "lower": "elastic engine tasks",
    "compile": "backends elastic engine lower measure project search",
    "device": "backends engine measure profile project runtime",
    # the order of it all, and what people see of it
    "pipeline": "backends compile convert device dtmc elastic engine fingerprint lower measure "
    "profile project runtime search tasks train",
    "scoring": "dtmc elastic pipeline profile project",
    "report": "dtmc elastic engine measure pipeline profile project runtime scoring search tasks "
    "train",
    "cli": "backends convert device elastic embed engine measure pipeline profile project report "
    "runtime scoring search strict train",
    "notebook": "cli elastic engine pipeline project report runtime tasks train",
}
#: what is shared by all, from the lowest up
SHARED = (
    "printable", "extras", "errors", "files", "system_errors", "progress", "paths", "factors",
    "quality", "tree", "batch", "signature", "filled", "__init__", "__main__",
)  # fmt: skip

FILES = {
    ".".join(("tipsc", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): file
    for file in sorted(ROOT.rglob("*.py"))
}


def room_of(module: str) -> str:
    """ "" for what stands at the top level."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else ""


def imports(tree: ast.AST, *, at_once: bool, typed: bool = False) -> Iterator[str]:
    """Modules of tipsc that a file imports.

    Args:
        at_once: only those that are imported when it is; the others are inside functions.
        typed: also those that only a type checker reads.
    """
    for node in ast.iter_child_nodes(tree):
        if not typed and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if at_once and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom) and node.module in FILES:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name for name in inside if name in FILES)
            if any(name not in FILES for name in inside):
                yield node.module
        yield from imports(node, at_once=at_once, typed=typed)


def graph(*, at_once: bool, typed: bool = False) -> dict[str, set[str]]:
    """Module to the modules that it imports."""
    return {
        module: set(imports(ast.parse(file.read_text()), at_once=at_once, typed=typed)) - {module}
        for module, file in FILES.items()
    }


def circle_in(edges: Mapping[str, Set[str]]) -> list[str]:
    """One circle, its first node again at the end; empty if there is none."""
    done: set[str] = set()

    def search(node: str, way: list[str]) -> list[str]:
        if node in way:
            return [*way[way.index(node) :], node]
        if node in done:
            return []
        for following in sorted(edges.get(node, ())):
            if found := search(following, [*way, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(edges) if (found := search(node, []))), [])


@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "also inside functions"])
def test_no_files_import_each_other(at_once: bool) -> None:
    assert circle_in(graph(at_once=at_once)) == []


def test_no_files_know_each_other_for_a_type_checker_either() -> None:
    assert circle_in(graph(at_once=False, typed=True)) == []


def test_rooms_import_what_the_table_says_and_nothing_else() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for module, others in graph(at_once=False).items():
        found[room_of(module)] |= {room_of(other) for other in others}
    for room, allowed in ROOMS.items():
        assert found[room] - {room, ""} == set(allowed.split()), room


def test_the_table_goes_one_way() -> None:
    order = list(ROOMS)
    for room, allowed in ROOMS.items():
        for other in allowed.split():
            assert order.index(other) < order.index(room), f"{room} imports {other}"


def test_only_what_is_shared_by_all_stands_at_the_top_level() -> None:
    assert {file.stem for file in ROOT.glob("*.py")} == set(SHARED)
    places = {f"tipsc.{name}": place for place, name in enumerate(SHARED)}
    for module, others in graph(at_once=True).items():
        if module in places and module != "tipsc.__main__":
            assert all(places[other] < places[module] for other in others if other in places)
            assert {room_of(other) for other in others} <= {""}, module
    assert {folder.name for folder in ROOT.iterdir() if (folder / "__init__.py").is_file()} == set(
        ROOMS
    )


def test_a_circle_would_be_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_a_public_class_has_a_name_of_its_own() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for module, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_test_files_have_names_of_their_own() -> None:
    """Their folders are no packages: pytest refuses two files of one name."""
    names = [file.name for file in Path(__file__).parent.rglob("test_*.py")]
    assert sorted({name for name in names if names.count(name) > 1}) == []
