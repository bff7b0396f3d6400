"""The fenced blocks of the manual's pages, and how they run: in order, in one folder, as a reader
would run them.

What a block is for stands in a comment before it, which no reader sees:

=========================  ======================================================================
``<!-- run -->``           a shell or Python block that has to end well
``<!-- prints -->``        every word of the block is in what the block before it printed; names
                           of paths and figures differ from machine to machine
``<!-- file -->``          the block is a file, whose name its first line has: ``# NAME``
``<!-- add to: NAME -->``  the block's YAML is put into this one's, key by key, which has to load
``<!-- not run: WHY -->``  nothing of the kind
=========================  ======================================================================

A page may begin with ``<!-- slow: WHY -->``, which leaves it to ``make docs-slow``, and with
``<!-- begins after: PAGE -->``: its folder then is a copy of what that page left.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tipsc.project.config import load_config

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(
    r"(?:<!-- (?P<what>run|prints|file|add to|not run)(?:: (?P<value>.+?))? -->\n+)?"
    r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_HEAD = re.compile(r"^<!-- (slow|begins after): (.+?) -->$", re.MULTILINE)
_WORD = re.compile(r"(?<![\w.-])[A-Za-z][a-z-]{2,}(?![\w.])")
SECONDS = 1800  # of one block


@dataclass(frozen=True)
class Block:
    """One fenced block of a page, and what it is for (None: nothing says so)."""

    what: str | None
    value: str
    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Manual:
    """One page: its blocks, and where it begins."""

    file: Path
    slow: str | None
    begins_after: Path | None
    blocks: tuple[Block, ...]


def read_page(file: Path) -> Manual:
    """The blocks of a page, in order."""
    text = file.read_text(encoding="utf-8")
    head = dict(_HEAD.findall(text))
    after = head.get("begins after")
    blocks = []
    for found in _BLOCK.finditer(text):
        indent = found["indent"]
        lines = (line.removeprefix(indent) for line in found["text"].splitlines(keepends=True))
        line = text.count("\n", 0, found.start("language")) + 1
        blocks.append(
            Block(found["what"], found["value"] or "", found["language"], "".join(lines), line)
        )
    return Manual(file, head.get("slow"), (file.parent / after) if after else None, tuple(blocks))


def run_page(page: Manual, folder: Path) -> None:
    """Runs a page's blocks in `folder`, each where the one before it ended."""
    here, printed = folder, ""
    environment = _environment(folder)
    for block in page.blocks:
        where = f"{page.file.relative_to(ROOT)}:{block.line}"
        if block.what == "file":
            file = here / block.text.splitlines()[0].removeprefix("# ")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.what == "add to":
            _add(here / block.value, block.text)
        elif block.what == "run":
            printed, here = _run(block, here, folder, environment, where)
        elif block.what == "prints":
            missing = words(block.text) - words(printed)
            assert not missing, f"{where}: {sorted(missing)} not in what was printed:\n{printed}"


def words(text: str) -> set[str]:
    """Words of a text that stand alone: no names of files, paths or options."""
    return set(_WORD.findall(text))


def _run(
    block: Block, here: Path, folder: Path, environment: dict[str, str], where: str
) -> tuple[str, Path]:
    at = folder / ".snippets" / "at"
    if block.language == "python":
        command = [sys.executable, "-"]
        code = block.text
    else:
        command = ["bash", "-euo", "pipefail", "-s"]
        code = f"{block.text}\npwd > '{at}'\n"
    at.write_text(str(here))
    done = subprocess.run(
        command,
        input=code,
        cwd=here,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{where} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout, Path(at.read_text().strip())


def _environment(folder: Path) -> dict[str, str]:
    """Commands of the manual are those of this Python and of this tipsc."""
    binaries = folder / ".snippets"
    binaries.mkdir(exist_ok=True)
    for name, arguments in {"python": "", "tipsc": "-m tipsc"}.items():
        script = binaries / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        script.chmod(0o755)
    return {
        **os.environ,
        "TIPSC": str(ROOT),
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
        "XDG_CACHE_HOME": str(binaries / "cache"),
    }


def _add(file: Path, fragment: str) -> None:
    whole = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump(_merged(whole, yaml.safe_load(fragment)), sort_keys=False))
    load_config(file)


def _merged(into: object, more: object) -> object:
    if not (isinstance(into, dict) and isinstance(more, dict)):
        return more
    return {**into, **{key: _merged(into.get(key), value) for key, value in more.items()}}
