"""tipsc build where nothing has changed: what was said is said again, and torch stays unloaded."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tipsc.cli.output import Output
from tipsc.cli.terminal import PIPE_WIDTH
from tipsc.pipeline.unchanged import KeptBuild, Watch, keep_build, kept_build

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tipsc.pipeline.build import Pipeline


@dataclass(frozen=True)
class Request:
    """A build that is asked for.

    Attributes:
        folder: of the configuration.
        asked: all that decides what the build does.
    """

    folder: Path
    asked: dict[str, str | None]

    @classmethod
    def of(cls, config: Path, target: str, output: Path | None, report: Path | None) -> Request:
        """Files count by where they are."""
        whole = config.resolve()
        is_file = target.endswith((".yaml", ".yml"))
        asked = {
            "config": str(whole),
            "target": str(Path(target).resolve()) if is_file else target,
            "output": None if output is None else str(output.resolve()),
            "report": None if report is None else str(report.resolve()),
        }
        return cls(whole if whole.is_dir() else whole.parent, asked)


def said_again(output: Output, request: Request) -> bool:
    """Says what such a build said, if it would do nothing now."""
    kept = kept_build(request.folder, request.asked)
    if kept is None:
        return False
    for note in kept.notes:
        output.note(note)
    with output.reporter() as reporter:
        for name, seconds in kept.stages.items():
            reporter.begin(name)
            reporter.end(name, seconds, cached=True)
    output.result(kept.document, *kept.lines)
    return True


def keep(
    request: Request,
    watch: Watch,
    pipeline: Pipeline,
    document: dict[str, Any],
    parts: Sequence[RenderableType],
    notes: Sequence[str],
    made: Sequence[Path],
) -> None:
    """Keeps what a build said, for the next one; all of its stages will be from the cache then."""
    if pipeline.target.measure.wait_quiet_s:  # what was measured among other work is measured again
        return
    stages = list(pipeline.stages.done)
    known = [{**stage, "cached": True} for stage in document["stages"]]
    said = KeptBuild(
        {**document, "stages": known},
        tuple(_lines(parts)),
        tuple(notes),
        {stage.name: stage.seconds for stage in stages},
        tuple(str(stage.folder) for stage in stages),
    )
    keep_build(request.folder, request.asked, watch, made, said)


def _lines(parts: Sequence[RenderableType]) -> list[str]:
    """Parts as plain text."""
    from tipsc.cli.terminal import console

    lines = []
    for part in parts:
        if isinstance(part, str):
            lines.append(part)
            continue
        drawn = console(width=PIPE_WIDTH)
        drawn.file = io.StringIO()
        drawn.print(part)
        lines.append(drawn.file.getvalue().rstrip("\n"))
    return lines
