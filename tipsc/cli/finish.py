"""tipsc finish: an unbuilt engine, completed on the device that it is for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tipsc.cli.engines import path_document, paths_table
from tipsc.cli.options import OUTPUT_FILE, engine_argument, wait_quiet_option
from tipsc.cli.output import Output, verb, wrapped
from tipsc.report.format import byte_size
from tipsc.report.notes import called, noise_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tipsc.backends.finishing import PlanTrial
    from tipsc.pipeline.finish import Finished


@verb
@engine_argument
@click.option(
    "--device",
    required=True,
    metavar="URL",
    help="Where to finish it: ssh://[user@]host[:port], adb://serial, or local on the device.",
)
@click.option(
    "--output",
    "output_file",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Where the finished engine goes; by default it replaces ENGINE.",
)
@click.option("--no-run", is_flag=True, help="Build the plans, but run and measure nothing.")
@click.option("--strip", is_flag=True, help="Leave the weights out of the plans, where possible.")
@wait_quiet_option
def command(
    output: Output,
    engine: Path,
    device: str,
    output_file: Path | None,
    no_run: bool,
    strip: bool,
    wait_quiet_s: float | None,
) -> None:
    """Build the plans of ENGINE on the device, compare them with ONNX Runtime, and measure them.

    The engine is replaced when all is done, and not before. It then runs on that kind of device;
    its portable graphs stay in it, so that it can be finished again after an update there.
    """
    from tipsc.device.client import connect
    from tipsc.pipeline.finish import finish

    with connect(device) as connection, output.reporter() as reporter:
        done = finish(
            engine,
            connection,
            output=output_file,
            run=not no_run,
            strip=strip,
            wait_quiet_s=wait_quiet_s,
            reporter=reporter,
        )
    output.result(finish_document(done), paths_table(done.manifest), *finish_lines(done))


def finish_document(done: Finished) -> dict[str, object]:
    """What was finished, as ``--format json`` gives it."""
    return {
        "engine": str(done.engine),
        "name": done.manifest.name,
        "built": dict(done.manifest.built),
        "plans": [vars(check) for check in done.checks],
        "shared_plans": [vars(trial) for trial in done.trials],
        "differences": dict(done.differences),
        "noise": done.manifest.noise,
        "remarks": list(done.remarks),
        "estimated_ms": done.manifest.estimated_ms,
        "paths": [path_document(path, done.manifest.names) for path in done.manifest.paths],
    }


def finish_lines(done: Finished) -> list[str]:
    """The same for people."""
    built = done.manifest.built
    lines = [
        f"engine   {done.engine}",
        f"state    {built['state']}, by {built['module']} {built['version']} on {built['device']}",
        f"plans    {built['plans']}, {sum(check.seconds for check in done.checks):.1f} s",
    ]
    if done.differences:
        lines.append(f"against ONNX Runtime: at most {max(done.differences.values()):.2g}")
    names = done.manifest.names
    for trial in done.trials:
        paths = ", ".join(called(path, names) for path in trial.paths)
        lines.append(f"depths   {paths}: {_verdict(trial, names)}")
    lines += wrapped(_estimates(done))
    if done.measurement is not None:
        lines += wrapped(noise_lines(done.manifest.noise, done.measurement.disturbance))
    return [*lines, *(f"remark   {remark}" for remark in done.remarks)]


def _estimates(done: Finished) -> list[str]:
    """What the paths were chosen by, beside what they take here."""
    estimated = done.manifest.estimated_ms
    names = done.manifest.names
    pairs = [
        f"{called(path.id, names)} {path.latency.p50_ms / estimated[path.id]:.3g}"
        for path in done.manifest.paths
        if path.latency is not None and path.id in estimated
    ]
    return [f"estimate measured over estimated: {', '.join(pairs)}"] if pairs else []


def _verdict(trial: PlanTrial, names: Mapping[str, str]) -> str:
    if trial.problem:
        return f"a plan each, because of: {trial.problem}"
    if not trial.slowdowns:
        return "a plan each: one for all is no smaller"
    path, worst = max(trial.slowdowns.items(), key=lambda item: item[1])
    found = f"{called(path, names)} takes {worst:.2f} of its own plan's time"
    if trial.noise:
        found += f" (doubtful: {trial.noise})"
    if not trial.kept:
        return f"a plan each: in one for all {found}"
    return (
        f"one plan, {byte_size(trial.plan_bytes)} instead of {byte_size(trial.alone_bytes)}; "
        f"{found}, the others less"
    )
