"""A small complete project around an engine, in the language of the application.

A language is a folder of templates and a line in :data:`LANGUAGES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from tipsc.embed.facts import CHANGES, ENGINE, facts_of
from tipsc.embed.places import settings_of
from tipsc.engine import read_engine
from tipsc.engine.atomic import write_atomically
from tipsc.engine.signed import signature_file
from tipsc.errors import UsageError, near

__all__ = ["LANGUAGES", "Language", "NewProject", "write_project"]


@dataclass(frozen=True)
class Language:
    """What is written for one.

    Attributes:
        files: to write, and the templates that they are from.
        run: commands that build and run the project, in its folder; in capitals, what is somewhere
            else (:mod:`tipsc.embed.places`).
    """

    files: Mapping[str, str]
    run: tuple[str, ...]


@dataclass(frozen=True)
class NewProject:
    """What was written.

    Attributes:
        files: all of them.
        run: commands that build and run it, in its folder; at first what is somewhere else.
    """

    files: tuple[Path, ...]
    run: tuple[str, ...]


_WITH_CMAKE = (
    "cmake -S $TIPSC/embed -B libtipsc && cmake --build libtipsc",
    "cmake --install libtipsc --prefix libtipsc/installed",
    "cmake -B build -DCMAKE_PREFIX_PATH=$PWD/libtipsc/installed",
    "cmake --build build",
    "build/app --seconds 5 --runtime $RUNTIME",
)
LANGUAGES: Mapping[str, Language] = {
    "python": Language(
        {
            "main.py": "python/main.py.txt",
            "requirements.txt": "python/requirements.txt",
            "README.md": "python/README.md.txt",
        },
        (
            "python3 -m venv .venv",
            ".venv/bin/pip install $TIPSC -r requirements.txt",
            ".venv/bin/python main.py --seconds 5",
        ),
    ),
    "c": Language(
        {
            "main.c": "c/main.c.txt",
            "CMakeLists.txt": "c/CMakeLists.txt",
            "README.md": "c/README.md.txt",
        },
        _WITH_CMAKE,
    ),
    "cpp": Language(
        {
            "main.cpp": "cpp/main.cpp.txt",
            "CMakeLists.txt": "cpp/CMakeLists.txt",
            "README.md": "cpp/README.md.txt",
        },
        _WITH_CMAKE,
    ),
    "kotlin": Language(
        {
            "main.kt": "kotlin/main.kt.txt",
            "README.md": "kotlin/README.md.txt",
        },
        (
            "cmake -S $TIPSC/embed -B libtipsc -DTIPSC_JNI=ON -DTIPSC_SHARED=OFF",
            "cmake --build libtipsc",
            "$KOTLIN/bin/kotlinc $TIPSC/embed/kotlin/src main.kt -d app.jar",
            "java -Djava.library.path=libtipsc/kotlin -cp app.jar:$KOTLIN/lib/kotlin-stdlib.jar "
            "MainKt --seconds 5 --runtime $RUNTIME",
        ),
    ),
}


def write_project(engine: Path, language: str, folder: Path) -> NewProject:
    """Writes a project around a copy of an engine, and its signatures if there are any.

    Args:
        language: of :data:`LANGUAGES`.
        folder: made if it is missing; nothing in it is overwritten.

    Raises:
        UsageError: there is no such language, or a file of the project is there already, or no
            path of the engine has a latency.
        EngineError: the engine cannot be used.
    """
    if language not in LANGUAGES:
        raise UsageError(f"no project is written in {language!r}", fix=near(language, LANGUAGES))
    wanted = LANGUAGES[language]
    manifest = read_engine(engine).manifest
    commands = [_changed(command, manifest.backend) for command in wanted.run]
    run = (*settings_of(commands, manifest.backend), *commands)
    facts = {**facts_of(manifest), "run": "\n".join(run)}
    templates = resources.files("tipsc.embed") / "templates"
    contents = {
        folder / name: Template((templates / source).read_text()).substitute(facts)
        for name, source in wanted.files.items()
    }
    copies = {folder / ENGINE: engine}
    if signature_file(engine).is_file():
        copies[signature_file(folder / ENGINE)] = signature_file(engine)
    present = [str(file) for file in (*contents, *copies) if file.exists()]
    if present:
        raise UsageError(
            "there is one already", where=", ".join(present), fix="name another folder by -o"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in contents.items():
            write_atomically(file, [text.encode()])
        for file, source in copies.items():
            with source.open("rb") as stream:
                write_atomically(file, iter(lambda: stream.read(1 << 20), b""))
    except OSError as error:
        raise UsageError(f"cannot write: {error.strerror}", where=str(folder)) from error
    return NewProject((*contents, *copies), run)


def _changed(command: str, backend: str) -> str:
    for old, new in CHANGES.get(backend, ()):
        command = command.replace(old, new)
    return command
