"""Reading the reports of self-tests that owners of devices send (``pipeline.device_report``).

They come from elsewhere, by other versions maybe: what cannot be a report is refused in a sentence,
and of what a check found only facts that have the form they should are shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tipsc.errors import UsageError
from tipsc.files import open_regular
from tipsc.printable import on_one_line

MOST_BYTES = 4 << 20
MOST_SHOWN = 44  # characters of what a check found


class ReportedCheck(BaseModel):
    """One thing that was tried."""

    model_config = ConfigDict(frozen=True)
    name: str = Field(max_length=64)
    status: Literal["ok", "failed", "absent"]
    found: Any


class DeviceReport(BaseModel):
    """What a device said, and when."""

    model_config = ConfigDict(frozen=True)
    tipsc: str = Field(max_length=64)
    taken: str = Field(max_length=64)
    checks: tuple[ReportedCheck, ...] = Field(max_length=200)

    def found(self, name: str) -> dict[str, Any]:
        """What a check found that went well; nothing of another."""
        for check in self.checks:
            if check.name == name and check.status == "ok" and isinstance(check.found, dict):
                return check.found
        return {}

    @property
    def device(self) -> str:
        """What it is, in a few words: board or processor, JetPack, what runs engines there."""
        facts, found = self.found("facts"), [self.found(check.name) for check in self.checks]
        runtimes = [f for f in found if f.get("module") and f.get("version")]
        parts = [
            facts.get("board") or facts.get("cpu") or "unknown",
            *(f"JetPack {v}" for v in [facts.get("jetpack")] if v),
            *(f"{f['module']} {f['version']}" for f in runtimes),
        ]
        return ", ".join(shown(part) for part in parts)

    @property
    def latencies(self) -> dict[str, float]:
        """Median milliseconds by path."""
        given = self.found("bench").get("latency")
        rows = given.items() if isinstance(given, dict) else ()
        return {
            shown(path): float(row["p50_ms"])
            for path, row in rows
            if isinstance(row, dict) and isinstance(row.get("p50_ms"), int | float)
        }


def read_report(file: Path) -> DeviceReport:
    """The report in a file.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    fix = "give what tipsc device selftest URL --report FILE wrote"
    try:
        with open_regular(file) as stream:
            raw = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the report: {error.strerror or error}", where=str(file), fix=fix
        ) from error
    if len(raw) > MOST_BYTES:
        raise UsageError(
            "this is too large for the report of a self-test",
            where=str(file),
            expected=f"at most {MOST_BYTES} bytes",
            fix=fix,
        )
    try:
        return DeviceReport.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(
            "this is no report of a self-test",
            where=f"{file}, {place}" if place else str(file),
            got=first["msg"],
            fix=fix,
        ) from error


def shown(found: object, most: int = MOST_SHOWN) -> str:
    """What was found, in one printable line."""
    facts = found.items() if isinstance(found, dict) else ()
    text = ", ".join(f"{key} {value}" for key, value in facts if value is not None)
    line = on_one_line(text or str(found))
    return line if len(line) <= most else f"{line[: most - 1]}…"
