"""What errors advise is true: verbs, options, keys and extras that they name are there."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import pytest

import tipsc
from tipsc.cli.app import VERBS, LazyGroup
from tipsc.cli.app import tipsc as group
from tipsc.extras import PACKAGES, _requirements, how_to_install, package_of, pip_install
from tipsc.project.config import Config

ROOT = Path(tipsc.__file__).resolve().parent
CLONE = ROOT.parent
VERB = re.compile(r"(?<![\w.-])tipsc ([a-z]+)([^;`']*)")
#: text that is advice, though no error has it as its fix
COMMAND = re.compile(r"(?:run:? |with |again |[`'(])tipsc ([a-z]+)([^;`]*)")
QUOTED = re.compile(r"[`']tipsc ([a-z]+)([^`']*)[`']")
PROSE = {"again", "builds", "made", "runs", "that"}  # what follows tipsc's name there
PIP = re.compile(r"pip install ([^;]+)")
APT = re.compile(r"apt-get install (?:-\S+ )*([a-z0-9 .+-]+)")
#: packages of Debian, Ubuntu and NVIDIA's Jetson that advice may name
OF_SYSTEMS = {
    "adb", "openssh-client", "python3-libnvinfer",
    "libnvinfer-dev", "libnvonnxparsers-dev", "cuda-cudart-dev-12-6",
}  # fmt: skip
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
#: neither from a file nor from an address
FROM_AN_INDEX = re.compile(r"pip install ['\"]?tipsc(?![-/]|\S* @ )")
OTHERS = {"--user", "--force-reinstall"}  # options of other programs


def text_of(node: ast.AST) -> str:
    """All text in an expression; what is computed is a dot."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.FormattedValue):
        return "."
    return "".join(text_of(child) for child in ast.iter_child_nodes(node))


def advice() -> Iterator[tuple[str, str]]:
    """Every ``fix=``, every variable of that name, and all text that says to run a command."""
    for file in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(file.read_text())
        prose = {  # and parts of a text, which are looked at as a whole
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        prose |= {
            id(part)
            for node in ast.walk(tree)
            if isinstance(node, ast.JoinedStr)
            for part in ast.walk(node)
            if part is not node
        }
        for node in ast.walk(tree):
            where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.keyword) and node.arg == "fix":
                yield f"{file.relative_to(ROOT)}:{node.value.lineno}", text_of(node.value)
            elif isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in prose:
                text = text_of(node)
                commands = [COMMAND.search(text), PIP.search(text), APT.search(text)]
                if any(commands) and "``" not in text and "\n" not in text.strip():
                    yield where, text
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("fix", "hint"):
                yield where, text_of(node.value)


ADVICE = sorted(set(advice()))


@cache
def command_of(verb: str) -> click.Command:
    assert isinstance(group, LazyGroup)
    command = group.get_command(click.Context(group), verb)
    assert command is not None
    return command


@cache
def options_of(verb: str) -> set[str]:
    command = command_of(verb)
    return {word for param in command.params for word in (*param.opts, *param.secondary_opts)}


def first_words(verb: str) -> set[str]:
    """What may stand after a verb that does several things; nothing for others."""
    for param in command_of(verb).params:
        if isinstance(param, click.Argument):
            return set(param.type.choices) if isinstance(param.type, click.Choice) else set()
    return set()


def parse(verb: str, words: list[str]) -> None:
    """Has a verb read these words; what is computed or a placeholder is a word like another.

    Raises:
        click.UsageError: it has no such option, or takes fewer words.
    """
    command = command_of(verb)
    _, left, _ = command.make_parser(click.Context(command, info_name=verb)).parse_args(words)
    if left:
        raise click.UsageError(f"{verb} takes no {left}")


def extras() -> set[str]:
    table = (CLONE / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    return set(re.findall(r"^([a-z-]+) = \[", table.partition("\n[")[0], re.MULTILINE))


def test_there_is_advice_to_look_at() -> None:
    assert len(ADVICE) > 150
    assert sum(bool(VERB.search(text)) for _, text in ADVICE) > 10


@pytest.mark.parametrize(("where", "text"), ADVICE, ids=[where for where, _ in ADVICE])
def test_what_is_advised_exists(where: str, text: str) -> None:
    every = set().union(*map(options_of, VERBS)) | OTHERS
    for verb, rest in VERB.findall(text):
        if verb in PROSE:
            continue
        assert verb in VERBS, f"{where}: no verb {verb}"
        if (choices := first_words(verb)) and rest.strip():
            assert rest.split()[0] in choices, f"{where}: {verb} {rest}"
        assert set(OPTION.findall(rest)) <= options_of(verb), f"{where}: {verb} {rest}"
    for verb, rest in QUOTED.findall(text):
        parse(verb, rest.split())
    for packages in PIP.findall(text):
        named = [word.strip("'\"") for word in packages.split() if not word.startswith("-")]
        known = {package for package, _ in PACKAGES} | {".", ".==."}  # those that are computed
        assert set(named) <= known or "$TIPSC" in named, f"{where}: {text}"
    for packages in APT.findall(text):
        assert set(packages.split()) <= OF_SYSTEMS, f"{where}: {text}"
    assert set(OPTION.findall(text)) <= every, f"{where}: {text}"
    for section, key in re.findall(r"\b(train|build|convert|model|data)\.([a-z_]+)\b(?!\()", text):
        annotation: Any = Config.model_fields[section].annotation
        model = next((a for a in getattr(annotation, "__args__", ()) if a), annotation)
        assert key in model.model_fields or key == "py", f"{where}: {section}.{key}"


@pytest.mark.parametrize(
    "advice",
    [
        "`tipsc nothing FILE` would",
        "run tipsc built first",
        "`tipsc build CONFIG --no-such-option`",
        "`tipsc build CONFIG ANOTHER`",
        "free space (tipsc device cleanse URL)",
        "run: pip install no-such-package",
        "run: apt-get install no-such-package",
        "raise build.no_such_key",
    ],
)
def test_advice_that_is_wrong_is_noticed(advice: str) -> None:
    with pytest.raises((AssertionError, click.UsageError, KeyError)):
        test_what_is_advised_exists("here", advice)


def test_extras_that_are_named_exist() -> None:
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name, place = ast.unparse(node.func), None
            if name.endswith("how_to_install"):
                place = 0
            elif name.endswith("MissingExtraError.of") and len(node.args) > 1:
                place = 1
            if place is not None and isinstance(node.args[place], ast.Constant):
                assert node.args[place].value in (None, *extras()), f"{file}: {ast.unparse(node)}"
    assert {extra for _, extra in PACKAGES if extra} <= extras()


def test_the_manual_names_all_extras() -> None:
    page = (CLONE / "docs" / "how-to" / "install.md").read_text()
    parts = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
    assert parts == extras() - {"dev", "docs"}  # those two are for a clone


@pytest.mark.parametrize("folder", ["tipsc", "docs", "README.md", "embed"])
def test_nothing_says_to_install_tipsc_from_an_index(folder: str) -> None:
    place = CLONE / folder
    files = [place] if place.is_file() else [f for f in place.rglob("*") if f.is_file()]
    for file in files:
        if file.suffix in (".py", ".md", ".txt", ".yaml"):
            assert not FROM_AN_INDEX.search(_without_quotes_of_it(file)), file


def test_where_tipsc_comes_from_is_told_apart() -> None:
    assert FROM_AN_INDEX.search("pip install 'tipsc[train]'")
    assert not FROM_AN_INDEX.search("pip install 'tipsc[train] @ git+https://address'")
    assert not FROM_AN_INDEX.search("pip install tipsc-0.1.0-py3-none-any.whl")


def _without_quotes_of_it(file: Path) -> str:
    return file.read_text().replace("``pip install tipsc`` finds nothing", "")


def test_a_clone_installs_its_own_extras() -> None:
    for extra in extras():
        assert how_to_install(extra).endswith(f"pip install -e '.[{extra}]'")
    assert how_to_install(None).endswith("pip install -e '.'")


def test_without_a_clone_the_requirements_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tipsc.extras.in_a_clone", lambda: False)
    assert "'torch<2.14,>=2.13'" in how_to_install("train").replace(">=2.13,<2.14", "<2.14,>=2.13")
    both = _requirements("litert-build")  # names two extras of tipsc's own
    assert any(r.startswith("ai-edge-litert") for r in both)
    assert any(r.startswith("torch") for r in both) and not any("extra" in r for r in both)
    from packaging.requirements import Requirement

    for extra in (*extras(), None):
        for requirement in _requirements(extra):
            Requirement(requirement)  # what pip would read
            assert "'" not in requirement, pip_install([requirement])


def test_modules_are_known_by_the_package_that_brings_them() -> None:
    assert package_of("torch.nn") == ("torch", "train")
    assert package_of("ai_edge_litert.interpreter") == ("ai-edge-litert", "litert")
    assert package_of("yaml") == ("PyYAML", None)
    assert package_of("timm") is None
    assert "timm" not in sys.modules
