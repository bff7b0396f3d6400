"""The decision page, block by block: honest where an engine does not pay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial

from tipsc.engine import PathEntry
from tipsc.measure.disturbance import AGAIN
from tipsc.report.decision.facts import EngineFacts
from tipsc.report.decision.goals import amount, goal_items
from tipsc.report.decision.render import Block, Bullets, Commands, Grid, Heading, Paragraph
from tipsc.report.decision.texts import Texts
from tipsc.report.format import MISSING, byte_size, duration, milliseconds, significant
from tipsc.report.metric import metric_of

_MIB = 2**20
_LITTLE = 0.01  # of a share: a loss that is no price to name
_SMALL = 0.02  # of a size: a difference that nobody would decide by


def decision(engines: Sequence[EngineFacts], texts: Texts, devices: int) -> list[Block]:
    """All blocks of the page.

    Args:
        devices: of the fleet.
    """
    names = ", ".join(dict.fromkeys(facts.name for facts in engines))
    blocks: list[Block] = [Heading(1, texts("title", names=names)), Paragraph(texts("about"))]
    for facts in engines:
        blocks += _engine(facts, texts, devices)
    return [*blocks, *_plan(engines[0], texts), *_commands(engines, texts)]


def _engine(facts: EngineFacts, texts: Texts, devices: int) -> Iterator[Block]:
    yield Heading(2, texts("engine", name=facts.name, target=facts.target))
    if facts.noise:
        yield Paragraph(texts("doubtful", noise=_again(facts.noise)))
    yield Heading(3, texts("short"))
    yield Bullets((*goal_items(facts, texts), *_verdicts(facts, texts)))
    yield Heading(3, texts("paths"))
    yield _paths(facts, texts)
    yield Heading(3, texts("against", count=len(facts.paths)))
    if facts.separate is not None:
        yield Paragraph(texts("against_note"))
        if facts.separate.noise:
            yield Paragraph(texts("doubtful", noise=facts.separate.noise))
    yield _against(facts, texts)
    if facts.separate is not None:
        yield Heading(3, texts("fleet", devices=f"{devices:,}"))
        yield Paragraph(_fleet(facts, texts, devices))
        yield Paragraph(texts("fleet_delta"))
    yield Heading(3, texts("steps"))
    yield Paragraph(texts("steps_note"))
    yield _steps(facts, texts)
    yield Heading(3, texts("gaps"))
    yield Bullets(tuple(_gaps(facts, texts)))


def _verdicts(facts: EngineFacts, texts: Texts) -> Iterator[str]:
    """Whether it pays, one reason after the other."""
    if len(facts.paths) == 1:
        yield texts("does_not", text=texts("single"))
    yield from _speed(facts, texts)
    separate = facts.separate
    if separate is None:
        return
    compared = partial(_compared, texts)
    yield compared(
        facts.file_bytes / separate.file_bytes,
        texts(
            "storage",
            engine=byte_size(facts.file_bytes),
            separate=byte_size(separate.file_bytes),
            count=len(facts.paths),
        ),
    )
    if separate.engine_memory is not None and separate.separate_memory is not None:
        one, many = separate.engine_memory.total_mib, separate.separate_memory.total_mib
        text = texts("memory", engine=byte_size(one * _MIB), separate=byte_size(many * _MIB))
        yield compared(one / many if many else 1.0, text)
    ratio, shown = separate.slowdown, f"{separate.noise_floor:.1%}"
    text = texts("latency", ratio=f"{ratio:.1%}", noise=shown)
    yield compared(ratio, text, max(separate.noise_floor, _SMALL))
    largest = max(separate.paths, key=lambda path: path.file_bytes)
    text = texts(
        "one_speed",
        path=facts.names.get(largest.id, largest.id),
        alone=byte_size(largest.file_bytes),
        engine=byte_size(facts.file_bytes),
    )
    yield compared(facts.file_bytes / largest.file_bytes, text)


def _again(noise: str) -> str:
    """What disturbed the build's measurement, with the whole command that measures again."""
    return noise.replace(AGAIN, "run `tipsc build . --wait-quiet 60`")


def _speed(facts: EngineFacts, texts: Texts) -> Iterator[str]:
    """What the best path and the fastest one have over the original."""
    if facts.original is None:
        yield texts("even", text=texts("no_original"))
        return
    noise = 0.0 if facts.separate is None else facts.separate.noise_floor
    shares = [(share, path) for path in facts.paths if (share := facts.share(path)) is not None]
    faster = [(share, path) for share, path in shares if share < 1 - noise]
    if not shares:
        return
    for share, path in shares:
        if share > 1 + noise:
            text = texts("slower", path=facts.label(path), share=f"{share:.0%}")
            yield texts("does_not", text=text)
    if not faster:
        yield texts("does_not", text=texts("not_faster"))
        return
    best = max(faster, key=lambda pair: pair[1].quality.merit if pair[1].quality else 0.0)
    fastest = min(faster, key=lambda pair: pair[0])
    for share, path in [best] if fastest[1].id == best[1].id else [best, fastest]:
        lost = facts.lost(path)
        loss = texts("not_measured")
        if lost is not None:
            loss = texts("loses" if lost >= 0 else "gains", amount=amount(facts, texts, abs(lost)))
        text = texts("faster", path=facts.label(path), share=f"{share:.0%}", loss=loss)
        costly = lost is None or lost > (_LITTLE if metric_of(path.quality).share else 0.0)
        yield texts("trade" if costly else "pays", text=text)


def _compared(texts: Texts, ratio: float, text: str, small: float = _SMALL) -> str:
    """Where less is better."""
    key = "pays" if ratio < 1 - small else "does_not" if ratio > 1 + small else "even"
    return texts(key, text=text)


def _paths(facts: EngineFacts, texts: Texts) -> Grid:
    measure = next((path.quality for path in facts.paths if path.quality is not None), None)
    metric = metric_of(measure)
    unit = texts("unit_points") if metric.share else metric.lost or metric.name
    headings = (
        texts("path"),
        metric.heading,
        texts("against_original", unit=unit),
        texts("p50"),
        texts("saved"),
        texts("weights" if facts.separate is None else "alone"),
    )
    alone = {} if facts.separate is None else {p.id: p.file_bytes for p in facts.separate.paths}
    original = facts.original
    whole = original.latency.p50_ms if original is not None and original.latency else None
    times = [path.latency.p50_ms if path.latency else None for path in facts.paths]
    *shown, last = milliseconds([*times, whole])

    def row(path: PathEntry, ms: str) -> tuple[str, ...]:
        lost, share = facts.lost(path), facts.share(path)
        # What is lost has a minus, whichever way of the quality is better.
        figure = MISSING
        if lost is not None:
            size = f"{100 * abs(lost):.2f}" if metric.share else significant(abs(lost))
            figure = f"{'-' if lost > 0 else '+'}{size}" if float(size) else size
        saved = MISSING if share is None else f"{1 - share:.0%}"
        size = byte_size(alone.get(path.id, path.shared_bytes + path.private_bytes))
        called = f"{facts.label(path)} ({path.id})" if path.id in facts.names else path.id
        return called, metric.figure(path.quality), figure, ms, saved, size

    rows = [row(path, ms) for path, ms in zip(facts.paths, shown, strict=True)]
    if original is not None:
        size = byte_size(original.file_bytes) if alone else MISSING
        rows.append((texts("original"), metric.figure(original.quality), "", last, "", size))
    return Grid(headings, tuple(rows))


def _against(facts: EngineFacts, texts: Texts) -> Grid:
    separate, none = facts.separate, texts("not_measured")

    def took(seconds: float | None) -> str:
        return none if seconds is None else duration(seconds)

    training = (
        texts("row_training")
        if facts.trained_for == 1
        else texts("row_training_together", targets=facts.trained_for)
    )
    storage, private, total, call = none, (none, none), (none, none), (none, none)
    if separate is not None:
        storage = byte_size(separate.file_bytes)
        one, many = separate.engine_memory, separate.separate_memory
        if one is not None and many is not None:
            private = (byte_size(one.private_mib * _MIB), byte_size(many.private_mib * _MIB))
            total = (byte_size(one.total_mib * _MIB), byte_size(many.total_mib * _MIB))
        call = (f"{separate.slowdown:.1%}", "100.0%")
    rows = [
        (texts("row_storage"), byte_size(facts.file_bytes), storage),
        (texts("row_private"), *private),
        (texts("row_total"), *total),
        (texts("row_call"), *call),
        (texts("row_transfer"), byte_size(facts.file_bytes), storage),
        (training, took(facts.training_s), none),
        (texts("row_build"), took(facts.other_s), none),
        (texts("row_energy"), _energy(facts) or none, none),
    ]
    return Grid((texts("what"), texts("in_engine"), texts("in_separate")), tuple(rows))


def _energy(facts: EngineFacts) -> str:
    """Of the paths that were measured; empty if none was."""
    known = [path.energy_mj for path in facts.paths if path.energy_mj is not None]
    if not known:
        return ""
    least, most = significant(min(known)), significant(max(known))
    return f"{least} mJ" if least == most else f"{least} - {most} mJ"


def _fleet(facts: EngineFacts, texts: Texts, devices: int) -> str:
    assert facts.separate is not None
    one, many = devices * facts.file_bytes, devices * facts.separate.file_bytes
    return texts(
        "fleet_saves" if one <= many else "fleet_costs",
        devices=f"{devices:,}",
        engine=byte_size(one),
        separate=byte_size(many),
        difference=byte_size(abs(many - one)),
    )


def _steps(facts: EngineFacts, texts: Texts) -> Grid:
    many = str(len(facts.paths))
    keys = ("step_train", "step_export", "step_measure", "step_files")
    rows = tuple((texts(key), "1", many) for key in keys)
    return Grid((texts("step"), texts("in_engine"), texts("in_separate")), rows)


def _gaps(facts: EngineFacts, texts: Texts) -> Iterator[str]:
    if facts.separate is None:
        yield texts("gap_separate", why=facts.why_not)
    else:
        yield texts("gap_machine")
    yield texts("gap_training")
    if facts.training_s is None and facts.other_s is None:
        yield texts("gap_stages")
    yield texts("gap_alone_energy" if _energy(facts) else "gap_energy")
    yield texts("gap_hours")


def _plan(facts: EngineFacts, texts: Texts) -> Iterator[Block]:
    file = facts.file.name
    yield Heading(2, texts("plan"))
    yield Paragraph("1. " + texts("plan_pilot"))
    yield Commands(
        (
            f"tipsc device selftest ssh://DEVICE --engine {file}",
            f"tipsc bench {file} --device ssh://DEVICE --sustained 30",
        )
    )
    yield Paragraph("2. " + texts("plan_shadow"))
    yield Commands(shadow_run(facts))
    yield Paragraph("3. " + texts("plan_rollout"))
    yield Commands((f"tipsc delta OLD.tipsc {file} -o CHANGE", "tipsc apply OLD.tipsc CHANGE"))


def shadow_run(facts: EngineFacts) -> tuple[str, ...]:
    """Lines for a shell: recorded inputs through the engine, and a summary of its calls."""
    slowest = max((path.latency.p95_ms for path in facts.paths if path.latency), default=None)
    name = json.dumps(facts.file.name)
    budget = "MS" if slowest is None else significant(1.5 * slowest, 2)
    return (
        "python - <<'END'",
        "import numpy as np",
        "from tipsc.runtime import CallLog, Engine, Governor",
        f'with CallLog("calls.jsonl") as log, Engine.open({name}) as engine:',
        '    governor = Governor(engine, on_call=log, fallback="fastest")',
        '    for example in np.load("RECORDED.npy"):',
        f"        answer = governor.run(example[None], budget_ms={budget}).output",
        "END",
        "tipsc trace calls.jsonl --html calls.html",
    )


def _commands(engines: Sequence[EngineFacts], texts: Texts) -> Iterator[Block]:
    files = [facts.file.name for facts in engines]
    yield Heading(2, texts("commands"))
    yield Commands(
        (
            f"tipsc report {' '.join(files)} --format json",
            *(f"tipsc inspect {file} --format json" for file in files),
            "tipsc build CONFIG --format json",
        )
    )
