"""Names that would move a terminal, printed by every verb that shows what an engine holds."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import tipsc.cli
from tipsc.cli import terminal
from tipsc.cli.output import _print_whole
from tipsc.cli.progress import BarReporter, LineByDevice
from tipsc.cli.terminal import console
from tipsc.engine import read_engine
from tipsc.engine.write import write_engine
from tipsc.errors import EngineError
from tipsc.printable import printable
from tipsc.report.tables import plain_table

EVIL = "\x1b[2J\x1b]0;owned\x07\x9b31m[red]:bomb:\u202e\rok"


@pytest.fixture(scope="module")
def hostile_engine(built_engine, tmp_path_factory):
    """Whole and sound, but for what its author called things."""
    found = read_engine(built_engine)
    m = found.manifest
    manifest = replace(
        m,
        name=f"net{EVIL}",
        target=f"host{EVIL}",
        provenance={f"who{EVIL}": f"me{EVIL}"},
    )
    file = tmp_path_factory.mktemp("hostile") / f"a{EVIL.replace('/', '')}.tipsc"
    graphs = {path.id: found.graph(path.id) for path in m.paths}
    write_engine(file, manifest, bytes(found.weights), graphs)
    return file


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect",),
        ("run", "--random", 0),
        ("bench", "--rounds", 4),
        ("run", "--random", 0, "--path", EVIL),
    ],
    ids=["inspect", "run", "bench", "failure"],
)
def test_nothing_of_an_engine_is_obeyed(tipsc, hostile_engine, arguments):
    verb, *options = arguments
    done = tipsc(verb, hostile_engine, *options)
    assert printable(done.stdout) == done.stdout and printable(done.stderr) == done.stderr
    assert done.stdout or "\\x1b[2J" in done.stderr


def test_names_are_shown_as_they_are(tipsc, hostile_engine):
    shown = tipsc("inspect", hostile_engine).stdout
    assert "net\\x1b[2J" in shown and "[red]:bomb:" in shown


def test_json_is_exact_and_safe(tipsc, hostile_engine):
    text = tipsc("inspect", hostile_engine, "--format", "json").stdout
    assert printable(text) == text
    document = json.loads(text)
    assert document["name"] == f"net{EVIL}" and document["engine"] == str(hostile_engine)


def test_an_error_of_foreign_lines_is_one_line(capsys):
    from tipsc.cli.failures import report_failure

    report_failure(EngineError(f"no\nerror: all is well{EVIL}"), ["run", "--debug"])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: no error: all is well\\x1b")
    try:
        raise RuntimeError(EVIL)
    except RuntimeError as error:
        report_failure(error, ["run", "--debug"])
    said = capsys.readouterr().err
    assert printable(said) == said and "Traceback" in said


def test_tables_and_bars_obey_nothing_and_read_no_markup():
    from rich.table import Table
    from rich.text import Text

    made = terminal.console(width=200)
    made.file = io.StringIO()
    table = Table(f"head{EVIL}")
    table.add_row(f"cell{EVIL}")
    table.add_row(Text(f"text{EVIL}"))
    made.print(table)
    said = made.file.getvalue()
    assert printable(said) == said
    for start in ("head", "cell", "text"):
        assert f"{start}\\x1b[2J" in said
    assert said.count("[red]:bomb:") == 3


def test_progress_obeys_nothing():
    made = terminal.console(width=200)
    made.file = io.StringIO()
    reporter = BarReporter(made)
    with reporter:
        reporter.begin(f"stage{EVIL}")(1, 2, f"note{EVIL}")
        reporter.end(f"stage{EVIL}", 1.0, cached=False)
    with LineByDevice(made, [f"pi{EVIL}"], quiet=False) as lines:
        lines.of(f"pi{EVIL}").begin(f"work{EVIL}")(1, 2, "")
    said = made.file.getvalue()
    assert "stage\\x1b[2J" in said and "[red]" in said
    assert "\x1b]0" not in said and "\x9b" not in said and "\u202e" not in said


def test_the_command_writes_in_one_module_alone():
    sign = re.compile(r"\bprint\(|\.echo\(|\.secho\(|\bConsole\(|sys\.std(out|err)\.write")
    folder = Path(tipsc.cli.__file__).parent
    writers = {f.name for f in folder.glob("*.py") if sign.search(f.read_text())}
    drawn = {"output.py", "progress.py", "kept.py"}  # print by what terminal.py makes
    assert writers - {"terminal.py"} <= drawn
    for name in drawn:
        rest = re.sub(r"(self\._?(console|stdout)|drawn)\.print\(", "", (folder / name).read_text())
        assert not sign.search(rest), name


def test_a_terminal_without_the_letters_gets_escapes(tipsc, built_engine):
    done = tipsc("inspect", built_engine, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_figure_is_cut_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [("0.5x", "7e8d1d9e", "98.76", "12.345", "23.456", "1.23 M", "4.56 G", "7.89 MB")]
    table = plain_table()
    for heading in ("path", "id", "acc %", "p50 ms", "p95 ms", "parameters", "MACs", "shared"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    _print_whole(console(), table)
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert all(cell in printed for row in rows for cell in row)
    widest = max(len(line.rstrip()) for line in printed.splitlines())
    assert widest <= max(columns, 80)
