"""What `tipsc build` says that its stages will take, and what they took.

    python benchmarks/forecast.py [KIND ...] [--epochs 4]
    python benchmarks/forecast.py --show

A KIND is a project that `tipsc init` writes: `--task classification`, `text`, ... or `--family
mobilenet` and so on, built as it is but for `--epochs`. Results go to
`benchmarks/results/forecast.json`; what is there is replaced. Stages of less than two seconds are
not judged. The forecast of a build is made after a few training steps and looks of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tipsc.engine.atomic import write_atomically  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "forecast.json"
TASKS = ("classification", "regression", "detection", "segmentation", "text", "series")
FAMILIES = ("mobilenet", "temporal")
JUDGED_S = 2.0
BAR = 1.5


def run(kind: str, epochs: int) -> dict[str, object]:
    tipsc = [sys.executable, "-m", "tipsc"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as place:
        folder, named = Path(place) / "project", "--task" if kind in TASKS else "--family"
        subprocess.run(
            [*tipsc, "init", str(folder), named, kind], env=environment, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        config = folder / "tipsc.yaml"
        settings = yaml.safe_load(config.read_text())
        settings.setdefault("train", {})["epochs"] = epochs
        config.write_text(yaml.safe_dump(settings))
        done = subprocess.run(
            [*tipsc, "build", str(folder), "--format", "json"], env=environment, check=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
    stages = {
        s["name"]: [round(s["expected_s"], 3), s["seconds"]]
        for s in json.loads(done.stdout)["stages"]
        if s["expected_s"] is not None
    }
    return {"kind": kind, "epochs": epochs, "load": os.getloadavg()[0], "stages": stages}


def show(rows: list[dict]) -> None:  # type: ignore[type-arg]
    print(f"{'project':<16}{'epochs':>7}  {'stage':<10}{'said':>9}{'took':>9}{'said / took':>13}")
    ratios = []
    for row in rows:
        stages = dict(row["stages"])
        stages["all"] = [sum(column) for column in zip(*stages.values(), strict=True)]
        for stage, (said, took) in stages.items():
            if took >= JUDGED_S:
                ratios += [said / took] if stage != "all" else []
                print(
                    f"{row['kind']:<16}{row['epochs']:>7}  {stage:<10}{said:>7.1f} s{took:>7.1f} s"
                    f"{said / took:>13.2f}"
                )
    within = sum(1 / BAR <= ratio <= BAR for ratio in ratios)
    print(f"{within} of {len(ratios)} stages that took {JUDGED_S:g} s are within {BAR:g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", choices=[*TASKS, *FAMILIES, []], metavar="KIND")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
    for kind in () if given.show else given.kinds or (*TASKS, *FAMILIES):
        rows = [r for r in rows if (r["kind"], r["epochs"]) != (kind, given.epochs)]
        rows.append(run(kind, given.epochs))
        write_atomically(RESULT, [json.dumps(rows, indent=1).encode() + b"\n"])
    show(rows)


if __name__ == "__main__":
    main()
