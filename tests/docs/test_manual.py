"""The manual is true: its blocks run, and the commands that it names are there."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml
from snippets import DOCS, ROOT, Manual, read_page, run_page, words

from tipsc.cli.app import VERBS, LazyGroup
from tipsc.cli.app import tipsc as group
from tipsc.project.config import Config

#: pages all of whose blocks say what they are for
MARKED = [ROOT / "README.md", DOCS / "index.md"]
MARKED += sorted(file for part in ("tutorials", "how-to") for file in (DOCS / part).glob("*.md"))
#: and pages whose commands are looked at
EVERY = [
    *MARKED,
    *sorted(set(DOCS.rglob("*.md")) - set(MARKED)),
    *ROOT.glob("examples/*/README.md"),
]
PAGES = {file.relative_to(ROOT).as_posix(): file for file in EVERY}
RUN = {
    name: page
    for name, page in ((name, read_page(file)) for name, file in PAGES.items() if file in MARKED)
    if any(block.what == "run" for block in page.blocks)
}
COMMAND = re.compile(r"^(?:\$ )?tipsc +([a-z]+)(.*)$")
#: that a configuration cannot be without
LEAST = {"name": "a", "model": {"callable": "a.py:b"}, "data": {"callable": "a.py:b"}}
OPTION = re.compile(r"(?<!\S)--?[a-z][a-z-]*")

Ran = Callable[[Path], Path]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Runs a page once, and gives the folder that it left."""
    folders: dict[Path, Path] = {}

    def once(file: Path) -> Path:
        file = file.resolve()
        if file not in folders:
            page, folder = read_page(file), tmp_path_factory.mktemp(file.stem)
            if page.begins_after:
                shutil.copytree(once(page.begins_after), folder, dirs_exist_ok=True)
            run_page(page, folder)
            folders[file] = folder
        return folders[file]

    return once


@pytest.mark.parametrize("name", RUN)
def test_a_page_s_blocks_run(name: str, ran: Ran, request: pytest.FixtureRequest) -> None:
    page = RUN[name]
    if page.slow and not request.config.getoption("--slow"):
        pytest.skip(f"make docs-slow: {page.slow}")
    ran(page.file)


@pytest.mark.parametrize("file", MARKED, ids=lambda file: file.relative_to(ROOT).as_posix())
def test_every_block_says_what_it_is_for(file: Path) -> None:
    unmarked = [block.line for block in read_page(file).blocks if block.what is None]
    assert not unmarked, f"{file}: blocks at lines {unmarked}"


@pytest.mark.parametrize("name", PAGES)
def test_commands_that_are_shown_exist(name: str) -> None:
    for block in read_page(PAGES[name]).blocks:
        for line in block.text.replace("\\\n", " ").splitlines():
            if not (found := COMMAND.match(line)):
                continue
            verb, rest = found[1], found[2].partition(" #")[0]
            assert verb in VERBS, f"{name}:{block.line}: tipsc {verb}"
            unknown = set(OPTION.findall(rest)) - _options_of(verb)
            assert not unknown, f"{name}:{block.line}: tipsc {verb} {sorted(unknown)}"


@pytest.mark.parametrize("name", PAGES)
def test_python_that_is_shown_compiles_and_finds_what_it_imports(name: str) -> None:
    for block in read_page(PAGES[name]).blocks:
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text, f"{name}:{block.line}")):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("tipsc"):
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{name}:{block.line}: {alias.name}"


@pytest.mark.parametrize("name", PAGES)
def test_keys_that_are_shown_exist(name: str) -> None:
    for block in read_page(PAGES[name]).blocks:
        if block.language != "yaml" or block.text.startswith("# ") or block.what == "not run":
            continue
        shown = yaml.safe_load(block.text)
        Config.model_validate_json(json.dumps({**LEAST, **shown}))


def _options_of(verb: str) -> set[str]:
    assert isinstance(group, LazyGroup)
    command = group.get_command(click.Context(group), verb)
    assert command is not None
    several = [command, *getattr(command, "commands", {}).values()]
    return {
        word
        for one in several
        for param in one.params
        for word in (*param.opts, *param.secondary_opts)
    }


def test_there_are_pages_that_run() -> None:
    assert "docs/tutorials/ten-minutes.md" in RUN
    assert len(RUN) > 5


def test_a_block_that_fails_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended with 3"):
        run_page(_page(tmp_path, "<!-- run -->\n```sh\nexit 3\n```\n"), tmp_path)


def test_what_is_not_printed_is_noticed(tmp_path: Path) -> None:
    said = "<!-- run -->\n```sh\necho all is well\n```\n<!-- prints -->\n```text\nall is {}\n```\n"
    run_page(_page(tmp_path, said.format("well")), tmp_path)
    with pytest.raises(AssertionError, match="lost"):
        run_page(_page(tmp_path, said.format("lost")), tmp_path)


def test_blocks_go_on_in_the_folder_of_the_last(tmp_path: Path) -> None:
    text = "<!-- run -->\n```sh\nmkdir sub && cd sub\n```\n<!-- file -->\n```yaml\n# a.txt\n```\n"
    run_page(_page(tmp_path, text), tmp_path)
    assert (tmp_path / "sub" / "a.txt").read_text() == "# a.txt\n"


def test_words_are_those_that_do_not_change() -> None:
    assert words("path 7e8d1d9e `small` --quiet 1.5 ms a.tipsc met by 0.5x") == {
        "path",
        "small",
        "met",
    }


def _page(folder: Path, text: str) -> Manual:
    file = ROOT / "docs" / "made-up.md"  # never written: errors name pages by their place
    written = folder / "page.md"
    written.write_text(text)
    page = read_page(written)
    return Manual(file, page.slow, page.begins_after, page.blocks)
