"""tipsc profile: what paths take on the target, and how well that is predicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tipsc.backends import BACKENDS
from tipsc.cli.options import config_argument, connected, target_option, wait_quiet_option
from tipsc.cli.output import Output, verb, wrapped
from tipsc.errors import UsageError
from tipsc.project.target import load_target
from tipsc.report.notes import noise_lines

if TYPE_CHECKING:
    from rich.table import Table

    from tipsc.pipeline.check import Check
    from tipsc.profile import Profile, Shares

_PROOF_OF_95 = 59  # the smallest n with 0.95^n < 0.05


@verb
@config_argument
@target_option
@click.option(
    "--device",
    "devices",
    metavar="URL",
    multiple=True,
    help="Where to measure: ssh://[user@]host[:port], adb://serial or local; by default here. "
    "Several are measured at once.",
)
@click.option(
    "--check",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Measure N random paths more and compare them with their prediction.",
)
@wait_quiet_option
def command(
    output: Output,
    config: Path,
    target: str,
    devices: tuple[str, ...],
    check: int | None,
    wait_quiet_s: float | None,
) -> None:
    """Measure paths of CONFIG on the target; weights do not matter, and nothing is trained.

    build.measured paths are measured; all others are predicted from them. Each of several devices
    has a profile of its own, called after it.
    """
    backend = BACKENDS.get(load_target(target).backend)
    if not devices and backend is not None and backend.finishes:
        raise UsageError(
            "paths for this target are compiled and measured on the device",
            fix="give --device ssh://[user@]host, or --device local on the device itself",
        )
    if len(devices) > 1:
        if check:
            raise UsageError("--check is for one device", fix="profile them one by one")
        _on_several(output, config, target, devices, wait_quiet_s)
        return
    device = devices[0] if devices else None
    from tipsc.cli.building import stage_document
    from tipsc.pipeline.build import Pipeline
    from tipsc.pipeline.check import load_check
    from tipsc.pipeline.profile import FILE as PROFILE
    from tipsc.pipeline.stages import only_one_build
    from tipsc.profile import Profile

    with connected(device) as there, output.reporter() as reporter:
        pipeline = Pipeline(
            config, target, reporter=reporter, device=there, wait_quiet_s=wait_quiet_s
        )
        with only_one_build(pipeline.runs):
            stage = pipeline.profile()
            checked = pipeline.check(check) if check else None
    profile = Profile.load(stage.folder / PROFILE)
    result = load_check(checked.folder) if checked else None
    file = pipeline.published
    output.result(
        {
            "profile": str(file),
            "target": profile.target,
            "noise_floor": profile.noise_floor.model_dump(mode="json"),
            "drift": profile.drift,
            "noise": profile.noise,
            "disturbance": asdict(profile.disturbance),
            "stages": [stage_document(done) for done in pipeline.stages.done],
            "paths": [
                {
                    "id": path.id,
                    "options": path.options,
                    "latency": path.latency.model_dump(mode="json"),
                }
                for path in profile.paths
            ],
            "forecast": profile.forecast.model_dump(mode="json") if profile.forecast else None,
            "check": result.model_dump(mode="json") if result else None,
        },
        _table(profile),
        f"repeating a measurement moves p10 by {profile.noise_floor.median:.1%}; "
        f"drift {profile.drift:+.1%}",
        *wrapped(noise_lines(profile.noise, profile.disturbance)),
        *_trust(profile, result),
        f"profile  {file}",
    )


def _on_several(
    output: Output,
    config: Path,
    target: str,
    urls: tuple[str, ...],
    wait_quiet_s: float | None,
) -> None:
    from tipsc.cli.progress import LineByDevice
    from tipsc.device.link import parse_link
    from tipsc.device.measuring import Device
    from tipsc.device.several import labels_of, on_each
    from tipsc.pipeline.build import Pipeline
    from tipsc.pipeline.profile import FILE as PROFILE
    from tipsc.pipeline.stages import only_one_build
    from tipsc.profile import Profile

    if len(set(urls)) < len(urls):
        raise UsageError("a device is named twice", got=", ".join(urls))
    for url in urls:
        parse_link(url)
    labels = labels_of(urls)
    found: dict[str, tuple[Path, Profile] | BaseException] = {}
    for url, answer in on_each(urls, lambda url, device: None).items():
        if isinstance(answer, BaseException):  # told before anything is measured
            found[url] = answer
            output.note(f"{labels[url]}: left out: {answer}")
    urls = tuple(url for url in urls if url not in found)
    if not urls:
        raise next(error for error in found.values() if isinstance(error, BaseException))
    with (
        only_one_build(Pipeline(config, target).runs),
        LineByDevice(output.stderr, list(labels.values()), quiet=output.quiet) as lines,
    ):

        def work(url: str, device: Device) -> tuple[Path, Profile]:
            label = labels[url]
            pipeline = Pipeline(
                config,
                target,
                reporter=lines.of(label),
                device=device,
                label=label,
                wait_quiet_s=wait_quiet_s,
            )
            return pipeline.published, Profile.load(pipeline.profile().folder / PROFILE)

        found |= on_each(urls, work)
    done = {url: result for url, result in found.items() if not isinstance(result, BaseException)}
    for url, (file, profile) in done.items():
        output.note(f"{labels[url]}: {len(profile.paths)} paths, {file}")
        for line in wrapped(noise_lines(profile.noise, profile.disturbance, labels[url])):
            output.note(line)
    failed = {url: error for url, error in found.items() if isinstance(error, BaseException)}
    output.result(
        {
            "profiles": [
                {
                    "device": url,
                    "profile": str(file),
                    "noise_floor": profile.noise_floor.model_dump(mode="json"),
                    "drift": profile.drift,
                    "noise": profile.noise,
                    "disturbance": asdict(profile.disturbance),
                    "paths": len(profile.paths),
                }
                for url, (file, profile) in done.items()
            ],
            "failed": [{"device": url, "error": str(error)} for url, error in failed.items()],
        },
        _devices_table({labels[url]: profile for url, (_, profile) in done.items()}),
    )
    for error in list(failed.values())[1:]:
        output.note(f"error: {error}")
    if failed:
        raise next(iter(failed.values()))


def _devices_table(profiles: Mapping[str, Profile]) -> Table:
    from tipsc.report.format import milliseconds
    from tipsc.report.tables import plain_table

    table = plain_table()
    table.add_column("device", no_wrap=True)
    for heading in ("paths", "fastest p50 ms", "slowest p50 ms", "noise %", "drift %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for label, profile in profiles.items():
        medians = [path.latency.p50_ms for path in profile.paths]
        table.add_row(
            label,
            str(len(medians)),
            *milliseconds([min(medians), max(medians)]),
            f"{100 * profile.noise_floor.median:.1f}",
            f"{100 * profile.drift:+.1f}",
        )
    return table


def _trust(profile: Profile, check: Check | None) -> list[str]:
    """How well unmeasured paths are predicted, always beside what bounds it from both sides."""
    lines = []
    if (forecast := profile.forecast) is not None:
        lines.append(
            f"predicted {len(forecast.paths)} more paths; each of the {len(profile.paths)} "
            f"measured from the others: {_shares(forecast.leave_one_out)} "
            f"(a constant: {_shares(forecast.constant)})"
        )
        lines += [
            f"path {path.id} did not fit and was measured again: "
            f"{path.before_ms:.3g} -> {path.after_ms:.3g} ms"
            for path in forecast.remeasured
        ]
    if check is not None:
        lines.append(
            f"check on {check.paths} random paths that were not fitted: {_shares(check.predicted)} "
            f"(a constant: {_shares(check.constant)}); repeating moves p10 by "
            f"{check.noise_floor.median:.1%}"
        )
        if check.noise:
            lines += wrapped([f"warning of the check: {check.noise}"])
        if check.paths < _PROOF_OF_95:
            lines.append(
                f"{check.paths} paths cannot show that 95 % fit: that takes {_PROOF_OF_95} "
                "without a miss"
            )
    return lines


def _shares(shares: Shares) -> str:
    return f"{shares.within_5_pct:.0%} within 5 %, {shares.within_10_pct:.0%} within 10 %"


def _table(profile: Profile) -> Table:
    from tipsc.report.format import milliseconds
    from tipsc.report.tables import plain_table

    table = plain_table()
    table.add_column("path", no_wrap=True)
    for heading in ("p10 ms", "p50 ms", "p95 ms", "cv %"):
        table.add_column(heading, justify="right", no_wrap=True)
    paths = sorted(profile.paths, key=lambda path: path.latency.p10_ms)
    columns = [
        milliseconds([path.latency.p10_ms for path in paths]),
        milliseconds([path.latency.p50_ms for path in paths]),
        milliseconds([path.latency.p95_ms for path in paths]),
        [f"{path.latency.cv * 100:.1f}" for path in paths],
    ]
    for path, *cells in zip(paths, *columns, strict=True):
        table.add_row(path.id, *cells)
    return table
