"""tipsc build: from a configuration to a verified engine, or to one for each of several targets."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import click

from tipsc.cli.kept import Request, keep, said_again
from tipsc.cli.options import (
    ANY_PATH,
    OUTPUT_FILE,
    config_argument,
    connected,
    devices_option,
    targets_option,
    wait_quiet_option,
)
from tipsc.cli.output import Output, verb, wrapped
from tipsc.errors import UsageError
from tipsc.pipeline.unchanged import Watch

_T = TypeVar("_T")


@verb
@config_argument
@targets_option
@devices_option
@click.option(
    "--output", "output_file", type=OUTPUT_FILE, metavar="FILE", help="Where the engine goes."
)
@click.option(
    "--report",
    "report_file",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Write the report here as well.",
)
@click.option(
    "--profile",
    "profile_files",
    type=ANY_PATH,
    multiple=True,
    metavar="FILE",
    help="Without the device: choose paths by this profile of it, rather than by estimates.",
)
@click.option(
    "--like",
    "like_file",
    type=ANY_PATH,
    metavar="OLD",
    help="An engine whose paths and layout are kept, so that a delta from it is small.",
)
@click.option(
    "--only",
    "parts",
    type=click.Choice(["head", "biases"]),
    multiple=True,
    help="Train this again from the weights of --like, and leave all else as it is; repeatable.",
)
@wait_quiet_option
@click.option(
    "--look",
    is_flag=True,
    help="Look at model and data themselves, though no file of theirs has changed.",
)
def command(
    output: Output,
    config: Path,
    targets: tuple[str, ...],
    devices: tuple[str, ...],
    output_file: Path | None,
    report_file: Path | None,
    profile_files: tuple[Path, ...],
    like_file: Path | None,
    parts: tuple[str, ...],
    wait_quiet_s: float | None,
    look: bool,
) -> None:
    """Measure, choose, train, compile and verify: everything that is missing for CONFIG.

    Each stage is kept. A build that was stopped, even by kill -9, goes on when it is started
    again; a build for another target trains only its own paths again, if any.

    With --target given several times, paths are measured and chosen for each target, those of all
    are trained once, and each target gets its engine.

    For a target whose engines are compiled on the device (jetson), the engine is left unbuilt:
    portable graphs, weights and a recipe, and no latency is claimed. With --device it is
    finished there.

    With --like the paths of the engine OLD ship again, and others beside them if CONFIG asks for
    more.
    """
    given = {
        "devices": list(devices),
        "profiles": [str(file.resolve()) for file in profile_files],
        "like": None if like_file is None else str(like_file.resolve()),
        "wait quiet": wait_quiet_s is not None,
    }
    request = Request.of(config, targets, output_file, report_file, given)
    if not look and said_again(output, request):
        return
    watch = Watch()
    if parts and like_file is None:
        raise UsageError("--only trains parts of an engine again", fix="say which one by --like")
    if len(targets) > 1:
        from tipsc.cli.build_together import build_together

        of_one = {"--output": output_file, "--report": report_file, "--like": like_file}
        for option, value in of_one.items():
            if value is not None:
                raise UsageError(
                    f"{option} is for one target, and there are {len(targets)}",
                    where=str(value),
                    fix="leave it out: each target has its engine and its page beside CONFIG, "
                    "called NAME-TARGET",
                )
        build_together(
            output, config, targets, devices, profile_files, wait_quiet_s, request, watch
        )
        return
    (target,) = targets
    device = _only(devices, "--device")
    _check(target, device, report_file, parts, wait_quiet_s)
    from tipsc.cli.building import doubts_of, forecast_of
    from tipsc.device.measuring import Remote
    from tipsc.pipeline.build import Pipeline
    from tipsc.pipeline.like import Like

    like = None if like_file is None else Like.read(like_file, parts)
    with connected(device) as there, output.reporter() as reporter:
        pipeline = Pipeline(
            config,
            target,
            reporter=reporter,
            output=output_file,
            device=None if device is None else there,
            wait_quiet_s=wait_quiet_s,
            profile_file=_only(profile_files, "--profile"),
            like=like,
        )
        if parts:
            from tipsc.cli.updating import show_update

            assert like is not None
            show_update(output, pipeline, pipeline.update(), like)
            keep(request, watch, [pipeline], {}, [], [], [])
            return
        from tipsc.cli.built import shown, shown_finished, shown_unbuilt

        unbuilt = pipeline.plan.unbuilt  # what cannot be done here is said first
        doubts = doubts_of(output, pipeline)
        remarks = [*doubts, *pipeline.plan.remarks]
        forecast = {} if isinstance(there, Remote) else forecast_of(output, [pipeline])
        build = pipeline.run()
        if not unbuilt:
            document, lines = shown(build, remarks, forecast, report_file)
        elif isinstance(there, Remote):
            document, lines = shown_finished(build, there.connection, reporter, wait_quiet_s)
        else:
            document, lines = shown_unbuilt(build, remarks, forecast)
    output.result(document, *lines)
    notes = wrapped(f"note: {doubt}" for doubt in doubts)
    made = [Path(document[name]) for name in ("engine", "report", "profile") if name in document]
    keep(request, watch, [pipeline], document, lines, notes, made)


def _only(given: tuple[_T, ...], option: str) -> _T | None:
    """What an option says of a build for one target."""
    if len(given) > 1:
        raise UsageError(
            f"{option} is there {len(given)} times, and there is one target",
            expected=f"one {option}",
            got=", ".join(map(str, given)),
        )
    return given[0] if given else None


def _check(
    target: str,
    device: str | None,
    report_file: Path | None,
    parts: tuple[str, ...],
    wait_quiet_s: float | None,
) -> None:
    """Refuses what an engine that a device finishes, or that is trained again in part, has not."""
    from tipsc.backends import BACKENDS
    from tipsc.project.target import load_target

    if parts and report_file is not None:
        raise UsageError(
            "an engine of which parts are trained again has no report", fix="leave --report out"
        )
    found = BACKENDS.get(load_target(target).backend)
    if found is None or not found.finishes:
        return
    if report_file is not None:
        raise UsageError("an unbuilt engine has no report", fix="leave --report out")
    if parts:
        raise UsageError(
            "parts of an engine that a device finishes cannot be trained again by themselves",
            fix="leave --only out",
        )
    if wait_quiet_s is not None and device is None:
        raise UsageError(
            "nothing is measured without the device",
            fix="leave --wait-quiet out, or give --device",
        )
