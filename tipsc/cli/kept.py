"""tipsc build where nothing has changed: what was said is said again, and torch stays unloaded."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tipsc.cli.output import Output
from tipsc.cli.terminal import PIPE_WIDTH
from tipsc.pipeline.unchanged import KeptBuild, Watch, keep_build, keep_stages, kept_build

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tipsc.pipeline.build import Pipeline


@dataclass(frozen=True)
class Request:
    """A build that is asked for.

    Attributes:
        folder: of the configuration.
        asked: all that decides what the build does.
        here: it needs nothing but what lies on this machine and is watched, so that it can be
            told whether it would do anything.
    """

    folder: Path
    asked: dict[str, object]
    here: bool

    @classmethod
    def of(
        cls,
        config: Path,
        targets: Sequence[str],
        output: Path | None,
        report: Path | None,
        given: Mapping[str, object],
    ) -> Request:
        """Files count by where they are.

        Args:
            given: what else decides: devices, profiles, an engine; what is None or empty does not.
        """
        whole = config.resolve()
        others = {name: value for name, value in given.items() if value}
        asked: dict[str, object] = {
            "config": str(whole),
            "targets": sorted(map(_named, targets)),
            "output": None if output is None else str(output.resolve()),
            "report": None if report is None else str(report.resolve()),
            **others,
        }
        return cls(whole if whole.is_dir() else whole.parent, asked, not others)


def _named(target: str) -> str:
    return str(Path(target).resolve()) if target.endswith((".yaml", ".yml")) else target


def said_again(output: Output, request: Request) -> bool:
    """Says what such a build said, if it would do nothing now."""
    kept = kept_build(request.folder, request.asked) if request.here else None
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
    pipelines: Sequence[Pipeline],
    document: dict[str, Any],
    parts: Sequence[RenderableType],
    notes: Sequence[str],
    made: Sequence[Path],
) -> None:
    """Keeps what a build said, for the next one; all of its stages will be from the cache then.

    Of a build that has to look again, only which stages it used: :func:`tipsc clean` leaves these.
    """
    from tipsc.pipeline.together import called

    stages = {
        stage.name if len(pipelines) == 1 else called(stage.name, pipeline.target.name): stage
        for pipeline in pipelines
        for stage in pipeline.stages.done
    }
    targets = tuple(pipeline.target.name for pipeline in pipelines)
    folders = tuple(dict.fromkeys(str(stage.folder) for stage in stages.values()))
    # What was measured among other work is measured again; an unbuilt engine has no page to show.
    again = any(p.target.measure.wait_quiet_s or p.plan.unbuilt for p in pipelines)
    if again or not request.here:
        keep_stages(request.folder, request.asked, targets, folders)
        return
    said = KeptBuild(
        _from_cache(document),
        tuple(_lines(parts)),
        tuple(notes),
        {name: stage.seconds for name, stage in stages.items()},
        folders,
        targets,
    )
    keep_build(request.folder, request.asked, watch, made, said)


def _from_cache(document: dict[str, Any]) -> dict[str, Any]:
    """The same, as a build says it that finds all of its stages done."""
    changed = dict(document)
    if "stages" in document:
        changed["stages"] = [{**stage, "cached": True} for stage in document["stages"]]
    if "targets" in document:
        changed["targets"] = [_from_cache(one) for one in document["targets"]]
    return changed


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
