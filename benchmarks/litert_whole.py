"""A model as it was given, through LiteRT: does the .tflite of its largest path match torch?

    python benchmarks/litert_whole.py CONFIG --json OUT.json

For a plain model that a configuration converts, the answers are those of the original module, with
its own weights; nothing is trained. Differences are relative to the largest output.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema

from tipsc.backends.litert import IN_MEMORY, channels_last, check, open_model
from tipsc.compile import Job, compile_candidates
from tipsc.compile.litert import CompiledTflite
from tipsc.elastic import Statistics, extract
from tipsc.engine.atomic import write_atomically
from tipsc.project.config import load_config
from tipsc.project.loading import load_model
from tipsc.project.target import load_target
from tipsc.search.candidates import Candidate

INPUTS = 64


def operators(model: bytes) -> dict[str, int]:
    """How many of each."""
    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in parsed.operatorCodes]
    return dict(Counter(names[codes[op.opcodeIndex]] for op in parsed.subgraphs[0].operators))


def measure(config_file: Path) -> dict[str, object]:
    config, folder = load_config(config_file)
    model = load_model(config, folder)
    supernet = model.supernet.eval()
    path = supernet.space.largest
    statistics = Statistics(path.id, {}, {})
    start = time.perf_counter()
    compiled = compile_candidates(
        Job(
            target=load_target("mobile-cpu"),
            supernet=supernet,
            candidates=[Candidate(path, None, 0, 0, statistics)],
            inputs=model.data.train.inputs[:1],
            cache=None,
            progress=lambda done, total, note="": None,
        )
    )
    seconds = time.perf_counter() - start
    assert isinstance(compiled, CompiledTflite)
    inputs = model.data.test.inputs[:INPUTS]
    reference = model.original
    if reference is None:
        reference = extract(supernet, path, statistics)
    with torch.no_grad():
        expected = torch.cat([reference.eval()(x[None]) for x in inputs]).numpy()
    differences = {}
    with tempfile.TemporaryDirectory(prefix="tipsc-") as name:
        file = Path(name) / "model.tflite"
        file.write_bytes(compiled.model)
        for cache, place in {"off": None, "on": IN_MEMORY}.items():
            run = open_model(file, weight_cache=place).runner(path.id)
            got = np.concatenate([run([channels_last(x[None].numpy())])[0] for x in inputs])
            differences[cache] = float(np.abs(got - expected).max() / np.abs(expected).max())
    return {
        "model": config.name,
        "machine": f"{platform.machine()}, {check()['instruction set']}",
        "litert": check()["litert"],
        "against": "the extracted path" if model.original is None else "the original module",
        "inputs": len(inputs),
        "file_bytes": len(compiled.model),
        "conversion_seconds": round(seconds, 1),
        "relative_difference_by_weight_cache": differences,
        "same_class": float((got.argmax(-1) == expected.argmax(-1)).mean()),
        "operators": operators(compiled.model),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    text = json.dumps(measure(arguments.config), indent=1)
    print(text)
    if arguments.json:
        write_atomically(arguments.json, [f"{text}\n".encode()])


if __name__ == "__main__":
    main()
